//! Traps in what the kernel is given: refused as a whole, or open for a moment.

use std::path::Path;
use std::time::{Duration, Instant};

use podwall_conformance::cases;
use podwall_policy::{Cluster, ObjectKey};
use podwall_ruleset::{
    COMMENT_BYTES_MAX, Family, Hook, Key, Known, Operation, Packet, Ruleset, Set, diff, judge,
};

use crate::{Nodes, cluster_of, grid_with, policy, rulesets};

/// Pods of x deal with what is in these blocks, and a block for nobody else.
fn with_blocks(blocks: &str) -> Cluster {
    grid_with(&policy("x", "blocks", &format!("podSelector: {{}}, ingress: [{{from: [{blocks}]}}]")))
}

fn named_sets(rulesets: &[Ruleset]) -> impl Iterator<Item = &Set> {
    rulesets.iter().flat_map(|ruleset| ruleset.tables.values()).flat_map(|table| table.sets.values())
}

/// kube-router's nftables mode, calico #12851: the kernel refuses ranges that overlap, and all that comes with them.
#[test]
fn blocks_that_overlap_are_ranges_that_do_not() {
    let cluster = with_blocks(
        "{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: 10.1.0.0/16}}, {ipBlock: {cidr: 10.0.0.0/9, except: [10.2.0.0/16]}}, \
         {ipBlock: {cidr: 11.0.0.0/8, except: [11.0.0.0/9, 11.0.0.0/10]}}, {ipBlock: {cidr: 'fd00::/8'}}, {ipBlock: {cidr: 'fd00::/16'}}",
    );
    let rulesets = rulesets(&cluster);
    let mut checked = 0;
    for set in named_sets(&rulesets).filter(|set| set.interval) {
        let ranges: Vec<_> = set
            .elements
            .keys()
            .filter_map(|key| match key {
                Key::Range(first, last) => Some((first, last)),
                Key::Exact(_) => None,
            })
            .collect();
        assert_eq!(ranges.len(), set.elements.len(), "a set of ranges holds ranges");
        assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
        checked += ranges.len();
    }
    assert!(checked >= 3, "only {checked} ranges");
}

/// kube-router #2064, kubernetes #139515: one comment of more than 128 bytes, and the transaction was refused.
#[test]
fn the_longest_names_fit_into_comments() {
    let long = format!("{}{}", "long.name.of.a.policy.".repeat(11), "01234567");
    let objects: Vec<String> =
        (0..3).map(|index| policy("x", &format!("p{index}.{long}"), "podSelector: {}")).collect();
    let rulesets = rulesets(&grid_with(&objects.concat()));
    let tables = || rulesets.iter().flat_map(|ruleset| ruleset.tables.values());
    let of_chains =
        tables().flat_map(|table| table.chains.values()).filter_map(|chain| chain.comment.as_ref());
    let of_sets = named_sets(&rulesets).filter_map(|set| set.comment.as_ref());
    let of_elements = named_sets(&rulesets)
        .flat_map(|set| set.elements.values())
        .filter_map(|element| element.comment.as_ref());
    let lengths: Vec<usize> =
        of_chains.chain(of_sets).chain(of_elements).map(|it| it.to_string().len()).collect();
    assert!(lengths.iter().any(|length| *length > 100), "the long names are in no comment");
    assert!(lengths.iter().all(|length| *length <= COMMENT_BYTES_MAX), "{lengths:?}");
}

/// kube-router #2064, kube-network-policies #402: base chains were emptied or deleted, and for a moment all was open.
#[test]
fn no_change_of_state_touches_a_base_chain() {
    let mut changes = 0;
    let states = cases().into_iter().flat_map(|case| case.states());
    let compiled: Vec<Vec<Ruleset>> =
        states.step_by(5).map(|state| rulesets(&cluster_of(state.manifests()))).collect();
    for pair in compiled.windows(2) {
        for (before, after) in pair[0].iter().zip(&pair[1]) {
            let transaction = diff(&Known::Exactly(before.clone()), after);
            changes += usize::from(!transaction.operations.is_empty());
            let base = |name: &podwall_ruleset::Name| {
                before
                    .tables
                    .values()
                    .any(|table| table.chains.get(name).is_some_and(|chain| chain.base.is_some()))
            };
            let opens = |operation: &Operation| match operation {
                Operation::FlushChain { name, .. } | Operation::DeleteChain { name, .. } => base(name),
                Operation::DeleteTable(_) => true,
                _ => false,
            };
            assert!(!transaction.operations.iter().any(opens), "{transaction:?}");
        }
    }
    assert!(changes > 50, "only {changes} changes");
}

/// kube-router's nftables mode: a set was rewritten while chains of the old version still used it. Here a set or
/// chain that stays keeps its meaning: it is of the same pods and blocks, whatever the policy became.
#[test]
fn what_keeps_its_name_keeps_its_definition() {
    let before = with_blocks("{ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {matchLabels: {pod: b}}}");
    let after = with_blocks("{ipBlock: {cidr: 11.0.0.0/8}}, {podSelector: {matchLabels: {pod: c}}}");
    for (before, after) in rulesets(&before).iter().zip(&rulesets(&after)) {
        for (id, table) in &before.tables {
            let others = &after.tables[id];
            for (name, set) in table.sets.iter().filter(|(_, set)| !set.map) {
                assert!(
                    others.sets.get(name).is_none_or(|other| other == set),
                    "{name} means something else now"
                );
            }
            for (name, chain) in &table.chains {
                assert!(
                    others.chains.get(name).is_none_or(|other| other == chain),
                    "{name} means something else now"
                );
            }
        }
    }
}

/// kube-router #1895, openshift's multi-network-policy: neighbour discovery was dropped, and IPv6 was dead. A node hears
/// its pods in input; on a bridge they hear one another in forward.
#[test]
fn neighbour_discovery_passes_where_ping_does_not() {
    let cluster = grid_with(&policy("x", "deny", "podSelector: {}, policyTypes: [Ingress, Egress]"));
    let everyone = cluster.pods.keys().cloned().collect();
    let bridged: Vec<Ruleset> = Nodes::compile(&cluster, &everyone, None).rulesets().cloned().collect();
    let routed = rulesets(&cluster);
    let interface = |name: &str| Some(podwall_ruleset::InterfaceName::new(name).unwrap());
    let pod = &cluster.pods[&ObjectKey::new("x", "x-a")];
    let address = *pod.addresses.iter().find(|address| address.is_ipv6()).unwrap();
    let passes = |ruleset: &Ruleset, hook: Hook, icmpv6_type: u8| {
        let forward = hook == Hook::Forward;
        let packet = Packet {
            hook,
            input_interface: interface(if forward { "br0" } else { "veth-x-a" }),
            output_interface: if forward { interface("br0") } else { None },
            source: address,
            destination: "fd00:10:244::fe".parse().unwrap(),
            protocol: 58,
            source_port: None,
            destination_port: None,
            icmpv6_type: Some(icmpv6_type),
            mark: 0,
            translated: false,
            state: None,
        };
        judge(ruleset, &packet)
    };
    for (ruleset, hook) in [(&routed[0], Hook::Input), (&bridged[0], Hook::Forward)] {
        assert!((133..=137).all(|it| passes(ruleset, hook, it)), "neighbour discovery in {hook:?}");
        assert!(!passes(ruleset, hook, 128), "echo in {hook:?}");
    }
}

/// azure-container-networking #4831: a policy that multiplied selectors could not be compiled at all.
#[test]
fn selectors_are_added_and_not_multiplied() {
    let peers: Vec<String> = (0..200)
        .map(|index| format!("{{namespaceSelector: {{matchLabels: {{n: v{index}}}}}, podSelector: {{matchLabels: {{p: v{index}}}}}}}"))
        .collect();
    let ports: Vec<String> = (0..200).map(|index| format!("{{port: {}}}", 1 + 2 * index)).collect();
    let rules = format!(
        "podSelector: {{}}, ingress: [{{from: [{}], ports: [{}]}}]",
        peers.join(", "),
        ports.join(", ")
    );
    let started = Instant::now();
    let rulesets = rulesets(&grid_with(&policy("x", "large", &rules)));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let inet = rulesets[0].tables.iter().find(|(id, _)| id.family == Family::Inet).unwrap().1;
    assert!(inet.chains.len() < 20, "{} chains", inet.chains.len());
    assert!(rulesets[0].to_string().len() < 100_000, "{} bytes", rulesets[0].to_string().len());
}

/// kube-router #2064: an `nft` for each policy and each pod, of whatever version the image has. What a node runs starts
/// no program at all.
#[test]
fn what_is_installed_runs_no_other_program() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = 0;
    for name in ["policy", "compiler", "ruleset", "netlink", "reconciler"] {
        let mut folders = vec![crates.join(name).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                assert!(!text.contains("process::Command"), "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files > 100, "only {files} files");
}
