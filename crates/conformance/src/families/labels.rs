//! What label selectors mean: every operator, against labels that are there, empty and not there, at every place that
//! takes a selector.

use serde_json::{Value, json};

use super::{Direction, Spelled};
use crate::case::{Action, Case};
use crate::grid::{namespace, pod};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, selector) in selectors() {
        for (place, tag, policy) in [
            (
                "own-pods",
                "ingress",
                Direction::Ingress.policy(
                    "labels",
                    json!({}),
                    json!([{"from": [{"podSelector": selector}]}]),
                ),
            ),
            (
                "all-pods",
                "egress",
                Direction::Egress.policy(
                    "labels",
                    json!({}),
                    json!([{"to": [{"podSelector": selector, "namespaceSelector": {}}]}]),
                ),
            ),
            (
                "namespaces",
                "ingress",
                Direction::Ingress.policy(
                    "labels",
                    json!({}),
                    json!([{"from": [{"namespaceSelector": selector}]}]),
                ),
            ),
            (
                "targets",
                "egress",
                Direction::Egress.policy("labels", selector.clone(), json!([{"to": [{"podSelector": {}}]}])),
            ),
        ] {
            let step = labelled().into_iter().chain([policy]).map(Action::Apply).collect();
            cases.push(Case::new(format!("labels/{name}/{place}"), ["labels", name, place, tag], vec![step]));
        }
    }
    cases
}

/// Labels that are there with a value, there without one, and not there: for pods in each namespace, and for
/// namespaces.
fn labelled() -> Vec<Value> {
    vec![
        namespace("x", json!({"ns": "x", "tier": "web"})),
        namespace("y", json!({"ns": "y", "tier": ""})),
        namespace("z", json!({})),
        pod("x", "a", json!({"pod": "a", "tier": "web"})),
        pod("x", "b", json!({"pod": "b", "tier": ""})),
        pod("x", "c", json!({})),
        pod("y", "a", json!({"pod": "a", "tier": "db"})),
        pod("y", "b", json!({"pod": "b", "tier": "web", "other": "web"})),
        pod("z", "c", json!({"tier": ""})),
    ]
}

fn selectors() -> Vec<Spelled> {
    let one = |key: &str, operator: &str, values: &[&str]| match values {
        [] => json!({"key": key, "operator": operator}),
        _ => json!({"key": key, "operator": operator, "values": values}),
    };
    let of = |list: Vec<Value>| json!({"matchExpressions": list});
    vec![
        ("is", json!({"matchLabels": {"tier": "web"}})),
        ("is-empty-value", json!({"matchLabels": {"tier": ""}})),
        ("in", of(vec![one("tier", "In", &["web"])])),
        ("in-with-empty-value", of(vec![one("tier", "In", &["", "db"])])),
        ("not-in", of(vec![one("tier", "NotIn", &["web"])])),
        ("not-in-empty-value", of(vec![one("tier", "NotIn", &[""])])),
        ("exists", of(vec![one("tier", "Exists", &[])])),
        ("does-not-exist", of(vec![one("tier", "DoesNotExist", &[])])),
        ("exists-but-not-in", of(vec![one("tier", "Exists", &[]), one("tier", "NotIn", &["web"])])),
        ("in-and-not-in", of(vec![one("tier", "In", &["web", "db"]), one("tier", "NotIn", &["db"])])),
        ("key-of-another-case", of(vec![one("Tier", "Exists", &[])])),
        ("value-of-another-case", of(vec![one("tier", "In", &["Web"])])),
    ]
}
