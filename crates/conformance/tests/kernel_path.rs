//! The path does not matter in a real kernel either: the engine's transactions, event by event and in an order that
//! chance decides, are all taken, and what is read back after each is what the engine says, and at every stop what a
//! compile from scratch says. `PODWALL_SEED` chooses another path, `PODWALL_PATHS` how many.

#[path = "../../compiler/tests/properties/cluster.rs"]
#[allow(dead_code)] // the connections: the agreement's business
mod cluster;
#[path = "events/walk.rs"]
mod walk;

use std::process::ExitCode;

use podwall_compiler::{Engine, bridge_table_id, table_id};
use podwall_conformance::Random;
use podwall_netlink::{Kernel, ReadBack};
use podwall_policy::Cluster;
use podwall_ruleset::{Known, Ruleset, diff};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use walk::{engine, from_scratch, go, without_nodes};

/// How many paths are taken: each from nothing to a state, some of them back to nothing, and to another state.
const PATHS: u64 = 40;

fn main() -> ExitCode {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (seed, paths) = (number("PODWALL_SEED").unwrap_or(1), number("PODWALL_PATHS").unwrap_or(PATHS));
    let walked = podwall_lab::isolate_process()
        .map_err(|error| error.to_string())
        .and_then(|()| Kernel::open().map_err(|error| error.to_string()))
        .and_then(|mut kernel| {
            (0..paths).map(|path| walk_one(&mut kernel, seed, path)).sum::<Result<usize, String>>()
        });
    match walked {
        Ok(transactions) if transactions > paths as usize => {
            println!("{paths} paths, {transactions} transactions, each read back as it was meant");
            ExitCode::SUCCESS
        }
        Ok(transactions) => {
            eprintln!("only {transactions} transactions");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes one path; how many transactions that took.
fn walk_one(kernel: &mut Kernel, seed: u64, path: u64) -> Result<usize, String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&path.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut any_state = || cluster::cluster().new_tree(&mut runner).map(|tree| without_nodes(tree.current()));
    let (nothing, before, after) = (
        Cluster::default(),
        any_state().map_err(|it| it.to_string())?,
        any_state().map_err(|it| it.to_string())?,
    );
    let stops = match path % 2 {
        0 => vec![&nothing, &before, &after],
        _ => vec![&nothing, &before, &nothing, &after],
    };
    let (mut engine, mut random, mut transactions) = (engine(), Random(seed ^ path), 0);
    remove_tables(kernel)?;
    for pair in stops.windows(2) {
        let mut commit = |engine: &mut Engine| {
            transactions += 1;
            commit(kernel, engine)
        };
        go(&mut engine, pair[0], pair[1], &mut random, &mut commit)
            .map_err(|error| format!("PODWALL_SEED={seed}, path {path}: {error}"))?;
        if read(kernel)? != from_scratch(pair[1]) {
            return Err(format!("PODWALL_SEED={seed}, path {path}: another state than from scratch"));
        }
    }
    Ok(transactions)
}

fn commit(kernel: &mut Kernel, engine: &mut Engine) -> Result<(), String> {
    let transaction = engine.take_changes();
    kernel.apply(&transaction).map_err(|error| format!("{error}\n{transaction:#?}"))?;
    let held = read(kernel)?;
    if held == engine.ruleset() {
        return Ok(());
    }
    Err(format!("the kernel holds\n{held}\nwhere the engine says\n{}", engine.ruleset()))
}

fn read(kernel: &mut Kernel) -> Result<Ruleset, String> {
    match kernel.read(&[table_id(), bridge_table_id()]).map_err(|error| error.to_string())? {
        ReadBack::Exactly(ruleset) => Ok(ruleset),
        ReadBack::Foreign { table, what } => Err(format!("{table:?}: {what}")),
    }
}

/// What the path before has left: an engine knows only of tables that it makes.
fn remove_tables(kernel: &mut Kernel) -> Result<(), String> {
    let nothing = diff(&Known::Exactly(read(kernel)?), &Ruleset::default());
    kernel.apply(&nothing).map_err(|error| error.to_string())
}
