//! What is suggested allows every flow that was recorded, and nothing that was not.

use std::collections::BTreeSet;

use podwall_policy::read::Source;
use podwall_policy::{
    Cluster, Endpoint, Flow, FlowEnd, FlowRecord, FlowVerdict, NetworkPolicy, ObjectKey, Peers,
    PlacementOptions, Ports, evaluate, read,
};
use proptest::prelude::*;

use super::{SuggestOptions, Suggestion};
use crate::field::Direction;
use crate::snapshot::Snapshot;

fn snapshot(yaml: &str) -> Snapshot {
    let source = Source { name: "state.yaml".to_owned(), bytes: yaml.as_bytes().to_vec() };
    let placement = PlacementOptions { node_count: 2, ipv4: true, ipv6: false };
    let snapshot = Snapshot::read(&[source], "default", &placement, None);
    assert!(snapshot.problems().is_empty(), "{:?}", snapshot.problems());
    snapshot
}

fn pod(namespace: &str, name: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{namespace: {namespace}, name: {name}, labels: {labels}}}\n"
    )
}

fn end(snapshot: &Snapshot, name: &str) -> FlowEnd {
    if let Ok(address) = name.parse() {
        return FlowEnd { address, pod: None, own_node: false };
    }
    let (namespace, pod) = name.split_once('/').unwrap();
    let key = ObjectKey::new(namespace, pod);
    let pod = snapshot.cluster.pods.get(&key);
    let address = pod.map_or("10.244.9.9".parse().unwrap(), |pod| pod.addresses[0]);
    FlowEnd { address, pod: Some(key), own_node: false }
}

fn record(snapshot: &Snapshot, from: &str, to: &str, protocol: &str, port: u16) -> FlowRecord {
    FlowRecord {
        first_seen_ms: 1,
        last_seen_ms: 2,
        verdict: FlowVerdict::Allowed,
        direction: None,
        from: end(snapshot, from),
        to: end(snapshot, to),
        protocol: protocol.to_owned(),
        port: (port > 0).then_some(port),
        policies: Vec::new(),
        count: 1,
    }
}

/// The state with the suggested policies alone.
fn with_policies(snapshot: &Snapshot, suggestion: &Suggestion) -> Cluster {
    let yaml = suggestion.to_yaml();
    let source = Source { name: "suggested.yaml".to_owned(), bytes: yaml.clone().into_bytes() };
    let manifests = read::read(&[source], "default");
    assert!(manifests.problems.is_empty(), "{:?}\n{yaml}", manifests.problems);
    assert_eq!(manifests.policies.len(), suggestion.policy_count());
    Cluster { policies: manifests.policies, ..snapshot.cluster.clone() }
}

fn allows(cluster: &Cluster, record: &FlowRecord) -> bool {
    let endpoint = |end: &FlowEnd| match &end.pod {
        Some(pod) => Endpoint::Pod { pod: pod.clone(), address: end.address },
        None => Endpoint::Outside(end.address),
    };
    let flow = Flow { from: endpoint(&record.from), to: endpoint(&record.to), transport: record.transport() };
    evaluate(cluster, &flow).allowed()
}

fn shop() -> Snapshot {
    let names = [("shop", "web", "{app: web}"), ("shop", "db", "{app: db, pod-template-hash: x}")];
    let dns = pod("kube-system", "coredns", "{k8s-app: kube-dns}");
    let pods = names.map(|(namespace, name, labels)| pod(namespace, name, labels)).concat();
    snapshot(&(pods + &dns))
}

#[test]
fn what_it_says_of_a_shop() {
    let state = shop();
    let records = [
        record(&state, "shop/web", "shop/db", "TCP", 5432),
        record(&state, "shop/web", "kube-system/coredns", "UDP", 53),
        record(&state, "203.0.113.9", "shop/web", "TCP", 443),
    ];
    let suggestion = Suggestion::new(&state, &records, &SuggestOptions::default());
    let expected = include_str!("tests/shop.yaml");
    assert_eq!(suggestion.to_yaml(), expected);
    assert_eq!(suggestion.refusals, [""; 0]);
    let cluster = with_policies(&state, &suggestion);
    assert!(records.iter().all(|it| allows(&cluster, it)));
    assert!(allows(&cluster, &record(&state, "shop/web", "kube-system/coredns", "TCP", 53)));
    assert!(!allows(&cluster, &record(&state, "shop/web", "shop/db", "TCP", 5433)));
    assert!(!allows(&cluster, &record(&state, "shop/db", "shop/web", "TCP", 443)));
}

#[test]
fn what_cannot_be_said_is_refused_with_a_reason() {
    let state = shop();
    let mut unnamed = record(&state, "shop/web", "shop/db", "TCP", 80);
    unnamed.to.pod = None;
    let records = [
        record(&state, "shop/gone", "shop/db", "TCP", 80),
        record(&state, "shop/web", "shop/db", "TCP", 80),
        unnamed,
        record(&state, "shop/web", "shop/db", "1", 0),
    ];
    let suggestion = Suggestion::new(&state, &records, &SuggestOptions::default());
    let reasons = suggestion.refusals.join("\n");
    for part in ["pod shop/gone is gone", "was a pod's at another time", "protocol 1 has no ports"] {
        assert!(reasons.contains(part), "{part} is not in\n{reasons}");
    }
    assert_eq!(suggestion.refusals.len(), 3);
    assert_eq!(suggestion.policy_count(), 2);
}

#[test]
fn denied_flows_are_allowed_only_when_asked_for() {
    let state = shop();
    let mut denied = record(&state, "shop/web", "shop/db", "TCP", 80);
    denied.verdict = FlowVerdict::Denied;
    let count = |denied_too| {
        let options = SuggestOptions { denied_too, ..SuggestOptions::default() };
        Suggestion::new(&state, &[denied.clone()], &options).policy_count()
    };
    assert_eq!((count(false), count(true)), (0, 2));
}

#[test]
fn pods_are_found_by_the_names_that_controllers_give_them() {
    let state = snapshot(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {namespace: shop, name: web}\nspec:\n  replicas: 1\n  \
         selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: \
         [{name: c, image: i}]}\n",
    );
    let record = record(&state, "203.0.113.9", "shop/web-7d4b9c5f6d-x2x9k", "TCP", 80);
    let suggestion = Suggestion::new(&state, &[record], &SuggestOptions::default());
    assert_eq!((suggestion.policy_count(), suggestion.refusals.len()), (1, 0));
    assert!(suggestion.to_yaml().contains("name: \"suggested-web\""));
}

const LABELS: [&str; 6] = [
    "{a: '1'}",
    "{a: '1', b: '1'}",
    "{a: '1', b: '2', pod-template-hash: z}",
    "{b: '1'}",
    "{}",
    "{k8s-app: kube-dns}",
];
const NAMESPACES: [&str; 3] = ["one", "two", "kube-system"];
const PORTS: [(&str, u16); 5] = [("TCP", 53), ("UDP", 53), ("TCP", 80), ("SCTP", 80), ("1", 0)];
const OUTSIDE: [&str; 2] = ["203.0.113.9", "2001:db8::9"];

fn drop_each(policy: &NetworkPolicy) -> Vec<NetworkPolicy> {
    let mut smaller = Vec::new();
    for direction in Direction::BOTH {
        let rules = direction.rules(policy).unwrap_or_default();
        let with = |index: usize, change: &dyn Fn(&mut podwall_policy::Rule)| {
            let mut policy = policy.clone();
            let rules = match direction {
                Direction::Egress => policy.egress.as_mut(),
                Direction::Ingress => policy.ingress.as_mut(),
            };
            change(&mut rules.unwrap()[index]);
            policy
        };
        for (index, rule) in rules.iter().enumerate() {
            let (Peers::Only(peers), Ports::Only(ports)) = (&rule.peers, &rule.ports) else {
                panic!("a rule for everybody or everything: {rule:?}")
            };
            smaller.extend((0..peers.len()).map(|peer| {
                with(index, &|rule| {
                    let Peers::Only(peers) = &mut rule.peers else { unreachable!() };
                    peers.remove(peer);
                })
            }));
            smaller.extend((0..ports.len()).map(|port| {
                with(index, &|rule| {
                    let Ports::Only(ports) = &mut rule.ports else { unreachable!() };
                    ports.remove(port);
                })
            }));
        }
    }
    smaller
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_recorded_flow_is_allowed_and_nothing_else(
        pods in proptest::collection::vec((0..NAMESPACES.len(), 0..LABELS.len()), 2..8),
        flows in proptest::collection::vec((0..10_usize, 0..10_usize, 0..PORTS.len()), 1..14),
    ) {
        let text: String = pods.iter().enumerate().map(|(index, (namespace, labels))| {
            pod(NAMESPACES[*namespace], &format!("p{index}"), LABELS[*labels])
        }).collect();
        let state = snapshot(&text);
        let names: Vec<String> = pods.iter().enumerate()
            .map(|(index, (namespace, _))| format!("{}/p{index}", NAMESPACES[*namespace]))
            .chain(OUTSIDE.map(str::to_owned)).collect();
        let name = |index: usize| &names[index % names.len()];
        let records: Vec<FlowRecord> = flows.iter().map(|(from, to, port)| {
            let (protocol, port) = PORTS[*port];
            record(&state, name(*from), name(*to), protocol, port)
        }).collect();
        let options = SuggestOptions { namespaces: NAMESPACES.map(Into::into).into(), ..SuggestOptions::default() };
        let suggestion = Suggestion::new(&state, &records, &options);
        let cluster = with_policies(&state, &suggestion);
        let refused = |it: &FlowRecord| Suggestion::new(&state, std::slice::from_ref(it), &options).refusals.len() == 1;
        let (refused, taken): (Vec<_>, Vec<_>) = records.iter().partition(|it| refused(it));
        for record in &taken {
            prop_assert!(allows(&cluster, record), "{record:?}\n{}", suggestion.to_yaml());
        }
        for record in refused {
            let unlabelled = [&record.from, &record.to].iter().any(|end| {
                let pod = end.pod.as_ref().map(|it| &state.cluster.pods[it]);
                pod.is_some_and(|pod| pod.labels.is_empty())
            });
            prop_assert!(record.port.is_none() || unlabelled, "{record:?}");
        }
        // DNS comes over both protocols once it was asked over one: the records of both are what is minimal for.
        let taken: Vec<_> = taken.into_iter().filter(|it| it.from != it.to).collect();
        let twins = taken.iter().filter(|it| it.port == Some(53)).flat_map(|record| {
            ["TCP", "UDP"].map(|protocol| FlowRecord { protocol: protocol.to_owned(), ..(*record).clone() })
        });
        let all: Vec<FlowRecord> = taken.iter().map(|it| (*it).clone()).chain(twins).collect();
        let all: Vec<_> = all.into_iter().filter(|it| allows(&cluster, it)).collect();
        for (key, policy) in &cluster.policies {
            for smaller in drop_each(policy) {
                let mut cluster = cluster.clone();
                cluster.policies.insert(key.clone(), smaller.clone());
                let needed = all.iter().any(|it| !allows(&cluster, it));
                prop_assert!(needed, "not minimal: {key} could be {smaller:?}\n{}", suggestion.to_yaml());
            }
        }
        // Between workloads that have policies, nothing is allowed that was not seen of those workloads.
        let label = |end: &FlowEnd| -> Option<(String, BTreeSet<(String, String)>)> {
            let key = end.pod.as_ref()?;
            let labels = state.cluster.pods[key].labels.iter().filter(|(key, _)| &***key != "pod-template-hash");
            Some((key.namespace.to_string(), labels.map(|(key, value)| (key.to_string(), value.to_string())).collect()))
        };
        let seen: BTreeSet<_> = all.iter().map(|it| (label(&it.from), label(&it.to), it.protocol.clone(), it.port)).collect();
        let subjects: BTreeSet<_> = taken.iter().flat_map(|it| [label(&it.from), label(&it.to)]).flatten().collect();
        for from in &names[..pods.len()] {
            for to in &names[..pods.len()] {
                for (protocol, port) in PORTS {
                    let probe = record(&state, from, to, protocol, port);
                    let both = (label(&probe.from), label(&probe.to));
                    let judged = [&both.0, &both.1].into_iter().flatten().any(|it| subjects.contains(it));
                    if from == to || !judged || probe.from.pod == probe.to.pod {
                        continue;
                    }
                    if allows(&cluster, &probe) {
                        prop_assert!(seen.contains(&(both.0, both.1, probe.protocol.clone(), probe.port)),
                            "{from} -> {to} {protocol}/{port} was not seen\n{}", suggestion.to_yaml());
                    }
                }
            }
        }
    }
}
