//! Pods that are there before their node knows them: with `--unknown-pods drop` not one packet may pass that their
//! policies forbid, neither to them nor from them.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use podwall_integration::arena::{NAMESPACE, UDP, enforced, key, party, pod, world};
use podwall_integration::{ApiServer, Kind, Objects, Order, Shot, Stream, World, finish_all, pod as object};
use podwall_lab::Layout;
use serde_json::json;

const INTERVAL: Duration = Duration::from_millis(2);
/// How long a new pod is unknown, and then known, while packets are sent.
const PHASE: Duration = Duration::from_millis(250);

pub fn routed(api: &mut ApiServer, births: usize) -> Result<String> {
    run(api, Layout::Routed, births)
}

pub fn bridged(api: &mut ApiServer, births: usize) -> Result<String> {
    run(api, Layout::Bridged, births)
}

fn run(api: &mut ApiServer, layout: Layout, births: usize) -> Result<String> {
    let mut open = world(api, layout, true)?;
    forbid_all(&open.objects)?;
    let (asked, passed) = birth(&mut open, 0)?;
    ensure!(passed > 0, "nobody enforces, and it is not noticed");
    drop(open);
    let mut world = enforced(api, layout, true)?;
    forbid_all(&world.objects)?;
    world.until_agreed(Duration::from_secs(5))?;
    let (mut packets, mut leaks) = (0, Vec::new());
    for index in 0..births {
        let (sent, leaked) = birth(&mut world, index)?;
        packets += sent;
        leaks.push(leaked);
    }
    let leaked: usize = leaks.iter().sum();
    ensure!(leaked == 0, "{leaked} of {packets} packets passed that must not; by birth: {leaks:?}");
    Ok(format!("{births} births, 0 of {packets} packets passed (without agents {passed} of {asked})"))
}

/// A pod is born, watched, and ends. Returns how many packets were sent, and how many passed.
fn birth(world: &mut World, index: usize) -> Result<(usize, usize)> {
    // The address of the one before is somebody else's next time.
    let (name, newborn) = (key("newborn"), pod("newborn", 1, 240 + (index % 2) as u8));
    let (node, address) = (party("stranger"), newborn.addresses[0]);
    let to = Stream::start(world.namespace(&node)?, world.address(&node)?, address, UDP, INTERVAL)?;
    world.objects.create(Kind::Pod, &object(&name, &newborn))?;
    world.link_pod(&name, &newborn)?;
    let from = world.stream(&party("newborn"), &party("stranger"), UDP, INTERVAL, true)?;
    let near = world.stream(&party("newborn"), &party("neighbour"), UDP, INTERVAL, true)?;
    sleep(PHASE);
    world.report_pod(&name, &newborn)?;
    sleep(PHASE);
    let shots: Vec<Shot> = finish_all([to, from, near])?.concat();
    world.remove_pod(&name, Order::Link)?;
    Ok((shots.len(), shots.iter().filter(|shot| shot.passed()).count()))
}

fn forbid_all(objects: &Objects) -> Result<()> {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "newborn", "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"app": "newborn"}},
            "policyTypes": ["Ingress", "Egress"],
        },
    });
    objects.call(Method::POST, &Kind::NetworkPolicy.path(NAMESPACE), policy).map(drop)
}
