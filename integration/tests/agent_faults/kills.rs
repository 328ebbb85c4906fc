//! Agents that are killed, each time with a change that the next one must obey soon.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{Traffic, enforced, from_friend_only, key};
use podwall_integration::{ApiServer, Kind, Spread};
use podwall_lab::Layout;

/// From the start of the new agent until every packet obeys.
const LIMIT: Duration = Duration::from_secs(2);

pub fn run(api: &mut ApiServer, kills: usize) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, false)?;
    // What is changed is for the agent that was killed to enforce.
    let nodes: Vec<_> = world.agents.keys().cloned().zip(["subject", "stranger"]).collect();
    let (traffic, start) = (Traffic::start(&world)?, Instant::now());
    let (mut times, mut wrong_at_first) = (Vec::new(), 0);
    for index in 0..kills {
        let (node, changed) = &nodes[index % nodes.len()];
        world.agents.get_mut(node).context("an agent of each node")?.kill();
        match index / nodes.len() % 2 {
            0 => world.objects.put(Kind::NetworkPolicy, &from_friend_only(changed))?,
            _ => world.objects.delete(Kind::NetworkPolicy, &key(changed))?,
        }
        let restarted = Instant::now();
        world.agents.get_mut(node).context("an agent of each node")?.start()?;
        let asked = restarted.elapsed();
        let agreement =
            world.until_agreed(LIMIT).with_context(|| format!("after kill {index}, of {node}"))?;
        times.push(asked + agreement.took);
        wrong_at_first += usize::from(agreement.wrong_at_first > 0);
    }
    let fate = traffic.finish(start)?;
    fate.check()?;
    let times = Spread::of(times);
    ensure!(times.longest() <= LIMIT, "from the restart until all packets obeyed: {times}");
    // The measure can fail: what is closed is open at first. What is opened may be open by the second try of a probe.
    ensure!(wrong_at_first >= kills / 4, "only {wrong_at_first} changes were seen not yet obeyed");
    Ok(format!(
        "{kills} kills, from each restart until all packets obey: {times}; none of {} packets lost or leaked",
        fate.packets
    ))
}
