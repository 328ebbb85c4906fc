//! Traps that others fell into, each with a test of its own here, or with the test elsewhere that would fail.
//! `table.rs` lists them with the public issue.
//!
//! Every expectation is written by hand, and holds of the reading of the specification and of the compiled ruleset,
//! interpreted, both.

mod layout;
mod table;
mod verdicts;
#[path = "../../../compiler/tests/properties/way.rs"]
#[allow(dead_code)] // forged sources: the properties' business
mod way;

use std::collections::BTreeSet;

use podwall_conformance::State;
use podwall_policy::read::{Source, read};
use podwall_policy::{
    Cluster, Endpoint, Flow, ObjectKey, PlacementOptions, Protocol, Transport, evaluate, place,
};
use podwall_ruleset::Ruleset;

use way::Nodes;

/// The grid with more objects, as YAML documents; all of them are understood.
fn grid_with(objects: &str) -> Cluster {
    cluster_of(format!("{}---\n{objects}", State::grid().manifests()))
}

fn cluster_of(text: String) -> Cluster {
    let manifests = read(&[Source { name: "trap.yaml".into(), bytes: text.into_bytes() }], "default");
    assert!(manifests.problems.is_empty(), "{:?}", manifests.problems);
    let mut cluster = place(&manifests, &PlacementOptions { node_count: 2, ipv4: true, ipv6: true }, None);
    // Interfaces are named after pods.
    let rename =
        |key: ObjectKey| ObjectKey::new(key.namespace.clone(), format!("{}-{}", key.namespace, key.name));
    cluster.pods = cluster.pods.into_iter().map(|(key, pod)| (rename(key), pod)).collect();
    cluster
}

/// A policy of a namespace, with its spec in one line.
fn policy(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    )
}

/// What the nodes should hold.
fn rulesets(cluster: &Cluster) -> Vec<Ruleset> {
    Nodes::compile(cluster, &BTreeSet::new(), None).rulesets().cloned().collect()
}

/// Checks lines `FROM -> TO PROTOCOL/PORT yes|no`: pods as `x/a`, nodes by name, others by address.
fn expect(cluster: &Cluster, lines: &str) {
    let nodes = Nodes::compile(cluster, &BTreeSet::new(), None);
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [from, "->", to, spoken, expected @ ("yes" | "no")] = words[..] else { panic!("{line}") };
        // Of the family of the end that is an address, IPv4 if none is.
        let ipv4 = ![from, to].iter().any(|end| end.contains(':'));
        let flow = Flow {
            from: endpoint(cluster, from, ipv4),
            to: endpoint(cluster, to, ipv4),
            transport: transport(spoken),
        };
        let decision = evaluate(cluster, &flow);
        assert_eq!(decision.allowed(), expected == "yes", "the reading: {line}\n{decision:?}");
        assert_eq!(nodes.pass(cluster, &flow), expected == "yes", "the ruleset: {line}\n{decision:?}");
    }
}

fn endpoint(cluster: &Cluster, text: &str, ipv4: bool) -> Endpoint {
    if let Some((namespace, name)) = text.split_once('/') {
        let pod = ObjectKey::new(namespace, format!("{namespace}-{name}"));
        let address = *cluster.pods[&pod].addresses.iter().find(|it| it.is_ipv4() == ipv4).unwrap();
        return Endpoint::Pod { pod, address };
    }
    match cluster.nodes.get_key_value(text) {
        Some((node, it)) => Endpoint::Node { node: node.clone(), address: it.addresses[0] },
        None => Endpoint::Outside(text.parse().unwrap()),
    }
}

fn transport(spoken: &str) -> Transport {
    let Some((protocol, port)) = spoken.split_once('/') else { return Transport::Other };
    let protocol = Protocol::ALL.into_iter().find(|it| it.to_string() == protocol).unwrap();
    Transport::Port(protocol, port.parse().unwrap())
}
