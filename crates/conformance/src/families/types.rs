//! Directions: `policyTypes` in every spelling, against rules in every spelling.

use serde_json::{Value, json};

use super::{Spelled, object, one_step};
use crate::case::Case;
use crate::grid::policy;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (types, listed) in policy_types() {
        for (ingress, from) in rules("from") {
            for (egress, to) in rules("to") {
                let spec = object([
                    ("podSelector", json!({"matchLabels": {"pod": "a"}})),
                    ("policyTypes", listed.clone()),
                    ("ingress", from.clone()),
                    ("egress", to.clone()),
                ]);
                let name = format!("types/{types}/ingress-{ingress}/egress-{egress}");
                cases.push(one_step(
                    name,
                    &["types", types, "ingress", "egress"],
                    vec![policy("x", "types", spec)],
                ));
            }
        }
    }
    cases
}

fn policy_types() -> Vec<Spelled> {
    vec![
        ("types-absent", Value::Null),
        ("types-empty", json!([])),
        ("types-ingress", json!(["Ingress"])),
        ("types-egress", json!(["Egress"])),
        ("types-both", json!(["Ingress", "Egress"])),
        ("types-both-reversed", json!(["Egress", "Ingress"])),
        ("types-ingress-twice", json!(["Ingress", "Ingress"])),
    ]
}

fn rules(peers: &str) -> Vec<Spelled> {
    vec![
        ("absent", Value::Null),
        ("empty", json!([])),
        ("anyone", json!([{}])),
        ("one", json!([{ peers: [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}] }])),
    ]
}
