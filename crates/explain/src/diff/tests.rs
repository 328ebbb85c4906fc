//! Whatever `diff` says of a pair and port is what `evaluate` says before and after, and no difference is left out.

use podwall_policy::{PlacementOptions, Protocol, Source, Transport};
use proptest::prelude::*;

use super::*;

/// Parts of policies, of which a state has some: podSelector, policyTypes and rules.
const SPECS: [&str; 14] = [
    "podSelector: {}, policyTypes: [Ingress]",
    "podSelector: {}, policyTypes: [Egress]",
    "podSelector: {matchLabels: {app: a}}, ingress: [{}]",
    "podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: 80}]}]",
    "podSelector: {matchLabels: {app: b}}, ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 80, endPort: 90}, {port: 53, protocol: UDP}]}]",
    "podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: y}}, podSelector: {matchLabels: {app: a}}}]}]",
    "podSelector: {matchLabels: {app: c}}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.64/26]}}]}]",
    "podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]",
    "podSelector: {matchLabels: {app: a}}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]",
    "podSelector: {matchLabels: {app: b}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.244.0.0/30}}]}]",
    "podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [a]}]}, ingress: [{ports: [{port: http}]}]",
    "podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]",
    "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 2001:db8::/32}}], ports: [{}]}]",
    "podSelector: {matchLabels: {app: a}}, ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16}}]}], egress: [{}]",
];

/// Namespaces x and y with two or three pods of each label; `y_label` is the label team of y.
fn manifests(chosen: &[(usize, bool)], y_label: &str) -> String {
    let mut text = format!(
        "kind: Namespace\napiVersion: v1\nmetadata: {{name: x}}\n---\n\
         kind: Namespace\napiVersion: v1\nmetadata: {{name: y, labels: {{team: {y_label}}}}}\n"
    );
    for namespace in ["x", "y"] {
        for (app, port) in [("a", 80), ("b", 8080), ("c", 80)] {
            text.push_str(&format!(
                "---\nkind: Deployment\napiVersion: apps/v1\nmetadata: {{name: {app}, namespace: {namespace}}}\n\
                 spec: {{replicas: 2, template: {{metadata: {{labels: {{app: {app}}}}}, spec: {{containers: [{{name: c, \
                 ports: [{{name: http, containerPort: {port}}}]}}]}}}}}}\n"
            ));
        }
    }
    for (index, in_y) in chosen {
        let namespace = if *in_y { "y" } else { "x" };
        text.push_str(&format!(
            "---\nkind: NetworkPolicy\napiVersion: networking.k8s.io/v1\n\
             metadata: {{name: p{index}, namespace: {namespace}}}\nspec: {{{}}}\n",
            SPECS[*index]
        ));
    }
    text
}

/// The same with those policies in audit mode whose bits are set.
fn with_audits(mut text: String, audited: u32) -> String {
    for index in (0..SPECS.len()).filter(|index| audited >> index & 1 == 1) {
        let name = format!("name: p{index}, ");
        text = text.replace(&name, &format!("annotations: {{podwall.io/mode: audit}}, {name}"));
    }
    text
}

fn snapshot(text: &str, previous: Option<&Snapshot>) -> Snapshot {
    let source = Source { name: "a.yaml".to_owned(), bytes: text.into() };
    let placement = PlacementOptions { node_count: 2, ipv4: true, ipv6: true };
    let snapshot = Snapshot::read(&[source], "default", &placement, previous);
    assert!(snapshot.problems().is_empty(), "{:?}", snapshot.problems());
    snapshot
}

/// Which pieces an endpoint is in.
fn end_of(difference: &Difference, endpoint: &Endpoint) -> End {
    let found = match endpoint {
        Endpoint::Pod { pod, .. } => {
            difference.classes.iter().position(|class| class.pods.contains(pod)).map(End::Pods)
        }
        other => {
            let address = other.address();
            let number = match address {
                IpAddr::V4(it) => u32::from(it).into(),
                IpAddr::V6(it) => u128::from(it),
            };
            let holds = |range: &AddressRange| {
                range.ipv4 == address.is_ipv4() && (range.first..=range.last).contains(&number)
            };
            difference.outside.iter().position(holds).map(End::Outside)
        }
    };
    found.expect("every pod and address is in some piece")
}

/// What the difference says: `Some(true)` opens, `Some(false)` closes.
fn says(difference: &Difference, flow: &Flow) -> Option<bool> {
    let (from, to) = (end_of(difference, &flow.from), end_of(difference, &flow.to));
    let ipv4 = flow.to.address().is_ipv4();
    let is_it = |change: &&Change| {
        (change.from, change.to) == (from, to)
            && change.ipv4.is_none_or(|family| family == ipv4)
            && change.ports.contains(flow.transport)
    };
    let mut found = difference.changes.iter().filter(is_it).map(|change| change.opens);
    let first = found.next();
    assert!(found.all(|opens| Some(opens) == first), "both opened and closed: {flow:?}");
    first
}

fn endpoints(snapshot: &Snapshot) -> Vec<Endpoint> {
    let pods = snapshot.cluster.pods.iter().flat_map(|(key, pod)| {
        pod.addresses.iter().map(|address| Endpoint::Pod { pod: key.clone(), address: *address })
    });
    let outside = ["203.0.113.1", "203.0.113.70", "192.0.2.1", "10.244.0.1", "2001:db8::9", "2001:dead::1"];
    let outside = outside.into_iter().map(|address| Endpoint::Outside(address.parse().unwrap()));
    pods.chain(outside).collect()
}

fn check(before: &str, after: &str) {
    let before = snapshot(before, None);
    let after = snapshot(after, Some(&before));
    let difference = Difference::new(&before, &after);
    let ports = [1, 79, 80, 85, 90, 91, 443, 8080].map(|port| Transport::Port(Protocol::Tcp, port));
    let others = [Transport::Port(Protocol::Udp, 53), Transport::Port(Protocol::Sctp, 9), Transport::Other];
    for from in endpoints(&before) {
        for to in endpoints(&before) {
            let is_outside = |end: &Endpoint| matches!(end, Endpoint::Outside(_));
            let same_pod = matches!((&from, &to), (Endpoint::Pod { pod: a, .. }, Endpoint::Pod { pod: b, .. }) if a == b);
            let same_family = from.address().is_ipv4() == to.address().is_ipv4();
            if same_pod || !same_family || (is_outside(&from) && is_outside(&to)) {
                continue;
            }
            for transport in ports.into_iter().chain(others) {
                let flow = Flow { from: from.clone(), to: to.clone(), transport };
                let was = evaluate(&before.cluster, &flow).allowed();
                let is = evaluate(&after.cluster, &flow).allowed();
                assert_eq!(
                    says(&difference, &flow),
                    (was != is).then_some(is),
                    "{flow:?}\n{}",
                    difference.to_text()
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn diff_says_what_evaluate_says(
        before in proptest::sample::subsequence((0..SPECS.len() * 2).collect::<Vec<_>>(), 0..8),
        after in proptest::sample::subsequence((0..SPECS.len() * 2).collect::<Vec<_>>(), 0..8),
        labels in ("[xy]", "[xy]"),
        audited in any::<[u32; 4]>(),
    ) {
        let chosen = |some: Vec<usize>| some.into_iter().map(|it| (it / 2, it % 2 == 1)).collect::<Vec<_>>();
        let before = manifests(&chosen(before), &labels.0);
        let after = manifests(&chosen(after), &labels.1);
        check(&with_audits(before, audited[0] & audited[1]), &with_audits(after, audited[2] & audited[3]));
    }
}

#[test]
fn changes_are_grouped_as_people_think() {
    let before = snapshot(&manifests(&[], "y"), None);
    let after = snapshot(&manifests(&[(3, false)], "y"), Some(&before));
    let difference = Difference::new(&before, &after);
    assert_eq!(
        difference.to_text(),
        "\
becomes denied
  x/deployment/a, x/deployment/c, all of y, all of IPv4 outside, all of IPv6 outside -> x/deployment/a: everything
  x/deployment/b -> x/deployment/a: everything except TCP/80
"
    );
    let back = Difference::new(&after, &before);
    assert_eq!(
        (difference.opens(), difference.closes(), back.opens(), back.closes()),
        (false, true, true, false)
    );
    let json: serde_json::Value = serde_json::from_str(&back.to_json()).unwrap();
    assert_eq!(json["allowed"][1]["ports"], "everything except TCP/80");
    assert_eq!(Difference::new(&after, &after).to_text(), "nothing becomes allowed or denied\n");
}

#[test]
fn a_policy_that_is_enforced_from_now_on_closes() {
    let text = manifests(&[(3, false)], "y");
    let audited = snapshot(&with_audits(text.clone(), 1 << 3), None);
    let enforced = snapshot(&text, Some(&audited));
    let difference = Difference::new(&audited, &enforced);
    assert_eq!((difference.opens(), difference.closes()), (false, true), "{}", difference.to_text());
    let none = snapshot(&manifests(&[], "y"), Some(&audited));
    assert_eq!(Difference::new(&none, &audited).to_text(), "nothing becomes allowed or denied\n");
}

#[test]
fn pods_of_one_state_only_are_named() {
    let before = snapshot(&manifests(&[], "y"), None);
    let pod = "---\nkind: Pod\napiVersion: v1\nmetadata: {name: new, namespace: x}\n";
    let after = snapshot(&format!("{}{pod}", manifests(&[], "y")), Some(&before));
    let text = Difference::new(&before, &after).to_text();
    assert_eq!(text, "nothing becomes allowed or denied\n\nonly after, and not compared: 1 pod: x/new\n");
}

/// 100 policies over 1,000 pods, all of them new. A second where it is optimised; a loaded machine is no bug.
#[test]
fn a_hundred_policies_over_a_thousand_pods() {
    let pods: String = (0..200)
        .map(|index| {
            format!(
                "---\nkind: Deployment\napiVersion: apps/v1\nmetadata: {{name: d{index}, namespace: n{}}}\nspec: {{replicas: \
                 5, template: {{metadata: {{labels: {{app: d{index}}}}}, spec: {{containers: [{{name: c}}]}}}}}}\n",
                index % 10
            )
        })
        .collect();
    let policies: String = (0..100)
        .map(|index| {
            format!(
                "---\nkind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {{name: p{index}, namespace: n{}}}\n\
                 spec: {{podSelector: {{matchLabels: {{app: d{index}}}}}, policyTypes: [Ingress, Egress], ingress: [{{from: \
                 [{{podSelector: {{matchLabels: {{app: d{}}}}}}}], ports: [{{port: {}}}]}}], egress: [{{to: \
                 [{{namespaceSelector: {{}}}}], ports: [{{port: 53, protocol: UDP}}]}}, {{to: [{{ipBlock: {{cidr: \
                 198.51.{index}.0/24}}}}]}}]}}\n",
                index % 10,
                (index + 10) % 200,
                8000 + index % 7
            )
        })
        .collect();
    let before = snapshot(&pods, None);
    let after = snapshot(&format!("{pods}{policies}"), Some(&before));
    assert_eq!((after.cluster.pods.len(), after.cluster.policies.len()), (1000, 100));
    let began = std::time::Instant::now();
    let difference = Difference::new(&before, &after);
    let took = began.elapsed();
    println!("100 policies over 1,000 pods: {took:?}, {} classes", difference.classes.len());
    assert!(difference.closes() && !difference.opens());
    let limit_s = if cfg!(debug_assertions) { 60 } else { 1 };
    assert!(took.as_secs() < limit_s, "{took:?}");
}

/// A cluster's pods, and over them a Deployment whose template says something else, as `diff cluster FOLDER` reads it.
#[test]
fn pods_of_the_cluster_are_as_the_applied_workload_makes_them() {
    let pod = |name: &str| {
        format!(
            "---\nkind: Pod\napiVersion: v1\nmetadata: {{name: {name}, namespace: x, labels: {{app: a, pod-template-hash: h}}, \
             ownerReferences: [{{kind: ReplicaSet, name: a-h, controller: true}}]}}\n"
        )
    };
    let listed = pod("a-h-1")
        + &pod("a-h-2")
        + &pod("b").replace("app: a", "app: b").replace("a-h", "b-h")
        + "---\nkind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: p, namespace: x}\n\
           spec: {podSelector: {matchLabels: {app: a}}}\n";
    let applied = "---\nkind: Deployment\napiVersion: apps/v1\nmetadata: {name: a, namespace: x}\n\
                   spec: {replicas: 5, template: {metadata: {labels: {app: other}}, spec: {containers: [{name: c, \
                   ports: [{name: http, containerPort: 8080}]}]}}}\n";
    let source = |text: String| Source { name: "a.yaml".to_owned(), bytes: text.into() };
    let placement = PlacementOptions { node_count: 2, ipv4: true, ipv6: false };
    let before = Snapshot::read(&[source(listed.clone())], "default", &placement, None);
    let sources = [source(listed + applied)];
    let workload = (podwall_policy::WorkloadKind::Deployment, ObjectKey::new("x", "a"));
    let rolled_out = BTreeSet::from([workload.clone()]);
    let after = Snapshot::read_rolled_out(&sources, "default", &placement, Some(&before), &rolled_out);
    assert_eq!(after.workloads[&workload], [ObjectKey::new("x", "a-h-1"), ObjectKey::new("x", "a-h-2")]);
    let renewed = &after.cluster.pods[&ObjectKey::new("x", "a-h-1")];
    let was = &before.cluster.pods[&ObjectKey::new("x", "a-h-1")];
    assert_eq!((&*renewed.labels["app"], &*renewed.labels["pod-template-hash"]), ("other", "h"));
    assert_eq!((&renewed.addresses, &renewed.node), (&was.addresses, &was.node), "it stays where it was");
    assert_eq!(renewed.ports.len(), 1);
    let difference = Difference::new(&before, &after);
    assert!(difference.opens() && !difference.closes(), "the policy selects nothing any more");
    assert!(difference.only_before.is_empty() && difference.only_after.is_empty(), "no pod is new");
}
