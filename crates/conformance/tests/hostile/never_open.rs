//! Policies of the API's shape, damaged: what is complained of is never more open than what was meant.

use std::collections::BTreeSet;
use std::time::Instant;

use podwall_conformance::damage::damage;
use podwall_conformance::{Action, Object, Random, State, cases};
use podwall_policy::{Cluster, Endpoint, Flow, ObjectKey, Protocol, Transport, evaluate};

use crate::way::Nodes;
use crate::{budget, cluster, manifests};

/// The policies of all cases.
fn policies() -> Vec<Object> {
    let actions = cases().into_iter().flat_map(|case| case.steps).flatten();
    let applied = actions.filter_map(|action| match action {
        Action::Apply(object) if object["kind"] == "NetworkPolicy" => Some(object),
        _ => None,
    });
    applied.collect()
}

/// The grid with one policy; and whether all of its text was understood, or at least read as an object.
fn with_policy(grid: &Cluster, policy: &Object) -> (Cluster, bool, bool) {
    let manifests = manifests(policy.to_string().into_bytes());
    let cluster = Cluster { policies: manifests.policies.clone(), ..grid.clone() };
    (cluster, manifests.problems.is_empty(), !manifests.unreadable())
}

/// Interfaces are named after pods here.
fn with_unique_names(mut cluster: Cluster) -> Cluster {
    let rename =
        |key: ObjectKey| ObjectKey::new(key.namespace.clone(), format!("{}-{}", key.namespace, key.name));
    cluster.pods = cluster.pods.into_iter().map(|(key, pod)| (rename(key), pod)).collect();
    cluster
}

/// To and from the pods of the policy's namespace, and one pod of another.
fn flows(cluster: &Cluster) -> Vec<Flow> {
    let pods =
        cluster.pods.iter().map(|(key, pod)| Endpoint::Pod { pod: key.clone(), address: pod.addresses[0] });
    let ends: Vec<Endpoint> = pods.chain([Endpoint::Outside("203.0.113.50".parse().unwrap())]).collect();
    let is_subject = |end: &Endpoint| matches!(end, Endpoint::Pod { pod, .. } if &*pod.namespace == "x");
    let transports =
        [Transport::Port(Protocol::Tcp, 80), Transport::Port(Protocol::Udp, 81), Transport::Other];
    let pairs = ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to)));
    let pairs = pairs.filter(|(from, to)| is_subject(from) || is_subject(to));
    pairs
        .flat_map(|(from, to)| {
            transports.map(|transport| Flow { from: from.clone(), to: to.clone(), transport })
        })
        .collect()
}

/// Damages the policy and compares; true when it was complained of.
fn check(grid: &Cluster, policy: &Object, random: &mut Random) -> bool {
    let mut damaged = policy.clone();
    damage(&mut damaged["spec"], random);
    let (meant, _, _) = with_policy(grid, policy);
    let (written, understood, readable) = with_policy(grid, &damaged);
    let nodes = Nodes::compile(&written, &BTreeSet::new(), None);
    for flow in flows(&written) {
        let allowed = evaluate(&written, &flow).allowed();
        assert_eq!(nodes.pass(&written, &flow), allowed, "{damaged}\n{flow:?}");
        let opened = allowed && !evaluate(&meant, &flow).allowed();
        assert!(understood || !readable || !opened, "opened by damage:\n{policy}\n{damaged}\n{flow:?}");
    }
    !understood
}

#[test]
fn what_is_complained_of_is_never_more_open_than_what_was_meant() {
    let (until, mut random) = budget();
    let policies = policies();
    let grid = with_unique_names(cluster(&manifests(State::grid().manifests().into_bytes())));
    let (mut tried, mut complained) = (0_u64, 0_u64);
    while Instant::now() < until {
        let policy = random.pick(&policies);
        complained += u64::from(check(&grid, policy, &mut random));
        tried += 1;
    }
    println!("{tried} damaged policies, {complained} complained of");
    assert!(complained * 4 > tried && tried > 50, "{complained} of {tried}: the damage is none");
}
