//! S35 to S49, S90 to S111, S130 to S139: selectors, ports and blocks, and those that match nothing.

use std::collections::BTreeSet;

use super::*;

#[test]
fn selectors_s40_to_s47() {
    let set = |values: &[&str]| values.iter().map(|value| Arc::from(*value)).collect::<BTreeSet<Arc<str>>>();
    let cases = [
        ("S40", "{matchLabels: {k: v}}", Operator::In(set(&["v"]))),
        (
            "S41",
            "{matchExpressions: [{key: k, operator: In, values: [b, a, b]}]}",
            Operator::In(set(&["a", "b"])),
        ),
        ("S42", "{matchExpressions: [{key: k, operator: NotIn, values: [a]}]}", Operator::NotIn(set(&["a"]))),
        ("S43", "{matchExpressions: [{key: k, operator: Exists}]}", Operator::Exists),
        ("S43", "{matchExpressions: [{key: k, operator: Exists, values: []}]}", Operator::Exists),
        (
            "S44",
            "{matchExpressions: [{key: k, operator: DoesNotExist, values: null}]}",
            Operator::DoesNotExist,
        ),
        ("S46", "{matchLabels: {k: \"\"}}", Operator::In(set(&[""]))),
    ];
    for (clause, text, operator) in cases {
        let expected = LabelSelector::new([Requirement { key: "k".into(), operator }]);
        let Peer::Pods { pods, .. } = peer(&format!("{{podSelector: {text}}}")) else { panic!() };
        assert_eq!(pods, expected, "{clause}: {text}");
        assert_eq!(policy(&format!("podSelector: {text}")).pod_selector, expected, "{clause}: {text}");
    }
    let both = policy("podSelector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}]}");
    assert_eq!(both.pod_selector.requirements().count(), 2, "S40: all of both must hold");
}

#[test]
fn labels_are_taken_as_they_are_s161() {
    let long = "x".repeat(100);
    let selector =
        policy(&format!("podSelector: {{matchLabels: {{\"a b\": \"{long}\", 8080: \"-\"}}}}")).pod_selector;
    assert_eq!(selector.to_string(), format!("8080=-,a b={long}"));
}

/// Selectors that cannot be read, with the field in the selector and what is said.
const BAD_SELECTORS: [(&str, &str, &str); 12] = [
    ("{matchLabels: {a: yes}}", ".matchLabels.a", "must be a string: put it in quotes, as \"yes\""),
    ("{matchLabels: {a: 1}}", ".matchLabels.a", "put it in quotes"),
    ("{matchLabels: {a: }}", ".matchLabels.a", "must be a string"),
    ("{matchLabels: {on: a}}", ".matchLabels.on", "the key must be a string"),
    ("{matchLabels: [a]}", ".matchLabels", "must be a mapping"),
    ("{matchLabel: {a: b}}", ".matchLabel", "did you mean matchLabels?"),
    ("{matchExpressions: {key: a}}", ".matchExpressions", "must be a list"),
    (
        "{matchExpressions: [{key: a, operator: In}]}",
        ".matchExpressions[0].operator",
        "In needs at least one",
    ),
    (
        "{matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
        ".matchExpressions[0].operator",
        "no values",
    ),
    (
        "{matchExpressions: [{key: a, operator: Gt, values: [\"1\"]}]}",
        ".matchExpressions[0].operator",
        "unknown operator Gt",
    ),
    ("{matchExpressions: [{key: \"\", operator: Exists}]}", ".matchExpressions[0].key", "must not be empty"),
    ("{matchExpressions: [{operator: Exists}]}", ".matchExpressions[0].key", "key is missing"),
];

#[test]
fn a_peer_whose_selector_cannot_be_read_matches_nothing_s47_s49() {
    for (selector, field, message) in BAD_SELECTORS {
        for kind in ["podSelector", "namespaceSelector"] {
            let (policy, problem) =
                flawed(&format!("{{ingress: [{{from: [{{podSelector: {{}}}}, {{{kind}: {selector}}}]}}]}}"));
            assert_eq!(problem.consequence, Consequence::Closed, "{selector}");
            assert_eq!(problem.field, Some(format!("spec.ingress[0].from[1].{kind}{field}")));
            assert_eq!(problem.line, Some(6));
            assert!(problem.message.contains(message), "{problem}");
            assert!(problem.message.contains("matches nothing"), "{problem}");
            let rules = policy.unwrap().ingress.unwrap();
            let Peers::Only(peers) = &rules[0].peers else { panic!() };
            assert_eq!(peers.len(), 2, "the index of the others stays");
            assert_eq!(peers[1], Peer::Unreadable);
        }
    }
}

#[test]
fn a_policy_whose_selector_cannot_be_read_is_refused() {
    for (selector, field, message) in BAD_SELECTORS {
        let (policy, problem) = flawed(&format!("podSelector: {selector}"));
        assert_eq!(problem.consequence, Consequence::Refused, "{selector}");
        assert_eq!(problem.field, Some(format!("spec.podSelector{field}")));
        assert!(problem.message.contains(message), "{problem}");
        assert!(is_closing(&policy.unwrap(), &all()), "{selector}");
    }
}

#[test]
fn ports_s94_to_s108() {
    let named = |protocol, name: &str| PortMatch::Named { protocol, name: name.into() };
    let cases = [
        ("S94", "{port: 1}", tcp(1, 1)),
        ("S94", "{port: 65535}", tcp(65535, 65535)),
        ("S95", "{port: 80, endPort: 90}", tcp(80, 90)),
        ("S95", "{port: 80, endPort: 80}", tcp(80, 80)),
        ("S96", "{protocol: SCTP}", PortMatch::Range { protocol: Protocol::Sctp, first: 0, last: 65535 }),
        ("S101", "{port: http}", named(Protocol::Tcp, "http")),
        ("S101", "{port: serve-81-udp, protocol: UDP}", named(Protocol::Udp, "serve-81-udp")),
        ("S108", "{port: a23456789012345}", named(Protocol::Tcp, "a23456789012345")),
        (
            "S112",
            "{port: 9, protocol: SCTP}",
            PortMatch::Range { protocol: Protocol::Sctp, first: 9, last: 9 },
        ),
    ];
    for (clause, text, expected) in cases {
        assert_eq!(port(text), expected, "{clause}: {text}");
    }
    let Ports::Only(ports) = rule("{ports: [{}, {port: 80}]}").ports else { panic!() };
    assert_eq!(ports, [tcp(0, 65535), tcp(80, 80)], "S97: none overwrites the other");
}

#[test]
fn ports_that_match_nothing_s90_s95_s108_s111() {
    let cases = [
        ("{protocol: ICMP}", ".protocol", "unknown protocol ICMP; it may be TCP, UDP or SCTP"),
        ("{protocol: tcp}", ".protocol", "write TCP"),
        ("{port: 0}", ".port", "not between 1 and 65535"),
        ("{port: 65536}", ".port", "not between 1 and 65535"),
        ("{port: -1}", ".port", "not between 1 and 65535"),
        ("{port: 080}", ".port", "without leading zeros"),
        ("{port: 80.5}", ".port", "not a plain whole number"),
        ("{port: true}", ".port", "must be a number"),
        ("{port: [80]}", ".port", "must be a number"),
        ("{port: \"80\"}", ".port", "write 80 without quotes"),
        ("{port: \"\"}", ".port", "not the name of a port"),
        ("{port: Http}", ".port", "not the name of a port"),
        ("{port: a--b}", ".port", "not the name of a port"),
        ("{port: -a}", ".port", "not the name of a port"),
        ("{port: 1-2}", ".port", "not the name of a port"),
        ("{port: a234567890123456}", ".port", "not the name of a port"),
        ("{port: 80, endPort: 79}", ".endPort", "endPort 79 is less than port 80"),
        ("{port: 80, endPort: 70000}", ".endPort", "not between"),
        ("{port: 80, endPort: \"90\"}", ".endPort", "write 90 without quotes"),
        ("{endPort: 80}", ".endPort", "endPort needs port"),
        ("{port: http, endPort: 80}", ".endPort", "needs a number"),
        ("{prot: 80}", ".prot", "did you mean port?"),
        ("80", "", "must be a mapping"),
        ("null", "", "must be a mapping"),
    ];
    for (text, field, message) in cases {
        let (policy, problem) = flawed(&format!("{{egress: [{{ports: [{{port: 53}}, {text}]}}]}}"));
        assert_eq!(problem.consequence, Consequence::Closed, "{text}");
        assert_eq!(problem.field, Some(format!("spec.egress[0].ports[1]{field}")));
        assert!(problem.message.contains(message), "{problem}");
        let rules = policy.unwrap().egress.unwrap();
        assert_eq!(rules[0].ports, Ports::Only(vec![tcp(53, 53), PortMatch::Unreadable]), "{text}");
    }
}

#[test]
fn blocks_s131_to_s135() {
    let cases = [
        ("S131", "10.10.1.12/24", "10.10.1.0/24"),
        ("S132", "010.010.0.0/16", "10.10.0.0/16"),
        ("S132", "::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("S134", "0.0.0.0/0", "0.0.0.0/0"),
        ("S134", "\"::/0\"", "::/0"),
        ("S135", "1.2.3.4/32", "1.2.3.4/32"),
        ("S135", "fd00::1/128", "fd00::1/128"),
    ];
    for (clause, text, expected) in cases {
        let Peer::Block(block) = peer(&format!("\n    {{ipBlock: {{cidr: {text}}}}}")) else { panic!() };
        assert_eq!(block.cidr.to_string(), expected, "{clause}");
    }
    let Peer::Block(block) =
        peer("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.2.3/16, 10.1.0.0/24, 10.1.0.0/16]}}")
    else {
        panic!()
    };
    let except: Vec<_> = block.except.iter().map(ToString::to_string).collect();
    assert_eq!(except, ["10.1.0.0/16", "10.1.0.0/24", "10.1.0.0/16"], "S133: excepts may overlap");
}

#[test]
fn blocks_that_match_nothing_s37_s133() {
    let cases = [
        ("{ipBlock: {cidr: 10.0.0.0}}", ".ipBlock.cidr", "length of the prefix"),
        ("{ipBlock: {cidr: 10.0.0.0/33}}", ".ipBlock.cidr", "not a block"),
        ("{ipBlock: {cidr: 10}}", ".ipBlock.cidr", "put it in quotes"),
        ("{ipBlock: {}}", ".ipBlock.cidr", "cidr is missing"),
        ("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}", ".ipBlock.except[0]", "not a smaller part"),
        ("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/7]}}", ".ipBlock.except[0]", "not a smaller part"),
        (
            "{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/16]}}",
            ".ipBlock.except[1]",
            "smaller part",
        ),
        (
            "{ipBlock: {cidr: 10.0.0.0/8, except: [\"fd00::/16\"]}}",
            ".ipBlock.except[0]",
            "not a smaller part",
        ),
        ("{ipBlock: {cidr: 10.0.0.0/8, except: 10.1.0.0/16}}", ".ipBlock.except", "must be a list"),
        ("{ipBlock: {cidr: 10.0.0.0/8, exept: []}}", ".ipBlock.exept", "did you mean except?"),
        ("{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}", ".ipBlock", "cannot be combined"),
        ("{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}", ".ipBlock", "cannot be combined"),
        ("{podSelctor: {}}", ".podSelctor", "did you mean podSelector?"),
        ("{podSelector: {}, matchLabels: {a: b}}", ".matchLabels", "unknown field matchLabels"),
        ("app", "", "must be a mapping"),
    ];
    for (text, field, message) in cases {
        let (policy, problem) = flawed(&format!("{{egress: [{{to: [{text}, {{podSelector: {{}}}}]}}]}}"));
        assert_eq!(problem.consequence, Consequence::Closed, "{text}");
        assert_eq!(problem.field, Some(format!("spec.egress[0].to[0]{field}")));
        assert!(problem.message.contains(message), "{problem}");
        let rules = policy.unwrap().egress.unwrap();
        let Peers::Only(peers) = &rules[0].peers else { panic!() };
        assert!(matches!(&peers[..], [Peer::Unreadable, Peer::Pods { .. }]), "{text}");
    }
}

#[test]
fn a_thousand_overlapping_blocks() {
    let blocks: Vec<_> = (0..1000)
        .map(|index| {
            let length = 8 + index % 25;
            format!("{{ipBlock: {{cidr: 10.{}.0.{}/{length}}}}}", index % 200, index % 256)
        })
        .collect();
    let rule = rule(&format!("{{from: [{}]}}", blocks.join(", ")));
    assert!(matches!(rule.peers, Peers::Only(peers) if peers.len() == 1000));
}
