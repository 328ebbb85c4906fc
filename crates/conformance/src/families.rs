//! The families of cases: each goes over one part of the API while the rest stays plain.

mod actions;
mod labels;
mod lifecycle;
mod peers;
mod ports;
mod stacking;
mod targets;
mod types;

use serde_json::{Map, Value, json};

use crate::case::{Action, Case, Object};
use crate::grid::policy;

/// All cases, in a stable order.
pub fn cases() -> Vec<Case> {
    let families = [
        targets::cases,
        types::cases,
        peers::cases,
        ports::cases,
        ports::with_peers,
        labels::cases,
        stacking::cases,
        actions::cases,
        lifecycle::cases,
    ];
    families.into_iter().flat_map(|family| family()).collect()
}

/// A spelling of a part of a policy, with a name for it.
type Spelled = (&'static str, Value);

/// Which side of a connection a policy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];

    fn tag(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }

    /// A policy of namespace x that isolates in this direction, with these rules.
    fn policy(self, name: &str, pod_selector: Value, rules: Value) -> Object {
        let (policy_type, field) = match self {
            Direction::Ingress => ("Ingress", "ingress"),
            Direction::Egress => ("Egress", "egress"),
        };
        let mut spec = json!({"podSelector": pod_selector, "policyTypes": [policy_type]});
        spec[field] = rules;
        policy("x", name, spec)
    }

    /// A rule; a part that is null is left out.
    fn rule(self, peers: Value, ports: Value) -> Value {
        let field = match self {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        object([(field, peers), ("ports", ports)])
    }
}

/// An object without the fields that are null.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(given.map(|(field, value)| (field.to_owned(), value)).collect::<Map<_, _>>())
}

/// A case of one step that applies these policies.
fn one_step(name: String, tags: &[&'static str], policies: Vec<Object>) -> Case {
    Case::new(name, tags.iter().copied(), vec![policies.into_iter().map(Action::Apply).collect()])
}

/// Allows nothing, only itself: what the other policies of a case must be seen against.
fn nobody() -> Value {
    json!([])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::cases;

    #[test]
    fn cases_are_many_and_have_names_of_their_own() {
        let cases = cases();
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert!(cases.len() >= 400, "{} cases", cases.len());
        assert_eq!(names.len(), cases.len());
    }

    #[test]
    fn cases_differ_in_what_they_do() {
        let done: BTreeSet<String> = cases().iter().map(|case| format!("{:?}", case.steps)).collect();
        assert_eq!(done.len(), cases().len());
    }

    #[test]
    fn a_case_is_in_its_family() {
        for case in cases() {
            let (family, _) = case.name.split_once('/').expect("family/what");
            assert!(case.tags.contains(family), "{}", case.name);
            assert!(case.steps.iter().all(|step| !step.is_empty()), "{}", case.name);
        }
    }
}
