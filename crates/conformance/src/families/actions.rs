//! Policies, labels and namespaces that change between probes.

use serde_json::{Value, json};

use super::peers::in_namespace;
use super::{Direction, nobody};
use crate::case::{Action, Case, Object, Reference};
use crate::grid::{namespace, pod, policy};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for direction in Direction::BOTH {
        for (tag, changes) in
            [("policy-changes", policies(direction)), ("label-changes", relabelling(direction))]
        {
            for (name, steps) in changes {
                cases.push(Case::new(
                    format!("actions/{name}/{}", direction.tag()),
                    ["actions", tag, direction.tag()],
                    steps,
                ));
            }
        }
    }
    cases
}

/// A name for it, and its steps.
pub(super) type Steps = Vec<(&'static str, Vec<Vec<Action>>)>;

pub(super) fn apply(object: Object) -> Vec<Action> {
    vec![Action::Apply(object)]
}

pub(super) fn delete(kind: &str, namespace: &str, name: &str) -> Vec<Action> {
    vec![Action::Delete(Reference::new(kind, namespace, name))]
}

/// Pods a of x deal with pods b of y only.
pub(super) fn with_b_of_y(direction: Direction) -> Object {
    let peer = json!([{
        "namespaceSelector": {"matchLabels": {"ns": "y"}}, "podSelector": {"matchLabels": {"pod": "b"}},
    }]);
    direction.policy(
        "changes",
        json!({"matchLabels": {"pod": "a"}}),
        json!([direction.rule(peer, Value::Null)]),
    )
}

fn policies(direction: Direction) -> Steps {
    let version = |target: Value, rules: Value| apply(direction.policy("changes", target, rules));
    let rule = |peers: Value, ports: Value| json!([direction.rule(peers, ports)]);
    let gone = || delete("NetworkPolicy", "x", "changes");
    let other = match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    };
    let y = || json!([in_namespace("y")]);
    vec![
        ("create-and-delete", vec![version(json!({}), nobody()), gone()]),
        ("create-delete-create", vec![apply(with_b_of_y(direction)), gone(), apply(with_b_of_y(direction))]),
        ("deny-then-allow-all", vec![version(json!({}), nobody()), version(json!({}), json!([{}]))]),
        (
            "other-peers",
            vec![
                version(json!({}), rule(y(), Value::Null)),
                version(json!({}), rule(json!([in_namespace("z")]), Value::Null)),
            ],
        ),
        (
            "other-ports",
            vec![
                version(json!({}), rule(y(), json!([{"port": 80}]))),
                version(json!({}), rule(y(), json!([{"port": 81, "protocol": "UDP"}]))),
                version(json!({}), rule(y(), json!([{"port": 80, "endPort": 81}]))),
            ],
        ),
        (
            "other-targets",
            vec![
                version(json!({"matchLabels": {"pod": "a"}}), nobody()),
                version(json!({"matchLabels": {"pod": "b"}}), nobody()),
                version(json!({}), nobody()),
            ],
        ),
        (
            "other-direction",
            vec![
                version(json!({}), rule(y(), Value::Null)),
                apply(other.policy("changes", json!({}), json!([other.rule(y(), Value::Null)]))),
            ],
        ),
        (
            "other-except",
            vec![
                version(
                    json!({}),
                    rule(
                        json!([{"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.0.0/24"]}}]),
                        Value::Null,
                    ),
                ),
                version(
                    json!({}),
                    rule(
                        json!([{"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.1.0/24"]}}]),
                        Value::Null,
                    ),
                ),
            ],
        ),
        (
            "add-one-and-take-it-away",
            vec![
                apply(direction.policy("deny", json!({}), nobody())),
                version(json!({"matchLabels": {"pod": "a"}}), json!([{}])),
                gone(),
            ],
        ),
        (
            "two-policies-change-places",
            vec![
                [
                    version(json!({}), rule(y(), Value::Null)),
                    apply(policy("y", "deny", json!({"podSelector": {}}))),
                ]
                .concat(),
                [gone(), delete("NetworkPolicy", "y", "deny"), apply(policy("z", "deny", json!({})))]
                    .concat(),
            ],
        ),
    ]
}

fn relabelling(direction: Direction) -> Steps {
    let start = || apply(with_b_of_y(direction));
    let y = |labels: Value| apply(namespace("y", labels));
    vec![
        (
            "peer-loses-label",
            vec![
                start(),
                apply(pod("y", "b", json!({"pod": "q"}))),
                apply(pod("y", "b", json!({}))),
                apply(pod("y", "b", json!({"pod": "b"}))),
            ],
        ),
        (
            "peer-gains-label",
            vec![
                start(),
                apply(pod("y", "c", json!({"pod": "b"}))),
                apply(pod("y", "b", json!({"pod": "c"}))),
            ],
        ),
        (
            "target-loses-label",
            vec![
                start(),
                apply(pod("x", "a", json!({}))),
                apply(pod("x", "a", json!({"pod": "a", "more": "labels"}))),
            ],
        ),
        ("target-gains-label", vec![start(), apply(pod("x", "b", json!({"pod": "a"})))]),
        (
            "labels-that-nobody-asks-for",
            vec![start(), apply(pod("y", "b", json!({"pod": "b", "version": "2"})))],
        ),
        ("namespace-loses-label", vec![start(), y(json!({})), y(json!({"ns": "y"}))]),
        ("namespace-gains-label", vec![start(), apply(namespace("z", json!({"ns": "y"})))]),
        (
            "namespaces-change-labels",
            vec![start(), [y(json!({"ns": "z"})), apply(namespace("z", json!({"ns": "y"})))].concat()],
        ),
        (
            "label-name-of-a-namespace-cannot-be-taken-away",
            vec![
                apply(direction.policy(
                    "changes",
                    json!({}),
                    json!([direction.rule(
                        json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "y"}}}]),
                        Value::Null
                    )]),
                )),
                y(json!({})),
            ],
        ),
    ]
}
