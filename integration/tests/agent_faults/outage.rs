//! An API server that is away for a while, and one that comes back as it was earlier.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{Traffic, UDP, enforced, from_friend_only, key, party};
use podwall_integration::{ApiServer, Direction, Kind, Shot, finish_all};
use podwall_lab::Layout;

/// How long after its return what was changed meanwhile may take to be obeyed.
const LIMIT: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(5);
/// For how long a change is not obeyed at least, as nobody can know of it.
const IGNORED: Duration = Duration::from_millis(500);
/// The changes: who else is closed, on either node, and who is heard to stop.
const CLOSED: [(&str, &str); 2] = [("subject", "stranger"), ("stranger", "server")];

/// What was enforced stays so, even when an agent is killed meanwhile. A second server, which no agent can reach, takes
/// a change; the agents learn of it when the first one is back.
pub fn run(api: &mut ApiServer, outage_s: u64) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, false)?;
    let (traffic, start) = (Traffic::start(&world)?, Instant::now());
    let doomed = CLOSED.map(|(to, from)| world.stream(&party(from), &party(to), UDP, INTERVAL, true));
    let doomed = doomed.into_iter().collect::<Result<Vec<_>>>()?;
    let (away, outage) = (Instant::now(), Duration::from_secs(outage_s));
    api.stop();
    sleep(outage / 2);
    let name = world.agents.keys().next().cloned().context("an agent")?;
    world.agents.get_mut(&name).context("an agent")?.start()?;
    let hidden = api.start_hidden()?;
    for (closed, _) in CLOSED {
        hidden.put(Kind::NetworkPolicy, &from_friend_only(closed))?;
    }
    let changed = Instant::now();
    drop(hidden);
    api.stop_hidden();
    sleep(outage.saturating_sub(away.elapsed()).max(IGNORED));
    let agents_running = world.agents.values().all(|agent| agent.id().is_some());
    ensure!(agents_running, "an agent has ended");
    let returning = Instant::now();
    api.resume()?;
    let back = Instant::now();
    let agreement = world.until_agreed(LIMIT)?;
    sleep(LIMIT);
    let mut obeyed = Duration::ZERO;
    for shots in finish_all(doomed)? {
        let passed = |shot: &&Shot| shot.passed();
        let before =
            shots.iter().filter(|shot| (changed..returning).contains(&shot.at)).all(|it| it.passed());
        ensure!(before, "a change was obeyed before anybody could know of it, or the network loses packets");
        let last = shots.iter().rfind(passed).context("no packet passed before the change")?;
        obeyed = obeyed.max(last.at.saturating_duration_since(back));
    }
    ensure!(obeyed <= LIMIT, "the last packet that the change forbids passed {obeyed:?} after the return");
    let fate = traffic.finish(start)?;
    fate.check()?;
    Ok(format!(
        "away for {:.1?}; the last packet that a change made meanwhile forbids passed {obeyed:.0?} after the return, all \
         pairs agreed after {:.0?}; none of {} packets lost or leaked",
        back.duration_since(away),
        agreement.took,
        fate.packets
    ))
}

/// etcd is restored from a backup: its versions are older than those that the agents have seen.
pub fn restored(api: &mut ApiServer) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, false)?;
    api.stop();
    api.copy_storage(Direction::BackUp)?;
    api.resume()?;
    world.objects.put(Kind::NetworkPolicy, &from_friend_only("subject"))?;
    // So many changes that the server does not soon come to where it was.
    for _ in 0..100 {
        world.objects.put(Kind::NetworkPolicy, &from_friend_only("neighbour"))?;
        world.objects.delete(Kind::NetworkPolicy, &key("neighbour"))?;
    }
    world.until_agreed(LIMIT)?;
    let (traffic, start) = (Traffic::start(&world)?, Instant::now());
    api.stop();
    api.copy_storage(Direction::Restore)?;
    api.resume()?;
    let agreement = world.until_agreed(LIMIT)?;
    for (node, agent) in &world.agents {
        let metrics = agent.get("/metrics")?;
        let noticed = metrics.lines().any(|line| line.contains("reason=\"restored\""));
        ensure!(noticed, "{node}: it was not the older version that made the agent list again");
    }
    let fate = traffic.finish(start)?;
    fate.check()?;
    Ok(format!(
        "obeyed {:.0?} after the return; none of {} packets lost or leaked",
        agreement.took, fate.packets
    ))
}
