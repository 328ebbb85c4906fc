//! A pod that is deleted by force: its object is gone, its containers and its link are not (S83).

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{UDP, enforced, key, party, pod};
use podwall_integration::{ApiServer, Kind, Order, Shot, World, finish_all};
use podwall_lab::Layout;

const INTERVAL: Duration = Duration::from_millis(5);
const READY_LIMIT: Duration = Duration::from_secs(10);
/// How long after the deletion is answered those whom its policies let in may still reach it.
const LIMIT: Duration = Duration::from_secs(1);
/// How long each state is watched.
const PHASE: Duration = Duration::from_millis(500);

/// Where nobody closes what is not known.
pub fn routed(api: &mut ApiServer) -> Result<String> {
    run(enforced(api, Layout::Routed, false)?, false)
}

/// The same on a bridge.
pub fn bridged(api: &mut ApiServer) -> Result<String> {
    run(enforced(api, Layout::Bridged, false)?, false)
}

/// Where what is not known is closed: after a restart too, though nobody is there who remembers the pod.
pub fn restarted(api: &mut ApiServer) -> Result<String> {
    run(enforced(api, Layout::Routed, true)?, true)
}

/// The server is deleted, and its link is still there. Later another pod gets its address.
fn run(mut world: World, restart: bool) -> Result<String> {
    let stream = |world: &World, from, to| world.stream(&party(from), &party(to), UDP, INTERVAL, true);
    let denied = [stream(&world, "stranger", "server")?];
    let friends = [stream(&world, "friend", "server")?, stream(&world, "server", "friend")?];
    sleep(PHASE);
    let asked = Instant::now();
    world.objects.delete(Kind::Pod, &key("server"))?;
    let deleted = Instant::now();
    sleep(LIMIT + PHASE);
    if restart {
        let agent = world.agents.get_mut("node-1").context("the server's node")?;
        agent.start()?;
        agent.wait_until_ready(READY_LIMIT)?;
        sleep(PHASE);
    }
    let [denied] = finish_all(denied)?.try_into().expect("as many as there were");
    let leaked = denied.iter().filter(|shot| shot.passed()).count();
    ensure!(leaked == 0, "{leaked} of {} denied packets passed", denied.len());
    let mut closed = Duration::ZERO;
    for shots in finish_all(friends)? {
        let before = shots.iter().filter(|shot| shot.at + INTERVAL < asked).all(Shot::passed);
        ensure!(before, "an allowed packet was lost before the deletion");
        let last = shots.iter().rfind(|shot| shot.passed()).context("none passed")?;
        closed = closed.max(last.at.saturating_duration_since(deleted));
    }
    ensure!(closed <= LIMIT, "packets of its friend passed for {closed:?}");
    // Its link goes at last, and its address is another's, whom no policy isolates.
    world.unlink_pod(&key("server"))?;
    world.add_pod(&key("heir"), &pod("heir", 1, 210), Order::Link)?;
    let opened = world.until_agreed(LIMIT)?.took;
    let packets = denied.len();
    Ok(format!(
        "0 of {packets} denied packets passed; closed for its friend after {closed:.0?}; its address another's after {opened:.0?}"
    ))
}
