//! An API server that is away for a while: what was enforced stays so, even when an agent is killed meanwhile.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{Traffic, enforced, from_friend_only};
use podwall_integration::{ApiServer, Kind};
use podwall_lab::Layout;

/// How long after its return a change may take: watches that failed are tried again at growing intervals.
const LIMIT: Duration = Duration::from_secs(30);

pub fn run(api: &mut ApiServer, outage_s: u64) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, false)?;
    let (traffic, start) = (Traffic::start(&world)?, Instant::now());
    let half = Duration::from_secs(outage_s) / 2;
    api.stop();
    sleep(half);
    let name = world.agents.keys().next().cloned().context("an agent")?;
    world.agents.get_mut(&name).context("an agent")?.start()?;
    sleep(half);
    let agents_running = world.agents.values().all(|agent| agent.id().is_some());
    ensure!(agents_running, "an agent has ended");
    api.resume()?;
    let back = Instant::now();
    world.objects.put(Kind::NetworkPolicy, &from_friend_only("subject"))?;
    let agreement = world.until_agreed(LIMIT)?;
    let obeyed = back.elapsed();
    ensure!(agreement.wrong_at_first == 0 || obeyed < LIMIT, "obeyed only after {obeyed:?}");
    let fate = traffic.finish(start)?;
    fate.check()?;
    Ok(format!(
        "away for {outage_s} s, a change obeyed {obeyed:.0?} after its return, none of {} packets lost or leaked",
        fate.packets
    ))
}
