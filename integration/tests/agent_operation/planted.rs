//! Policies that the API server would refuse, and has.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use podwall_integration::arena::{NAMESPACE, Traffic, UDP, enforced, from_friend_only, party};
use podwall_integration::{ApiServer, Kind, Objects, Shot, Storage, finish_all};
use podwall_lab::Layout;
use serde_json::{Value as Json, json};

const LIMIT: Duration = Duration::from_secs(5);
const UID: &str = "6f8e8b8e-4c55-4d0c-9c5e-2a3b8f1d9a11";

/// A block of addresses that is none: said in an Event of that policy, in the log and in the status. It allows nobody,
/// and what is right in the same policy holds.
pub fn event(api: &mut ApiServer) -> Result<String> {
    let mut policy = from_friend_only("subject");
    let name = format!("subject-{}", "x".repeat(192));
    policy["metadata"]["name"] = name.as_str().into();
    policy["metadata"]["uid"] = UID.into();
    let peers = policy["spec"]["ingress"][0]["from"].as_array_mut().context("peers")?;
    peers.push(json!({"ipBlock": {"cidr": "10.244.0.0/33"}}));
    let mut storage = Storage::open(api)?;
    let mut world = enforced(api, Layout::Routed, false)?;
    let agent = world.agents.get("node-1").context("the subject's node")?;
    let (traffic, start, from) = (Traffic::start(&world)?, Instant::now(), agent.log()?.len());
    storage.plant(Kind::NetworkPolicy, &format!("{NAMESPACE}/subject"), &policy)?;
    let line = agent.wait_for_log(&format!("NetworkPolicy arena/{name}: "), from, LIMIT)?;
    let field = "spec.ingress[0].from[1].ipBlock.cidr";
    ensure!(line.contains(field), "{line}");
    let event = until_event(&world.objects, &name)?;
    let note = event["message"].as_str().context("a message")?;
    ensure!(note.starts_with(field) && note.contains("10.244.0.0/33"), "{note}");
    ensure!(event["reason"] == "PartlyUnderstood" && event["type"] == "Warning", "{event:#}");
    ensure!(event["involvedObject"]["uid"] == UID, "kubectl describe would not show it: {event:#}");
    // One that is refused whole; its name is as long.
    let refused = format!("refused-{}", "x".repeat(192));
    let mut whole = from_friend_only("subject");
    whole["metadata"]["name"] = refused.as_str().into();
    whole["spec"]["policyTypes"] = json!(["Sideways"]);
    storage.plant(Kind::NetworkPolicy, &format!("{NAMESPACE}/refused"), &whole)?;
    let event = until_event(&world.objects, &refused)?;
    ensure!(event["reason"] == "NotUnderstood", "{event:#}");
    let problems = agent.status()?["problems"].to_string();
    ensure!(problems.contains(field), "the status says {problems}");
    let stream = |from| world.stream(&party(from), &party("subject"), UDP, Duration::from_millis(5), true);
    let streams = [stream("friend")?, stream("neighbour")?];
    sleep(Duration::from_millis(300));
    let [friend, neighbour] = finish_all(streams)?.try_into().expect("as many as there were");
    ensure!(friend.iter().all(Shot::passed), "what is right in the policy does not hold");
    ensure!(!neighbour.iter().any(Shot::passed), "what is wrong in the policy lets somebody in");
    drop(storage);
    let agent = world.agents.get("node-1").context("the subject's node")?;
    agent.wait_for_log("no longer a problem", from, LIMIT)?;
    world.until_agreed(LIMIT)?;
    traffic.finish(start)?.check()?;
    Ok(format!("{note:?}"))
}

/// The Event about a policy of this name.
pub fn until_event(objects: &Objects, policy: &str) -> Result<Json> {
    let (path, started) = (format!("/api/v1/namespaces/{NAMESPACE}/events"), Instant::now());
    loop {
        let events = objects.call(Method::GET, &path, Json::Null)?;
        let of_policy = |event: &&Json| event["involvedObject"]["name"] == policy;
        if let Some(event) = events["items"].as_array().into_iter().flatten().find(of_policy) {
            return Ok(event.clone());
        }
        ensure!(started.elapsed() < LIMIT, "there is no Event about {policy}: {events:#}");
        sleep(Duration::from_millis(50));
    }
}
