//! The hand-written expectations of the clauses (`crates/policy/tests/clauses`), asked of the compiled ruleset: what every
//! node on the way does, interpreted. A compiler that shared a mistake with the reading of the specification would still
//! not have it from here.

mod packets;
#[path = "../../../policy/tests/clauses/table/mod.rs"]
mod table;
#[path = "../../../compiler/tests/properties/way.rs"]
#[allow(dead_code)] // forged sources: the properties' business
mod way;

use std::collections::{BTreeMap, BTreeSet};

use podwall_policy::{Cluster, Endpoint, Flow, ObjectKey};

use table::{cases, cluster, flow, words};
use way::Nodes;

/// Interfaces are named after pods here, so every pod gets a short name of its own.
fn short_names(cluster: &Cluster) -> BTreeMap<ObjectKey, ObjectKey> {
    let short = |(index, key): (usize, &ObjectKey)| {
        (key.clone(), ObjectKey::new(key.namespace.clone(), index.to_string()))
    };
    cluster.pods.keys().enumerate().map(short).collect()
}

/// A pod on the host's network sends and receives as its node.
fn end(cluster: &Cluster, names: &BTreeMap<ObjectKey, ObjectKey>, end: &Endpoint) -> Endpoint {
    let Endpoint::Pod { pod, address } = end else { return end.clone() };
    match &cluster.pods[pod].node {
        Some(node) if cluster.pods[pod].host_network => {
            Endpoint::Node { node: node.clone(), address: *address }
        }
        _ => Endpoint::Pod { pod: names[pod].clone(), address: *address },
    }
}

#[test]
fn the_ruleset_does_as_the_clauses_say() {
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for ((clause, policies, expectations), objects) in cases() {
        let named = cluster(policies, objects);
        let names = short_names(&named);
        let pods = named.pods.iter().map(|(key, pod)| (names[key].clone(), pod.clone())).collect();
        let cluster = Cluster { pods, ..named.clone() };
        // Every second pod without an interface of its own, too: then its addresses are looked up.
        let half: BTreeSet<ObjectKey> = cluster.pods.keys().step_by(2).cloned().collect();
        for without_interface in [BTreeSet::new(), half] {
            let nodes = Nodes::compile(&cluster, &without_interface, None);
            for line in expectations.lines() {
                let (question, expected) = words(line);
                let flow = flow(&named, question);
                let flow =
                    Flow { from: end(&named, &names, &flow.from), to: end(&named, &names, &flow.to), ..flow };
                asked += 1;
                if nodes.pass(&cluster, &flow) != expected {
                    wrong.push(format!("{clause}\n  {line}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked > 500, "only {asked} questions");
}
