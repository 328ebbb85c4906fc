//! What an agent reports of connections, and policies that only report.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{NAMESPACE, TCP, UDP, enforced, key, party};
use podwall_integration::{Agent, ApiServer, Kind, Shot, World, finish_all};
use podwall_lab::Layout;
use podwall_policy::{ObjectKey, Transport};
use serde_json::{Value as Json, json};

const LIMIT: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(5);

/// What is denied is reported with names and policies; what is allowed is not.
pub fn denied(api: &mut ApiServer) -> Result<String> {
    let world = enforced(api, Layout::Routed, true)?;
    let agent = world.agents.get("node-1").context("a node")?;
    ensure!(!asked(&world, "stranger", UDP)?, "policy does not hold");
    ensure!(asked(&world, "friend", UDP)?, "policy denies who is allowed");
    asked(&world, "neighbour", TCP)?;
    let records = until(agent, "stranger", 53)?;
    let record = records.iter().find(|it| is_from(it, "stranger", 53)).context("the record")?;
    ensure!(record["verdict"] == "denied" && record["direction"] == "ingress", "{record:#}");
    ensure!(record["to"]["pod"] == "arena/server" && record["protocol"] == "UDP", "{record:#}");
    ensure!(record["policies"] == json!(["arena/server"]), "{record:#}");
    ensure!(record["count"].as_u64().is_some_and(|count| count > 0), "{record:#}");
    until(agent, "neighbour", 80)?;
    ensure!(
        !records.iter().any(|it| it["from"]["pod"] == "arena/friend"),
        "what is allowed is reported: {records:#?}"
    );
    let text = agent.ask_flows("flows", &["--denied", "--namespace", NAMESPACE])?.1;
    ensure!(text.contains("denied ingress  arena/stranger -> arena/server  UDP/53"), "{text}");
    ensure!(
        agent.ask_flows("flows", &["--namespace", "elsewhere"])?.1.is_empty(),
        "a namespace is not filtered"
    );
    let came = agent.metric(r#"podwall_flow_packets_total{verdict="denied",direction="ingress"}"#)?;
    let logged =
        agent.metric(r#"podwall_flow_packets_logged_total{verdict="denied",direction="ingress"}"#)?;
    ensure!(logged > 0.0 && logged <= came, "{logged} of {came} packets are logged");
    Ok(format!("{} records, {logged} of {came} packets logged", records.len()))
}

/// A policy in audit mode denies nothing and says what it would; enforcing it is one transaction, and so is a namespace.
pub fn audit(api: &mut ApiServer) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, true)?;
    let agent = |world: &World| -> Result<(i32, String)> {
        world.agents.get("node-1").context("a node")?.ask_flows("audit", &[])
    };
    let said = agent(&world)?;
    ensure!(said == (0, "no policy is in audit mode\n".to_owned()), "{said:?}");
    annotate(&world, Kind::NetworkPolicy, &key("server"), json!("audit"))?;
    world.until_agreed(LIMIT)?;
    ensure!(asked(&world, "stranger", UDP)?, "a policy in audit mode denies");
    let started = Instant::now();
    let text = loop {
        let (code, text) = agent(&world)?;
        if code == 1 && text.contains("arena/stranger -> arena/server  UDP/53") {
            break text;
        }
        ensure!(started.elapsed() < LIMIT, "the audit does not say who would be denied: {text}");
        sleep(Duration::from_millis(50));
    };
    ensure!(text.contains("arena/server would have denied on node-1:"), "{text}");
    ensure!(!text.contains("arena/friend"), "{text}");
    let transactions = |world: &World| -> Result<f64> {
        world.agents.get("node-1").context("a node")?.metric("podwall_transactions_total")
    };
    let before = transactions(&world)?;
    annotate(&world, Kind::NetworkPolicy, &key("server"), Json::Null)?;
    world.until_agreed(LIMIT)?;
    ensure!(!asked(&world, "stranger", UDP)?, "the policy is not enforced again");
    let switched = transactions(&world)? - before;
    ensure!(switched == 1.0, "enforcing took {switched} transactions");
    // The namespace says it for all its policies, and a policy may know better.
    let namespace = ObjectKey::new("", NAMESPACE);
    annotate(&world, Kind::Namespace, &namespace, json!("audit"))?;
    world.until_agreed(LIMIT)?;
    ensure!(asked(&world, "stranger", UDP)?, "a namespace in audit mode denies");
    annotate(&world, Kind::NetworkPolicy, &key("server"), json!("enforce"))?;
    world.until_agreed(LIMIT)?;
    ensure!(!asked(&world, "stranger", UDP)?, "the policy's own annotation does not count");
    Ok(text.lines().nth(1).unwrap_or_default().trim().to_owned())
}

/// Without a log the agent enforces, and says of a policy in audit mode that nobody hears of it.
pub fn off(api: &mut ApiServer) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, true)?;
    let agent = world.agents.get_mut("node-1").context("a node")?;
    agent.options = ["--flow-log", "off"].map(str::to_owned).to_vec();
    agent.start()?;
    agent.wait_until_ready(LIMIT)?;
    let from = agent.log()?.len();
    ensure!(!agent.ruleset()?.contains("log prefix"), "something is logged");
    annotate(&world, Kind::NetworkPolicy, &key("server"), json!("audit"))?;
    let agent = world.agents.get("node-1").context("a node")?;
    let line = agent.wait_for_log("neither enforced nor reported", from, LIMIT)?;
    ensure!(line.contains("NetworkPolicy arena/server"), "{line}");
    world.until_agreed(LIMIT)?;
    Ok("said in the log".to_owned())
}

fn annotate(world: &World, kind: Kind, key: &ObjectKey, mode: Json) -> Result<()> {
    world.objects.patch(kind, key, json!({"metadata": {"annotations": {"podwall.io/mode": mode}}})).map(drop)
}

/// Whether somebody reaches the server: always, or else never.
fn asked(world: &World, from: &str, transport: Transport) -> Result<bool> {
    let stream = world.stream(&party(from), &party("server"), transport, INTERVAL, true)?;
    sleep(Duration::from_millis(300));
    let shots = finish_all([stream])?.remove(0);
    ensure!(!shots.is_empty(), "nothing was sent");
    let passed = shots.iter().filter(|shot| Shot::passed(shot)).count();
    ensure!(passed == 0 || passed == shots.len(), "{passed} of {} packets of {from} passed", shots.len());
    Ok(passed > 0)
}

fn is_from(record: &Json, pod: &str, port: u16) -> bool {
    record["from"]["pod"] == key(pod).to_string() && record["port"] == port
}

/// All records, once there is one of this pod and port.
fn until(agent: &Agent, pod: &str, port: u16) -> Result<Vec<Json>> {
    let started = Instant::now();
    loop {
        let lines = agent.ask_flows("flows", &["--json"])?.1;
        let records: Vec<Json> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        if records.iter().any(|record| is_from(record, pod, port)) {
            return Ok(records);
        }
        ensure!(started.elapsed() < LIMIT, "no record of {pod} to port {port}: {records:#?}");
        sleep(Duration::from_millis(20));
    }
}
