//! Random changes, after each of which every packet must do as the specification says: of 1,000 pods, most of them
//! objects only, and 200 policies, on two nodes. Quick: 10 changes; FULL=1: 200. Then the same of fewer, with bridged pods.
//! `SEED=N` makes the changes of another run again.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::random::{Driver, Random};
use podwall_integration::{ApiServer, Sample, Suite, World, WorldOptions, describe, is_full};
use podwall_lab::Layout;
use podwall_policy::{Protocol, Transport};

/// How long a change may take to be obeyed by every packet.
const LIMIT: Duration = Duration::from_secs(5);
const REAL_PODS: std::ops::RangeInclusive<usize> = 10..=16;

/// How much is done.
struct Size {
    distant_pods: usize,
    policies: usize,
    changes: usize,
}

fn main() -> ExitCode {
    let start = Size { distant_pods: 984, policies: 200, changes: if is_full() { 200 } else { 10 } };
    let bridged = Size { distant_pods: 20, policies: 12, changes: if is_full() { 200 } else { 6 } };
    Suite::main(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent-changes"), |suite| {
        suite.test("random changes of a large cluster, routed", |api| run(api, Layout::Routed, &start));
        suite.test("random changes of a small cluster, bridged", |api| run(api, Layout::Bridged, &bridged));
        Ok(())
    })
}

fn run(api: &mut ApiServer, layout: Layout, size: &Size) -> Result<String> {
    let started = Instant::now();
    let mut world = World::new(api, WorldOptions::new(layout, 2))?;
    let port = |protocol, port| Transport::Port(protocol, port);
    world.transports =
        [port(Protocol::Tcp, 80), port(Protocol::Tcp, 8001), port(Protocol::Udp, 53), Transport::Other]
            .into();
    let mut driver = Driver::new(Random::from_environment()?, &world, REAL_PODS);
    driver.begin(&mut world, size.distant_pods, size.policies)?;
    let made = started.elapsed();
    ensure!(!world.wrong_pairs()?.is_empty(), "without agents, no packet goes where it must not");
    let started = Instant::now();
    world.start_agents()?;
    let ready = started.elapsed();
    let late = world.wrong_pairs()?;
    ensure!(late.is_empty(), "agents that call themselves ready enforce otherwise:\n{}", describe(&late));
    let (mut times, mut allowed, mut probes) = (Vec::new(), 0, 0);
    for index in 0..size.changes {
        let change = driver.change(&mut world)?;
        let agreement = world.until_agreed(LIMIT).with_context(|| format!("change {index}: {change}"))?;
        times.push(agreement.took);
        allowed += agreement.results.iter().filter(|result| result.evaluated()).count();
        probes += agreement.results.len();
    }
    times.sort();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    for (node, agent) in &world.agents {
        println!("  {node}: {}", Sample::take(agent)?);
    }
    ensure!(
        (probes / 20..probes * 19 / 20).contains(&allowed),
        "{allowed} of {probes} allowed: that tries little"
    );
    Ok(format!(
        "world made in {made:.1?}, agents ready in {ready:.1?}, {} changes obeyed, all probed in {median:.0?} \
         (median), {slowest:.0?} (slowest), {probes} probes, {allowed} of them allowed",
        times.len()
    ))
}
