//! Every step of every case: what the compiled ruleset does, interpreted, is what the specification says, for every
//! pair of ends and both families. Once with an interface for each pod, once without one for half of them.

use std::collections::BTreeSet;
use std::thread;

use podwall_conformance::{Case, State};
use podwall_policy::read::{Source, read};
use podwall_policy::{
    Cluster, Endpoint, Flow, ObjectKey, PlacementOptions, Protocol, Transport, evaluate, place,
};

use crate::figures::Figures;
use crate::way::Nodes;

const THREADS: usize = 2;
/// A host of each family outside the cluster.
pub const OUTSIDE: [&str; 2] = ["203.0.113.50", "2001:db8::50"];

pub fn judge(cases: &[Case]) -> Figures {
    in_shares("cases, interpreted", cases, judge_case)
}

/// Judges the cases in several threads.
pub fn in_shares(stage: &'static str, cases: &[Case], judge: impl Fn(&mut Figures, &Case) + Sync) -> Figures {
    let mut figures = Figures::new(stage);
    let share = cases.len().div_ceil(THREADS).max(1);
    let judge_share = |cases: &[Case]| {
        let mut figures = Figures::new("");
        for case in cases {
            figures.cases += 1;
            judge(&mut figures, case);
        }
        figures
    };
    thread::scope(|scope| {
        let threads: Vec<_> = cases.chunks(share).map(|share| scope.spawn(|| judge_share(share))).collect();
        threads.into_iter().for_each(|it| figures.add(it.join().expect("a mismatch is no panic")));
    });
    figures.finish()
}

fn judge_case(figures: &mut Figures, case: &Case) {
    let mut previous = None;
    for (step, state) in case.states().iter().enumerate() {
        let cluster = cluster(state, previous.as_ref());
        judge_state(figures, &format!("{} step {step}", case.name), &with_unique_names(&cluster));
        previous = Some(cluster);
    }
}

/// The cluster of a state; no case has anything that cannot be understood.
pub fn cluster(state: &State, previous: Option<&Cluster>) -> Cluster {
    let source = Source { name: "case.yaml".into(), bytes: state.manifests().into_bytes() };
    let manifests = read(&[source], "default");
    assert!(manifests.problems.is_empty(), "{:?}", manifests.problems);
    place(&manifests, &PlacementOptions { node_count: 2, ipv4: true, ipv6: true }, previous)
}

/// The same, but no two pods have the same name: interfaces are named after pods here. No verdict asks for names.
fn with_unique_names(cluster: &Cluster) -> Cluster {
    let rename =
        |key: &ObjectKey| ObjectKey::new(key.namespace.clone(), format!("{}-{}", key.namespace, key.name));
    let pods = cluster.pods.iter().map(|(key, pod)| (rename(key), pod.clone())).collect();
    Cluster { pods, ..cluster.clone() }
}

fn judge_state(figures: &mut Figures, name: &str, cluster: &Cluster) {
    let half: BTreeSet<ObjectKey> = cluster.pods.keys().step_by(2).cloned().collect();
    let all_ends = ends(cluster);
    for without_interface in [BTreeSet::new(), half] {
        let nodes = Nodes::compile(cluster, &without_interface, None);
        nodes.rulesets().for_each(|ruleset| figures.count_programs(ruleset));
        for (from, to) in pairs(&all_ends) {
            for transport in transports() {
                let flow = Flow { from: from.clone(), to: to.clone(), transport };
                let decision = evaluate(cluster, &flow);
                figures.count_probe(decision.allowed());
                if nodes.pass(cluster, &flow) != decision.allowed() {
                    figures.mismatches.push(format!("{name}: {flow:?}\n    must be {decision:?}"));
                }
            }
        }
    }
}

/// Every address of every pod that takes part, of the nodes, and of hosts outside.
pub fn ends(cluster: &Cluster) -> Vec<Endpoint> {
    let owners = cluster.address_owners();
    let pods = owners.into_iter().map(|(address, pod)| Endpoint::Pod { pod: pod.clone(), address });
    let nodes = cluster.nodes.iter().flat_map(|(node, it)| {
        it.addresses.iter().map(|address| Endpoint::Node { node: node.clone(), address: *address })
    });
    let outside = OUTSIDE.map(|address| Endpoint::Outside(address.parse().expect("an address")));
    pods.chain(nodes).chain(outside).collect()
}

/// All pairs of one family of which one at least is a pod.
fn pairs(ends: &[Endpoint]) -> impl Iterator<Item = (&Endpoint, &Endpoint)> {
    let is_pod = |end: &Endpoint| matches!(end, Endpoint::Pod { .. });
    let fits = move |(from, to): &(&Endpoint, &Endpoint)| {
        from.address().is_ipv4() == to.address().is_ipv4() && (is_pod(from) || is_pod(to))
    };
    ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to))).filter(fits)
}

/// What the grid serves, the neighbours of that, and what has no ports.
pub fn transports() -> Vec<Transport> {
    let served = Protocol::ALL.into_iter().flat_map(|it| [80, 81].map(|port| Transport::Port(it, port)));
    served
        .chain([79, 82].map(|port| Transport::Port(Protocol::Tcp, port)))
        .chain([Transport::Other])
        .collect()
}
