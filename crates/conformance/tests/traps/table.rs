//! The list of traps, and where each would be noticed.

use std::path::Path;

/// A trap: the public issue, in what words others fell into it, and the test that fails if we do.
struct Trap {
    /// Its number in our survey of what breaks in production: 1 to 40, and 41 to 44 for what reading kube-router's
    /// nftables mode showed.
    number: u8,
    issue: &'static str,
    what: &'static str,
    /// The name of a test of this folder; or a file of the repository and a word in it.
    noticed_by: Notice,
}

/// A trap that the survey has no number for.
const OTHER: u8 = 0;
const NUMBERS: std::ops::RangeInclusive<u8> = 1..=44;

enum Notice {
    /// We cannot fall into it, and why.
    NotOurs(&'static str),
    Here(&'static str),
    There(&'static str, &'static str),
}

use Notice::{Here, NotOurs, There};

const fn trap(number: u8, issue: &'static str, what: &'static str, noticed_by: Notice) -> Trap {
    Trap { number, issue, what, noticed_by }
}

const PATH: &str = "crates/compiler/tests/properties/path.rs";
const EVENTS: &str = "crates/conformance/tests/events/main.rs";
const LARGE: &str = "crates/netlink/tests/kernel/size.rs";
const REFEREE: &str = "integration/tests/referee.rs";

const TRAPS: &[Trap] = &[
    trap(
        41,
        "kube-router, nftables mode",
        "overlapping blocks refused",
        Here("blocks_that_overlap_are_ranges_that_do_not"),
    ),
    trap(
        42,
        "kube-router, nftables mode",
        "one except for all blocks",
        Here("an_except_of_one_block_leaves_the_other_block_alone"),
    ),
    trap(43, "kube-router, nftables mode", "::/0 is only part of IPv6", Here("all_of_ipv6_is_all_of_it")),
    trap(
        44,
        "kube-router, nftables mode",
        "old chains with new sets",
        Here("what_keeps_its_name_keeps_its_definition"),
    ),
    trap(
        1,
        "kube-router #2064",
        "except of one rule blocks another",
        Here("an_except_of_one_rule_leaves_the_others_alone"),
    ),
    trap(2, "kube-router #2064", "flush, then fill", Here("no_change_of_state_touches_a_base_chain")),
    trap(
        4,
        "kube-router #2064",
        "old chains leak or block the sync",
        There(PATH, "any_sequence_of_states_ends_where_a_fresh_start_would"),
    ),
    trap(
        5,
        "kube-router #2064",
        "protocol without port",
        Here("a_protocol_without_a_port_is_all_its_ports_and_harms_no_other_policy"),
    ),
    trap(
        6,
        "kube-router #2064",
        "comment of more than 128 bytes",
        Here("the_longest_names_fit_into_comments"),
    ),
    trap(
        7,
        "kube-router #2064",
        "a security flag that does nothing",
        There("integration/tests/agent_faults/births.rs", "unknown"),
    ),
    trap(
        8,
        "kube-router #2064",
        "nft is run for every policy",
        Here("what_is_installed_runs_no_other_program"),
    ),
    trap(
        10,
        "kube-router #680",
        "the kernel's reason is lost",
        There("crates/netlink/tests/kernel/refusal.rs", "refusals"),
    ),
    trap(
        11,
        "calico #11750",
        "nft cannot list what another nft wrote",
        There(REFEREE, "the listing reloads"),
    ),
    trap(
        13,
        "kube-router #1777",
        "foreign tables and rules",
        There("crates/netlink/tests/kernel/families.rs", "Foreign"),
    ),
    trap(
        15,
        "firewalld #767",
        "an accept that is to overrule a drop",
        There("crates/ruleset/src/judge.rs", "does not drop the packet"),
    ),
    trap(
        17,
        "kube-network-policies #54",
        "hooks at the place of others",
        There("crates/compiler/tests/cases/deny-both/ruleset.nft", "priority filter - 5"),
    ),
    trap(
        18,
        "k3s #13432",
        "open until the policy arrives",
        There("integration/tests/agent_faults/births.rs", "unknown"),
    ),
    trap(
        20,
        "aws-network-policy-agent #345",
        "connection tracking of one's own",
        There("crates/compiler/tests/cases/deny-both/ruleset.nft", "ct state established,related accept"),
    ),
    trap(21, "antrea #5777", "a restart opens or cuts", There(PATH, "the same state asks for nothing")),
    trap(
        22,
        "kube-router #461",
        "connections reset while rules change",
        Here("no_change_of_state_touches_a_base_chain"),
    ),
    trap(
        23,
        "kube-network-policies #402",
        "base chains deleted and made anew",
        Here("no_change_of_state_touches_a_base_chain"),
    ),
    trap(
        25,
        "kube-network-policies #65",
        "probes of the own node dropped",
        Here("the_own_node_gets_through_whatever_is_denied"),
    ),
    trap(
        26,
        "kube-router #1895",
        "neighbour discovery dropped",
        Here("neighbour_discovery_passes_where_ping_does_not"),
    ),
    trap(
        27,
        "kube-network-policies #389",
        "node addresses in pod sets",
        Here("a_pod_on_the_hosts_network_neither_isolates_its_node_nor_lends_it_labels"),
    ),
    trap(28, "kube-router #85", "no peer is every peer", Here("a_peer_that_matches_nobody_lets_nobody_in")),
    trap(
        29,
        "kube-router #916",
        "same node: ingress not asked",
        Here("on_one_node_too_ingress_is_asked_after_egress_has_allowed"),
    ),
    trap(
        30,
        "kube-router #1136",
        "Services judged by their own address",
        There("integration/scenarios/a07-service/expect.yaml", "service"),
    ),
    trap(31, "kubernetes #125611", "a pod cannot reach itself", Here("a_pod_reaches_itself_and_no_replica")),
    trap(
        32,
        "aws-network-policy-agent #616",
        "programs shared by name",
        Here("equal_names_and_labels_in_two_namespaces_share_nothing"),
    ),
    trap(33, "calico #12851", "overlapping blocks", Here("blocks_that_overlap_are_ranges_that_do_not")),
    trap(34, "cilium #46189", "hard limits", Here("a_hundred_ports_are_a_hundred_ports")),
    trap(
        35,
        "azure-container-networking #4831",
        "selectors multiplied",
        Here("selectors_are_added_and_not_multiplied"),
    ),
    trap(OTHER, "calico #4373", "any port narrowed by a port", Here("any_port_is_not_narrowed_by_a_port")),
    trap(
        OTHER,
        "cilium #24779",
        "port names resolved once for all",
        Here("a_name_is_what_the_called_pod_means_by_it"),
    ),
    trap(
        37,
        "kube-router #896",
        "rules that pile up",
        There(EVENTS, "any_order_of_events_ends_where_a_compile_from_scratch_does"),
    ),
    trap(OTHER, "firewalld #1544", "large batches are cut in two", There(LARGE, "too_large")),
    trap(
        3,
        "kube-router #2064",
        "a start empties what the last run left",
        There("integration/tests/agent_faults/kills.rs", ".kill()"),
    ),
    trap(
        9,
        "kube-router #2064",
        "one bad policy, and those after it are not applied",
        There("crates/compiler/tests/cases/refused-policy/problems.txt", "closed"),
    ),
    trap(
        12,
        "kube-router #1370, kubernetes #112477",
        "tables of others are read and written back",
        There("crates/netlink/tests/kernel/others.rs", "nothing_is_left_of_ours_but_what_is_desired"),
    ),
    trap(
        14,
        "calico #11051",
        "two enforcers on a node, and nobody says so",
        There("crates/reconciler/src/interfaces/enforcers.rs", "#[test]"),
    ),
    trap(
        16,
        "k0s #2908",
        "`nft flush ruleset` leaves everything open for minutes",
        There("integration/tests/agent_faults/flushes.rs", "flush"),
    ),
    trap(
        19,
        "calico #8048, #9706",
        "a new pod waits for all policies to be computed",
        There("crates/compiler/tests/properties/engine.rs", "a_remote_pod_moves_elements_only"),
    ),
    trap(
        24,
        "kind #3713",
        "two DNS queries of one socket get lost on the way through a queue",
        NotOurs("no packet leaves the kernel: there is no queue, and no rule that sends to one"),
    ),
    trap(
        36,
        "kube-router #680, #702, #1039",
        "every change is a change of everything",
        There("crates/compiler/tests/properties/path.rs", "peers_that_move_touch_elements_only"),
    ),
    trap(
        38,
        "kube-router #2059, azure #1256",
        "a refusal by the kernel is nobody's, and never tried again",
        There("crates/netlink/tests/kernel/refusal.rs", "all_refused_operations_are_named"),
    ),
    trap(
        39,
        "kube-router #505, kubernetes #79512",
        "nobody can say which policy dropped this",
        There("crates/explain/src/explain/tests.rs", "#[test]"),
    ),
    trap(
        40,
        "calico #6399, cilium #14040",
        "what is forbidden now lives on",
        There("integration/tests/agent_faults/revocation.rs", "forbidden"),
    ),
];

#[test]
fn every_number_has_a_trap_or_a_reason() {
    for number in NUMBERS {
        assert!(TRAPS.iter().any(|it| it.number == number), "{number} has neither a case nor a reason");
    }
    assert!(TRAPS.iter().all(|it| it.number == OTHER || NUMBERS.contains(&it.number)));
}

#[test]
fn every_trap_is_noticed_by_a_test_that_is_there() {
    let here = [include_str!("layout.rs"), include_str!("verdicts.rs")].concat();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for Trap { issue, what, noticed_by, .. } in TRAPS {
        match noticed_by {
            NotOurs(reason) => assert!(reason.len() > 40, "{issue}, {what}: a reason is a sentence"),
            Here(test) => assert!(here.contains(&format!("fn {test}()")), "{issue}, {what}: no test {test}"),
            There(file, word) => {
                let text = std::fs::read_to_string(root.join(file))
                    .unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(text.contains(word), "{issue}, {what}: {file} says nothing of {word}");
            }
        }
    }
}

#[test]
fn every_test_of_this_folder_is_in_the_table() {
    let here = [include_str!("layout.rs"), include_str!("verdicts.rs")].concat();
    let mut lines = here.lines();
    while lines.any(|line| line == "#[test]") {
        let name =
            lines.next().and_then(|line| line.strip_prefix("fn ")?.strip_suffix("() {")).expect("a function");
        assert!(TRAPS.iter().any(|it| matches!(it.noticed_by, Here(test) if test == name)), "{name}");
    }
}
