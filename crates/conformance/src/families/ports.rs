//! What a rule lets be spoken: every kind of port, alone and with peers.

use serde_json::{Value, json};

use super::peers::in_namespace;
use super::{Direction, Spelled, one_step};
use crate::case::Case;

/// Ports for anybody.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for direction in Direction::BOTH {
        for (tag, lists) in
            [("numbers", numbers()), ("ranges", ranges()), ("protocols", protocols()), ("names", names())]
        {
            for (name, ports) in lists {
                cases.push(one_step(
                    format!("ports/{name}/{}", direction.tag()),
                    &["ports", tag, direction.tag()],
                    vec![direction.policy("ports", json!({}), json!([direction.rule(Value::Null, ports)]))],
                ));
            }
        }
    }
    cases
}

/// Peers and ports of one rule, where both must hold.
pub(super) fn with_peers() -> Vec<Case> {
    let peers = [
        ("own", json!([{"podSelector": {}}])),
        ("namespace", json!([in_namespace("y")])),
        (
            "pod-of-namespace",
            json!([{"namespaceSelector": {"matchLabels": {"ns": "z"}}, "podSelector": {"matchLabels": {"pod": "b"}}}]),
        ),
        ("all", json!([{"namespaceSelector": {}}])),
        ("block", json!([{"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.1.0/24"]}}])),
        ("several", json!([in_namespace("y"), {"podSelector": {"matchLabels": {"pod": "c"}}}])),
    ];
    let ports = [
        ("tcp-80", json!([{"port": 80}])),
        ("udp-81", json!([{"port": 81, "protocol": "UDP"}])),
        ("sctp-80", json!([{"port": 80, "protocol": "SCTP"}])),
        ("range", json!([{"port": 80, "endPort": 81}])),
        ("name", json!([{"port": "serve-81-tcp"}])),
        ("name-and-number", json!([{"port": "serve-80-udp", "protocol": "UDP"}, {"port": 81}])),
        ("protocol", json!([{"protocol": "UDP"}])),
    ];
    let mut cases = Vec::new();
    for direction in Direction::BOTH {
        for (who, peers) in &peers {
            for (what, ports) in &ports {
                let rules = json!([direction.rule(peers.clone(), ports.clone())]);
                cases.push(one_step(
                    format!("peers-and-ports/{who}/{what}/{}", direction.tag()),
                    &["peers-and-ports", who, what, direction.tag()],
                    vec![direction.policy("both", json!({"matchLabels": {"pod": "a"}}), rules)],
                ));
            }
        }
    }
    cases
}

fn numbers() -> Vec<Spelled> {
    vec![
        ("absent", Value::Null),
        ("empty-list", json!([])),
        ("empty-entry", json!([{}])),
        ("80", json!([{"port": 80}])),
        ("80-of-tcp", json!([{"port": 80, "protocol": "TCP"}])),
        ("80-of-udp", json!([{"port": 80, "protocol": "UDP"}])),
        ("80-of-sctp", json!([{"port": 80, "protocol": "SCTP"}])),
        ("80-and-81", json!([{"port": 80}, {"port": 81}])),
        ("80-twice", json!([{"port": 80}, {"port": 80, "protocol": "TCP"}])),
        ("any-and-80", json!([{}, {"port": 80}])),
        ("80-and-any", json!([{"port": 80}, {"protocol": "TCP"}])),
        ("not-served", json!([{"port": 9999}])),
        ("highest", json!([{"port": 65535}])),
    ]
}

fn ranges() -> Vec<Spelled> {
    vec![
        ("80-to-81", json!([{"port": 80, "endPort": 81}])),
        ("79-to-80", json!([{"port": 79, "endPort": 80}])),
        ("81-to-82", json!([{"port": 81, "endPort": 82}])),
        ("80-to-80", json!([{"port": 80, "endPort": 80}])),
        ("82-to-90", json!([{"port": 82, "endPort": 90}])),
        ("1-to-65535", json!([{"port": 1, "endPort": 65535}])),
        ("ranges-that-overlap", json!([{"port": 70, "endPort": 80}, {"port": 75, "endPort": 85}])),
        ("ranges-side-by-side", json!([{"port": 79, "endPort": 80}, {"port": 81, "endPort": 82}])),
        ("range-of-udp", json!([{"port": 80, "endPort": 81, "protocol": "UDP"}])),
        ("range-and-port-inside", json!([{"port": 1, "endPort": 100}, {"port": 80}])),
    ]
}

fn protocols() -> Vec<Spelled> {
    vec![
        ("tcp", json!([{"protocol": "TCP"}])),
        ("udp", json!([{"protocol": "UDP"}])),
        ("sctp", json!([{"protocol": "SCTP"}])),
        ("all-three", json!([{"protocol": "TCP"}, {"protocol": "UDP"}, {"protocol": "SCTP"}])),
        (
            "one-of-each",
            json!([
                {"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "UDP"}, {"port": 80, "protocol": "SCTP"},
            ]),
        ),
    ]
}

fn names() -> Vec<Spelled> {
    vec![
        ("named", json!([{"port": "serve-80-tcp"}])),
        ("named-of-udp", json!([{"port": "serve-81-udp", "protocol": "UDP"}])),
        ("named-of-sctp", json!([{"port": "serve-80-sctp", "protocol": "SCTP"}])),
        ("named-of-the-wrong-protocol", json!([{"port": "serve-81-udp", "protocol": "TCP"}])),
        ("named-without-protocol", json!([{"port": "serve-81-udp"}])),
        ("named-nowhere", json!([{"port": "nowhere"}])),
        ("named-and-numbered", json!([{"port": "serve-80-tcp"}, {"port": 81}])),
        ("named-twice-over", json!([{"port": "serve-80-tcp"}, {"port": "serve-81-tcp"}, {"port": 80}])),
    ]
}
