//! Several policies for the same pods: they only ever add to one another.

use serde_json::{Value, json};

use super::peers::in_namespace;
use super::{Direction, nobody, one_step};
use crate::case::{Case, Object};
use crate::grid::{NAMESPACES, PODS, PROTOCOLS, ipv4, policy};

/// A policy, with a name.
type Named = (&'static str, Object);

pub(super) fn cases() -> Vec<Case> {
    let layers = layers();
    let mut cases = Vec::new();
    for (index, (first, one)) in layers.iter().enumerate() {
        for (second, other) in &layers[index + 1..] {
            cases.push(one_step(
                format!("stacking/{first}-and-{second}"),
                &["stacking", first, "ingress", "egress"],
                vec![one.clone(), other.clone()],
            ));
        }
    }
    cases.push(one_step(
        "stacking/all-at-once".to_owned(),
        &["stacking", "ingress", "egress"],
        layers.iter().map(|(_, policy)| policy.clone()).collect(),
    ));
    cases.push(one_step(
        "stacking/both-ends-of-a-connection".to_owned(),
        &["stacking", "both-ends", "ingress", "egress"],
        both_ends(),
    ));
    cases.push(one_step(
        "stacking/twenty-for-one-pod".to_owned(),
        &["stacking", "many", "ingress"],
        twenty(),
    ));
    cases
}

fn layers() -> Vec<Named> {
    let (ingress, egress) = (Direction::Ingress, Direction::Egress);
    let a = || json!({"matchLabels": {"pod": "a"}});
    let from_y = |ports: Value| json!([ingress.rule(json!([in_namespace("y")]), ports)]);
    vec![
        ("deny-ingress", ingress.policy("deny-ingress", json!({}), nobody())),
        ("deny-egress", egress.policy("deny-egress", json!({}), nobody())),
        ("allow-all-ingress", ingress.policy("allow-all-ingress", a(), json!([{}]))),
        ("y-on-80", ingress.policy("y-on-80", a(), from_y(json!([{"port": 80}])))),
        ("y-on-81-udp", ingress.policy("y-on-81-udp", json!({}), from_y(json!([{"port": 81, "protocol": "UDP"}])))),
        (
            "own-by-name",
            ingress.policy(
                "own-by-name",
                json!({}),
                json!([ingress.rule(json!([{"podSelector": {}}]), json!([{"port": "serve-81-tcp"}]))]),
            ),
        ),
        (
            "block-but-one",
            ingress.policy(
                "block-but-one",
                json!({}),
                json!([{"from": [{"ipBlock": {"cidr": "10.244.0.0/16", "except": [format!("{}/32", ipv4("y", "b"))]}}]}]),
            ),
        ),
        ("to-z", egress.policy("to-z", a(), json!([egress.rule(json!([in_namespace("z")]), Value::Null)]))),
        (
            "to-named",
            egress.policy("to-named", json!({}), json!([egress.rule(Value::Null, json!([{"port": "serve-80-udp", "protocol": "UDP"}]))])),
        ),
        ("range-for-all", ingress.policy("range-for-all", json!({}), json!([{"ports": [{"port": 81, "endPort": 90}]}]))),
    ]
}

/// Both namespaces have their say, and both must allow.
fn both_ends() -> Vec<Object> {
    let to_y = json!([{"to": [in_namespace("y")], "ports": [{"port": 80}, {"port": 81}]}]);
    let from_x = json!({
        "podSelector": {"matchLabels": {"pod": "b"}},
        "ingress": [{"from": [in_namespace("x")], "ports": [{"port": 81}]}],
    });
    vec![Direction::Egress.policy("to-y", json!({}), to_y), policy("y", "from-x", from_x)]
}

/// Each lets in one pod, on one port.
fn twenty() -> Vec<Object> {
    let each = |index: usize| {
        let (namespace, pod) = (NAMESPACES[index % 3], PODS[index / 3 % 3]);
        let protocol = PROTOCOLS[index % 3];
        let ports = json!([{"port": 80 + index % 2, "protocol": protocol}]);
        let peer = json!([{
            "namespaceSelector": {"matchLabels": {"ns": namespace}}, "podSelector": {"matchLabels": {"pod": pod}},
        }]);
        let rules = json!([Direction::Ingress.rule(peer, ports)]);
        Direction::Ingress.policy(&format!("one-of-twenty-{index}"), json!({}), rules)
    };
    (0..20).map(each).collect()
}
