//! Random changes, after each of which every packet must do as the specification says: of 1,000 pods, most of them
//! objects only, and 200 policies, on two nodes; then the same with bridged pods. Quick: 10 changes, and fewer objects on a
//! bridge; FULL=1: 200.
//! `SEED=N` makes the changes of another run again.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::random::{Driver, Random};
use podwall_integration::{ApiServer, Sample, Spread, Suite, World, WorldOptions, describe, is_full};
use podwall_lab::Layout;
use podwall_policy::{Protocol, Transport};

/// How long a change may take to be obeyed by every packet.
const LIMIT: Duration = Duration::from_secs(5);
const REAL_PODS: std::ops::RangeInclusive<usize> = 10..=16;

/// How much is done.
#[derive(Clone, Copy)]
struct Size {
    distant_pods: usize,
    policies: usize,
    changes: usize,
}

fn main() -> ExitCode {
    let start = Size { distant_pods: 984, policies: 200, changes: if is_full() { 200 } else { 10 } };
    let bridged = if is_full() { start } else { Size { distant_pods: 20, policies: 12, changes: 6 } };
    Suite::main(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent-changes"), |suite| {
        suite.test("random changes, routed", |api| run(api, Layout::Routed, &start));
        suite.test("random changes, bridged", |api| run(api, Layout::Bridged, &bridged));
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
    let unenforced = world.wrong_pairs()?.len();
    ensure!(unenforced > 0, "without agents, no packet goes where it must not");
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
    for (node, agent) in &world.agents {
        println!("  {node}: {}", Sample::take(agent)?);
    }
    ensure!(
        (probes / 20..probes * 19 / 20).contains(&allowed),
        "{allowed} of {probes} allowed: that tries little"
    );
    Ok(format!(
        "{} pods and {} policies made in {made:.1?}, {unenforced} pairs wrong without agents; agents started and ready in \
         {ready:.1?}, 0 wrong; {} changes, from each until all pairs were probed right: {}; {probes} probes agree, \
         {allowed} of them allowed",
        size.distant_pods + REAL_PODS.end(),
        size.policies,
        times.len(),
        Spread::of(times),
    ))
}
