//! What is nearest to a selector that does not match.

use podwall_policy::read::{printable, suggestion};
use podwall_policy::{LabelSelector, Labels, NAMESPACE_NAME_LABEL, Operator, Requirement};

use crate::describe;

/// How far labels are from a selector: the sum over the requirements that do not hold. A value that is a letter or
/// two away is nearer than another, and another value is nearer than none.
pub fn distance(selector: &LabelSelector, labels: &Labels) -> usize {
    unmet(selector, labels).map(|requirement| requirement_distance(requirement, labels)).sum()
}

/// The requirements that do not hold.
pub fn unmet<'s>(selector: &'s LabelSelector, labels: &Labels) -> impl Iterator<Item = &'s Requirement> {
    selector.requirements().filter(move |requirement| !requirement.matches(labels))
}

fn requirement_distance(requirement: &Requirement, labels: &Labels) -> usize {
    match (labels.get(&requirement.key), &requirement.operator) {
        (Some(value), Operator::In(wanted)) => {
            let wanted: Vec<&str> = wanted.iter().map(|value| &**value).collect();
            if suggestion(value, &wanted).is_some() { 1 } else { 3 }
        }
        (None, Operator::In(wanted)) => {
            let keys: Vec<&str> = labels.keys().map(|key| &**key).collect();
            let same_value = labels.values().any(|value| wanted.contains(value));
            if suggestion(&requirement.key, &keys).is_some() || same_value { 2 } else { 4 }
        }
        _ => 3,
    }
}

/// What would have to be otherwise: `default/client has role=fronted`, requirement by requirement.
pub fn difference(selector: &LabelSelector, who: &str, labels: &Labels) -> String {
    let unmet: Vec<String> =
        unmet(selector, labels).map(|requirement| describe::has(requirement, labels)).collect();
    format!("{who} {}", unmet.join(" and "))
}

/// The same for the labels of a namespace, with what people take for a label that is there.
pub fn namespace_difference(selector: &LabelSelector, namespace: &str, labels: &Labels) -> String {
    let mut text = difference(selector, &format!("namespace {}", printable(namespace)), labels);
    let takes_name_for_label = |requirement: &Requirement| {
        &*requirement.key == "name"
            && matches!(&requirement.operator, Operator::In(values) if values.contains(namespace))
    };
    if unmet(selector, labels).any(takes_name_for_label) {
        text.push_str(&format!(
            " (`name` is not set by itself; every namespace has {NAMESPACE_NAME_LABEL}={namespace})"
        ));
    }
    text
}
