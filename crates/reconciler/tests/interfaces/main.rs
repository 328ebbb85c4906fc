//! The watch and the finder against the running kernel, each test in its own network namespace.
//!
//! Without libtest, because only a process of one thread may make a user namespace. `cargo test --test interfaces
//! NAME` runs those whose name contains NAME. No test sends a packet: pods are found before any traffic.

mod finding;
mod host;
mod losing;

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

const TESTS: &[(&str, fn())] = &[
    ("a_routed_pod_is_found", finding::a_routed_pod_is_found),
    ("a_bridged_pod_is_found", finding::a_bridged_pod_is_found),
    ("a_pod_that_is_known_first_is_found", finding::a_pod_that_is_known_first_is_found),
    ("a_side_that_is_moved_later_is_found", finding::a_side_that_is_moved_later_is_found),
    ("a_liar_gets_its_own_port_only", finding::a_liar_gets_its_own_port_only),
    ("two_hundred_and_fifty_pods_are_found", finding::two_hundred_and_fifty_pods_are_found),
    ("a_deleted_link_is_gone", losing::a_deleted_link_is_gone),
    ("a_left_bridge_and_a_new_name_are_seen", losing::a_left_bridge_and_a_new_name_are_seen),
    ("a_replaced_route_moves_the_address", losing::a_replaced_route_moves_the_address),
    ("lost_events_lose_nothing", losing::lost_events_lose_nothing),
    ("without_rights_routes_still_tell", losing::without_rights_routes_still_tell),
    ("a_dropped_watch_ends_its_thread", losing::a_dropped_watch_ends_its_thread),
];

/// How long one test may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Set for the process that has lost CAP_NET_ADMIN.
const WITHOUT_RIGHTS: &str = "PODWALL_TEST_WITHOUT_RIGHTS";

fn main() -> ExitCode {
    if std::env::var_os(WITHOUT_RIGHTS).is_some() {
        losing::look_without_rights();
        return ExitCode::SUCCESS;
    }
    if let Err(error) = podwall_lab::isolate_process() {
        println!("no namespaces here: {error}");
        return ExitCode::FAILURE;
    }
    let filters: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let is_well = run(*test);
        println!("test {name} ... {}", if is_well { "ok" } else { "FAILED" });
        if is_well { passed += 1 } else { failed += 1 }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Each in a thread of its own, which is left behind when it hangs.
fn run(test: fn()) -> bool {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        let outcome = std::panic::catch_unwind(test);
        let _ = done.send(outcome.is_ok());
    });
    ended.recv_timeout(PATIENCE).unwrap_or(false)
}
