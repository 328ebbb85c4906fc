//! Agents that are killed, each time with a change that the next one must obey soon.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{Traffic, enforced, from_friend_only, key};
use podwall_integration::{ApiServer, Kind};
use podwall_lab::Layout;

/// From the start of the new agent until every packet obeys.
const LIMIT: Duration = Duration::from_secs(2);

pub fn run(api: &mut ApiServer, kills: usize) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, false)?;
    let nodes: Vec<_> = world.agents.keys().cloned().collect();
    let (traffic, start) = (Traffic::start(&world)?, Instant::now());
    let mut times = Vec::new();
    for index in 0..kills {
        let node = &nodes[index % nodes.len()];
        world.agents.get_mut(node).context("an agent of each node")?.kill();
        match index % 2 {
            0 => world.objects.put(Kind::NetworkPolicy, &from_friend_only("subject"))?,
            _ => world.objects.delete(Kind::NetworkPolicy, &key("subject"))?,
        }
        let restarted = Instant::now();
        world.agents.get_mut(node).context("an agent of each node")?.start()?;
        world.until_agreed(LIMIT).with_context(|| format!("after kill {index}, of {node}"))?;
        times.push(restarted.elapsed());
    }
    let fate = traffic.finish(start)?;
    fate.check()?;
    times.sort();
    ensure!(
        times.len() == kills && times[kills - 1] <= 2 * LIMIT,
        "obeyed only after {:?}",
        times[kills - 1]
    );
    let (median, slowest) = (times[kills / 2], times[kills - 1]);
    Ok(format!(
        "{kills} kills, all packets obey after {median:.0?} (median), {slowest:.0?} (slowest), none of {} lost or leaked",
        fate.packets
    ))
}
