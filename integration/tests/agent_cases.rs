//! The conformance cases, the third way: written to a real API server action by action, enforced by agents, and probed
//! with real packets after each step. Quick: a fair sample, half of it routed and half bridged; FULL=1: all cases, both.
//!
//! `cargo test --test agent_cases -- peers/` runs those whose names contain `peers/`; `PODWALL_SEED` chooses another
//! sample.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use podwall_conformance::{Case, State, cases, sample};
use podwall_integration::{ApiServer, Suite, World, WorldOptions, is_full};
use podwall_lab::Layout;
use podwall_policy::read::{Source, read};
use podwall_policy::{Cluster, PlacementOptions, Protocol, Transport, place};
use serde_json::Value as Json;

/// How many cases are tried when not all are.
const SAMPLE: usize = 40;
/// How long a step may take to be obeyed by every packet.
const LIMIT: Duration = Duration::from_secs(5);
/// A case that must be seen to go wrong where nobody enforces it.
const CONTROL: &str = "targets/all/deny-both";

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let fits = |case: &Case| filters.is_empty() || filters.iter().any(|it| case.name.contains(it.as_str()));
    let seed = std::env::var("PODWALL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let chosen: Vec<Case> = cases().into_iter().filter(fits).collect();
    let chosen = if is_full() || !filters.is_empty() { chosen } else { sample(chosen, SAMPLE, seed) };
    // Tests are named after what was asked for, so that the suite's own choice lets them through.
    let suffix = filters.join(" ");
    Suite::main(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent-cases"), |suite| {
        suite.test(&format!("a case without agents is noticed {suffix}"), unenforced);
        // The sample begins with the cases that are about most: both layouts get their part of those.
        let every_second =
            |first: usize| chosen.iter().skip(first).step_by(2).cloned().collect::<Vec<Case>>();
        let shares =
            if is_full() { [chosen.clone(), chosen.clone()] } else { [every_second(0), every_second(1)] };
        for (layout, name, share) in
            [(Layout::Routed, "routed", &shares[0]), (Layout::Bridged, "bridged", &shares[1])]
        {
            suite.test(&format!("{} cases through agents, {name} {suffix}", share.len()), |api| {
                run(api, layout, share)
            });
        }
        Ok(())
    })
}

fn world(api: &ApiServer, layout: Layout) -> Result<World> {
    let mut world = World::new(api, WorldOptions::new(layout, 2))?;
    let port = |protocol, port| Transport::Port(protocol, port);
    world.transports = [
        port(Protocol::Tcp, 80),
        port(Protocol::Tcp, 81),
        port(Protocol::Udp, 80),
        port(Protocol::Udp, 81),
        port(Protocol::Sctp, 80),
        Transport::Other,
    ]
    .into();
    Ok(world)
}

/// All cases one after the other, so that agents also move from the end of one to the start of the next.
fn run(api: &mut ApiServer, layout: Layout, cases: &[Case]) -> Result<String> {
    let mut world = world(api, layout)?;
    go_to(&mut world, &State::grid(), None)?;
    world.start_agents()?;
    let (mut steps, mut probes, mut denied, mut slowest) = (0, 0, 0, Duration::ZERO);
    for case in cases {
        let mut before = None;
        for (index, state) in case.states().iter().enumerate() {
            let step = || format!("{} step {index}", case.name);
            before = Some(go_to(&mut world, state, before.as_ref()).with_context(step)?);
            let agreement = world.until_agreed(LIMIT).with_context(step)?;
            slowest = slowest.max(agreement.took);
            steps += 1;
            probes += agreement.results.len();
            denied += agreement.results.iter().filter(|result| !result.evaluated()).count();
        }
    }
    // What is nearly always allowed is no test of denying.
    ensure!(denied * 20 > probes, "only {denied} of {probes} probes are of what is denied");
    Ok(format!("{steps} steps, {probes} probes, {denied} of them denied, slowest step {slowest:.1?}"))
}

/// The suite can fail: with nobody to enforce, packets go where they must not.
fn unenforced(api: &mut ApiServer) -> Result<String> {
    let mut world = world(api, Layout::Routed)?;
    let case = cases().into_iter().find(|case| case.name == CONTROL).context(CONTROL)?;
    go_to(&mut world, &case.states()[0], None)?;
    let wrong = world.wrong_pairs()?;
    ensure!(!wrong.is_empty(), "all packets do as the specification says, though nobody enforces it");
    Ok(format!("{} probes go wrong", wrong.len()))
}

/// Makes the API server have what the state has, and returns that as a cluster in which everything has its place.
fn go_to(world: &mut World, state: &State, before: Option<&Cluster>) -> Result<Cluster> {
    let source = Source { name: "case.yaml".into(), bytes: state.manifests().into_bytes() };
    let manifests = read(&[source], "default");
    let cluster = place(&manifests, &PlacementOptions { node_count: 2, ipv4: true, ipv6: true }, before);
    let policies: Vec<Json> =
        state.objects().filter(|object| object["kind"] == "NetworkPolicy").cloned().collect();
    world.move_to(&cluster, &policies)?;
    Ok(cluster)
}
