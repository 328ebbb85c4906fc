//! Tests against the running kernel, each in its own network namespace.
//!
//! Without libtest, because only a process of one thread may make a user namespace: this process runs itself
//! once for each kind of privilege, and there each test in a thread of its own. `cargo test --test kernel NAME`
//! runs those whose name contains NAME.

mod connections;
mod counters;
mod families;
mod fixture;
mod frames;
mod listing;
mod others;
mod packets;
mod refusal;
mod round_trip;
mod size;

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use nix::sched::{CloneFlags, unshare};

/// Set for the processes that run the tests; its value is what they may do.
const PRIVILEGE: &str = "PODWALL_TEST_PRIVILEGE";
/// Tells them `net.core.wmem_max`, which cannot be read in all network namespaces.
const BUFFER_LIMIT: &str = "PODWALL_TEST_BUFFER_LIMIT";
const INITIAL: &str = "initial user namespace";
const OWN: &str = "own user namespace";
const NONE: &str = "foreign network namespace";

const TESTS: &[(&str, fn())] = &[
    ("what_is_applied_is_read_back", round_trip::what_is_applied_is_read_back),
    ("every_kind_of_set_comes_back", round_trip::every_kind_of_set_comes_back),
    ("elements_come_and_go", round_trip::elements_come_and_go),
    ("ten_thousand_elements_come_back", round_trip::ten_thousand_elements_come_back),
    ("absent_tables_are_absent", round_trip::absent_tables_are_absent),
    ("foreign_things_are_seen", round_trip::foreign_things_are_seen),
    ("nft_lists_what_we_mean", listing::nft_lists_what_we_mean),
    ("nft_lists_sets_as_we_mean", listing::nft_lists_sets_as_we_mean),
    ("we_read_what_nft_makes", listing::we_read_what_nft_makes),
    ("both_families_come_back", families::both_families_come_back),
    ("nft_lists_both_families_as_they_print", families::nft_lists_both_families_as_they_print),
    ("we_read_what_nft_makes_of_both_families", families::we_read_what_nft_makes_of_both_families),
    ("foreign_things_are_seen_on_bridges", families::foreign_things_are_seen_on_bridges),
    ("families_keep_to_their_own", families::families_keep_to_their_own),
    ("packets_meet_the_right_ranges", packets::packets_meet_the_right_ranges),
    ("packets_meet_the_right_interfaces", packets::packets_meet_the_right_interfaces),
    ("frames_meet_the_right_rules", frames::frames_meet_the_right_rules),
    ("what_rules_counted_is_read", counters::what_rules_counted_is_read),
    ("a_marked_connection_is_told_apart", counters::a_marked_connection_is_told_apart),
    ("own_changes_are_not_heard", others::own_changes_are_not_heard),
    ("what_others_change_is_heard_once", others::what_others_change_is_heard_once),
    ("other_tables_are_not_heard", others::other_tables_are_not_heard),
    ("too_much_to_hear_is_no_error", others::too_much_to_hear_is_no_error),
    ("all_other_tables_are_seen", others::all_other_tables_are_seen),
    ("nothing_is_left_of_ours_but_what_is_desired", others::nothing_is_left_of_ours_but_what_is_desired),
    ("this_kernel_lacks_nothing", others::this_kernel_lacks_nothing),
    ("connections_are_listed_as_they_are", connections::connections_are_listed_as_they_are),
    ("only_the_bits_of_the_mask_change", connections::only_the_bits_of_the_mask_change),
    ("connections_in_zones_are_marked", connections::connections_in_zones_are_marked),
    ("many_connections_are_marked", connections::many_connections_are_marked),
    ("all_refused_operations_are_named", refusal::all_refused_operations_are_named),
    ("the_kernel_works_on_after_a_refusal", refusal::the_kernel_works_on_after_a_refusal),
    ("a_thousand_refusals_are_one", refusal::a_thousand_refusals_are_one),
    ("what_cannot_be_said_is_not_sent", refusal::what_cannot_be_said_is_not_sent),
    ("a_hundred_thousand_elements", size::a_hundred_thousand_elements),
    ("a_large_ruleset_is_built_up", size::a_large_ruleset_is_built_up),
    ("a_replacement_is_never_taken_apart", size::a_replacement_is_never_taken_apart),
    ("a_failed_build_up_leaves_nothing", size::a_failed_build_up_leaves_nothing),
];

/// Those that need to have no privilege.
const TESTS_WITHOUT: &[(&str, fn())] =
    &[("without_privilege_there_is_advice", refusal::without_privilege_there_is_advice)];

/// True if this process may exceed the limits of socket buffers.
fn may_force_buffers() -> bool {
    std::env::var(PRIVILEGE).as_deref() == Ok(INITIAL)
}

/// More bytes than fit in one message without force.
fn too_many_bytes() -> usize {
    let limit: usize = std::env::var(BUFFER_LIMIT).unwrap().trim().parse().unwrap();
    // The kernel doubles it.
    2 * limit + limit / 4
}

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let (passed, failed) = match std::env::var(PRIVILEGE) {
        Ok(privilege) => run(&privilege, &filters),
        Err(_) => run_processes(&filters),
    };
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_processes(filters: &[String]) -> (usize, usize) {
    let root = nix::unistd::geteuid().is_root();
    let privileges: &[&str] = if root { &[INITIAL, OWN, NONE] } else { &[OWN, NONE] };
    let limit = std::fs::read_to_string("/proc/sys/net/core/wmem_max").expect("net.core.wmem_max");
    let (mut passed, mut failed) = (0, 0);
    for privilege in privileges {
        let myself = std::env::current_exe().expect("the path of this program");
        let mut child = Command::new(myself)
            .args(filters)
            .env(PRIVILEGE, privilege)
            .env(BUFFER_LIMIT, &limit)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program once more");
        let mut counted = false;
        for line in BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok) {
            let count = line.split_once(" passed, ").and_then(|(passed, rest)| {
                Some((passed.parse::<usize>().ok()?, rest.strip_suffix(" failed")?.parse::<usize>().ok()?))
            });
            match count {
                Some((more_passed, more_failed)) => {
                    passed += more_passed;
                    failed += more_failed;
                    counted = true;
                }
                None => println!("{line}"),
            }
        }
        let status = child.wait().expect("a child to wait for");
        if !counted {
            println!("the tests in the {privilege} ended early: {status}");
            failed += 1;
        }
    }
    (passed, failed)
}

fn run(privilege: &str, filters: &[String]) -> (usize, usize) {
    if privilege != INITIAL {
        become_root_of_own_user_namespace();
    }
    let tests = if privilege == NONE { TESTS_WITHOUT } else { TESTS };
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let own_network = privilege != NONE;
        let outcome = std::thread::spawn(move || {
            if own_network {
                make_network_namespace();
            }
            test();
        })
        .join();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ({privilege}) ... {word}");
        if outcome.is_ok() { passed += 1 } else { failed += 1 }
    }
    (passed, failed)
}

fn make_network_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: run as root, or allow user namespaces");
}

fn become_root_of_own_user_namespace() {
    let user = nix::unistd::geteuid();
    let group = nix::unistd::getegid();
    unshare(CloneFlags::CLONE_NEWUSER).expect("a user namespace: allow them (user.max_user_namespaces)");
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        std::fs::write(format!("/proc/self/{file}"), text).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}
