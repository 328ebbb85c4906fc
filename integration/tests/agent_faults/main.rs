//! What goes wrong in clusters, with packets under way all the time: agents that are killed, an API server that is
//! away, somebody who flushes the ruleset, pods that are there before anybody knows them, and connections that a new
//! policy forbids. Quick, or FULL=1: see [`Size`].
//!
//! `cargo test --test agent_faults -- flush` runs those whose names contain `flush`.

mod births;
mod flushes;
mod kills;
mod outage;
mod revocation;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use podwall_integration::arena::{Traffic, world};
use podwall_integration::{ApiServer, Suite, is_full};
use podwall_lab::Layout;

/// How much is done.
struct Size {
    kills: usize,
    outage_s: u64,
    flushes: usize,
    births: usize,
    /// Of each of four kinds: TCP and UDP, forbidden later and not.
    connections: usize,
}

const QUICK: Size = Size { kills: 4, outage_s: 2, flushes: 6, births: 2, connections: 250 };
const FULL: Size = Size { kills: 100, outage_s: 60, flushes: 100, births: 50, connections: 2_500 };

fn main() -> ExitCode {
    let size = if is_full() { FULL } else { QUICK };
    Suite::main(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent-faults"), |suite| {
        suite.test("streams notice that nobody enforces", unenforced);
        suite.test("agents are killed", |api| kills::run(api, size.kills));
        suite.test("the API server is away", |api| outage::run(api, size.outage_s));
        suite.test("etcd is restored from a backup", outage::restored);
        suite.test("the ruleset is flushed", |api| flushes::run(api, size.flushes));
        suite
            .test("new pods are closed until they are known, routed", |api| births::routed(api, size.births));
        suite.test("new pods are closed until they are known, bridged", |api| {
            births::bridged(api, size.births)
        });
        suite.test("forbidden connections end", |api| revocation::run(api, size.connections));
        Ok(())
    })
}

/// The measure can fail: without agents, streams that should be denied pass.
fn unenforced(api: &mut ApiServer) -> Result<String> {
    let world = world(api, Layout::Routed, false)?;
    let traffic = Traffic::start(&world)?;
    let start = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    let fate = traffic.finish(start)?;
    ensure!(
        fate.lost.is_empty() && fate.check().is_err(),
        "nobody enforces, and it is not noticed: {fate:?}"
    );
    Ok(format!("{} of {} packets leaked", fate.leaked.len(), fate.packets))
}
