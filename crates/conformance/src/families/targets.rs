//! Whom a policy isolates: every way to write `spec.podSelector`.

use serde_json::{Value, json};

use super::{Spelled, object, one_step};
use crate::case::Case;
use crate::grid::policy;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (target, selector) in selectors() {
        for (isolation, rest, tags) in isolations() {
            let mut spec = object([("podSelector", selector.clone())]);
            spec.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
            let tags: Vec<&str> = tags.iter().copied().chain(["targets", target]).collect();
            cases.push(one_step(
                format!("targets/{target}/{isolation}"),
                &tags,
                vec![policy("x", "target", spec)],
            ));
        }
    }
    cases
}

/// Null stands for a selector that is not written at all.
fn selectors() -> Vec<Spelled> {
    let expression = |key: &str, operator: &str, values: &[&str]| match values {
        [] => json!({"key": key, "operator": operator}),
        _ => json!({"key": key, "operator": operator, "values": values}),
    };
    let expressions = |list: Value| json!({"matchExpressions": list});
    vec![
        ("all", json!({})),
        ("absent", Value::Null),
        ("null-labels", json!({"matchLabels": null})),
        ("empty-expressions", json!({"matchLabels": {}, "matchExpressions": []})),
        ("by-label", json!({"matchLabels": {"pod": "a"}})),
        ("by-unknown-value", json!({"matchLabels": {"pod": "q"}})),
        ("by-empty-value", json!({"matchLabels": {"pod": ""}})),
        ("by-absent-label-empty-value", json!({"matchLabels": {"tier": ""}})),
        ("in-one", expressions(json!([expression("pod", "In", &["b"])]))),
        ("in-two", expressions(json!([expression("pod", "In", &["a", "c"])]))),
        ("not-in-one", expressions(json!([expression("pod", "NotIn", &["a"])]))),
        ("not-in-any", expressions(json!([expression("pod", "NotIn", &["a", "b", "c"])]))),
        ("not-in-of-absent-label", expressions(json!([expression("tier", "NotIn", &["web"])]))),
        ("exists", expressions(json!([expression("pod", "Exists", &[])]))),
        ("does-not-exist", expressions(json!([expression("pod", "DoesNotExist", &[])]))),
        ("absent-label-does-not-exist", expressions(json!([expression("tier", "DoesNotExist", &[])]))),
        (
            "label-and-expression",
            json!({"matchLabels": {"pod": "a"}, "matchExpressions": [expression("pod", "NotIn", &["b"])]}),
        ),
        (
            "contradiction",
            json!({"matchLabels": {"pod": "a"}, "matchExpressions": [expression("pod", "NotIn", &["a"])]}),
        ),
    ]
}

/// The rest of the spec.
fn isolations() -> Vec<(&'static str, Value, &'static [&'static str])> {
    let own = json!([{"podSelector": {}}]);
    vec![
        ("deny-ingress", json!({"policyTypes": ["Ingress"]}), &["ingress"]),
        ("deny-egress", json!({"policyTypes": ["Egress"]}), &["egress"]),
        ("deny-both", json!({"policyTypes": ["Ingress", "Egress"]}), &["ingress", "egress"]),
        (
            "own-namespace",
            json!({"policyTypes": ["Egress", "Ingress"], "ingress": [{"from": own}], "egress": [{"to": own}]}),
            &["ingress", "egress"],
        ),
    ]
}
