//! S10 to S29d: what absent, null, `[]` and `{}` mean.

use super::*;

fn everything() -> Rule {
    Rule { peers: Peers::Any, ports: Ports::Any }
}

#[test]
fn policy_types_s10_to_s14() {
    let (rules, none) = (Some(vec![everything()]), Some(vec![]));
    let cases = [
        ("S10", "{podSelector: {}}", none.clone(), None),
        ("S10", "{policyTypes: []}", none.clone(), None),
        ("S10", "{policyTypes: null}", none.clone(), None),
        ("S11", "{egress: []}", none.clone(), None),
        ("S11", "{egress: null}", none.clone(), None),
        ("S11", "{policyTypes: [Egress]}", None, none.clone()),
        ("S12", "{egress: [{}]}", none.clone(), rules.clone()),
        ("S12", "{egress: [{}], policyTypes: []}", none.clone(), rules.clone()),
        ("S13", "{policyTypes: [Ingress], egress: [{}]}", none.clone(), None),
        ("S13", "{policyTypes: [Egress], ingress: [{}]}", None, none.clone()),
        ("S14", "{policyTypes: [Ingress, Ingress]}", none.clone(), None),
        ("S14", "{policyTypes: [Egress, Ingress]}", none.clone(), none.clone()),
    ];
    for (clause, spec, ingress, egress) in cases {
        let policy = policy(spec);
        assert_eq!((policy.ingress, policy.egress), (ingress, egress), "{clause}: {spec}");
    }
}

#[test]
fn policy_types_that_are_refused_s14_s160() {
    for (spec, field, message) in [
        ("policyTypes: [Ingress, Egress, Ingress]", "spec.policyTypes", "more than two"),
        ("policyTypes: [ingress]", "spec.policyTypes[0]", "unknown policy type ingress"),
        ("policyTypes: Ingress", "spec.policyTypes", "must be a list"),
    ] {
        let (policy, problem) = flawed(spec);
        assert_eq!(problem.consequence, Consequence::Refused, "{spec}");
        assert_eq!((problem.field.as_deref(), problem.line), (Some(field), Some(6)), "{spec}");
        assert!(problem.message.contains(message), "{problem}");
        assert!(is_closing(&policy.unwrap(), &all()));
    }
}

#[test]
fn pod_selector_s20_s29d() {
    for spec in [
        "podSelector: {}",
        "podSelector:",
        "policyTypes: [Ingress]",
        "podSelector: {matchLabels: null}",
        "podSelector: {matchLabels: {}, matchExpressions: []}",
        "podSelector: {matchExpressions: null}",
    ] {
        assert_eq!(policy(spec).pod_selector, all(), "{spec}");
    }
}

#[test]
fn rule_lists_s21_s29a_s29b() {
    for spec in ["{policyTypes: [Ingress]}", "{ingress: }", "{ingress: []}"] {
        assert_eq!(policy(spec).ingress, Some(vec![]), "absent and empty isolate only: {spec}");
    }
    assert_eq!(policy("{ingress: [{}]}").ingress, Some(vec![everything()]));
}

#[test]
fn peers_and_ports_that_are_absent_or_empty_s22_s23_s29c() {
    for text in ["{}", "{from: }", "{from: []}", "{ports: }", "{ports: []}", "{from: [], ports: []}"] {
        assert_eq!(rule(text), everything(), "{text}");
    }
}

#[test]
fn an_empty_peer_matches_nothing_s22_s38() {
    for text in ["{}", "null", "{podSelector: }", "{podSelector: null, ipBlock: null}"] {
        let (policy, problem) = flawed(&format!("{{ingress: [{{from: [{text}]}}]}}"));
        assert_eq!(problem.consequence, Consequence::Closed, "{text}");
        assert_eq!(problem.field.as_deref(), Some("spec.ingress[0].from[0]"));
        let rules = policy.unwrap().ingress.unwrap();
        assert_eq!(rules[0].peers, Peers::Only(vec![Peer::Unreadable]), "{text}");
    }
}

#[test]
fn an_empty_port_is_all_of_tcp_s23_s24_s25() {
    assert_eq!(port("{}"), tcp(0, 65535));
    assert_eq!(port("{protocol: null, port: null, endPort: null}"), tcp(0, 65535));
    assert_eq!(port("{port: 80}"), tcp(80, 80), "S24");
    assert_eq!(port("{protocol: UDP}"), PortMatch::Range { protocol: Protocol::Udp, first: 0, last: 65535 });
}

#[test]
fn peers_s26_s27_s31_to_s34() {
    let pods = |namespaces, pods| Peer::Pods { namespaces, pods };
    let cases = [
        ("S31", "{podSelector: {matchLabels: {a: b}}}", pods(Namespaces::Own, label("a", "b"))),
        (
            "S32",
            "{namespaceSelector: {matchLabels: {a: b}}}",
            pods(Namespaces::Selected(label("a", "b")), all()),
        ),
        ("S32", "{namespaceSelector: {}, podSelector: null}", pods(Namespaces::Selected(all()), all())),
        (
            "S33",
            "{namespaceSelector: {matchLabels: {a: b}}, podSelector: {matchLabels: {c: d}}}",
            pods(Namespaces::Selected(label("a", "b")), label("c", "d")),
        ),
        ("S34", "{podSelector: {}}", pods(Namespaces::Own, all())),
        ("S34", "{namespaceSelector: {}}", pods(Namespaces::Selected(all()), all())),
    ];
    for (clause, text, expected) in cases {
        assert_eq!(peer(text), expected, "{clause}: {text}");
    }
}

#[test]
fn no_except_s28() {
    for except in ["", ", except: ", ", except: []"] {
        let Peer::Block(block) = peer(&format!("{{ipBlock: {{cidr: 10.0.0.0/8{except}}}}}")) else {
            panic!()
        };
        assert_eq!(block.except, []);
    }
}

#[test]
fn the_default_namespace_s163() {
    let text = policy_text("podSelector: {}");
    let manifests = read(&[Source { name: "-".into(), bytes: text.into() }], "team");
    assert!(manifests.policies.contains_key(&ObjectKey::new("team", "p")));
    let given = policy_text("{}").replace("name: p", "name: p\n  namespace: other");
    assert!(read_clean(&given).policies.contains_key(&ObjectKey::new("other", "p")));
}
