//! Policies that another makes irrelevant (S8): one that says the same, or one that allows everything.

use podwall_policy::{Peers, Ports};

use super::{Finding, Rule, Subject};
use crate::field::{Direction, FieldPath};

pub(super) fn check(subjects: &[Subject], findings: &mut Vec<Finding>) {
    for subject in subjects {
        let others =
            subjects.iter().filter(|it| it.key != subject.key && it.key.namespace == subject.key.namespace);
        let found = others.filter_map(|other| Some((says_why(subject, other)?, other.key))).next();
        if let Some((why, other)) = found {
            let message = format!("{why} {other}, so it changes nothing: remove one of the two");
            findings.push(Finding::new(subject, Rule::RedundantPolicy, &FieldPath::default(), message));
        }
    }
}

/// Why `other` makes `subject` irrelevant, if it does. Of two that do so to each other, the later by name is.
fn says_why(subject: &Subject, other: &Subject) -> Option<&'static str> {
    let is_later = subject.key > other.key;
    let (mine, its) = (subject.policy, other.policy);
    if (&mine.pod_selector, &mine.ingress, &mine.egress) == (&its.pod_selector, &its.ingress, &its.egress) {
        return is_later.then_some("says the same as");
    }
    (drowns(subject, other) && (is_later || !drowns(other, subject)))
        .then_some("everything is allowed to and from its pods by")
}

/// True when `other` allows everything in every direction in which `subject` isolates, for all its pods. A policy that
/// only isolates is the ground that others stand on, and never drowned: removing what allows everything must leave it.
fn drowns(subject: &Subject, other: &Subject) -> bool {
    let rules_of = |direction: Direction| direction.rules(subject.policy);
    let is_open = |direction: &Direction| direction.rules(other.policy).is_some_and(allows_all);
    let isolated: Vec<Direction> = Direction::BOTH.into_iter().filter(|it| rules_of(*it).is_some()).collect();
    let has_rules = isolated.iter().any(|it| rules_of(*it).is_some_and(|rules| !rules.is_empty()));
    has_rules && isolated.iter().all(is_open) && covers(subject, other)
}

fn allows_all(rules: &[podwall_policy::Rule]) -> bool {
    rules.iter().any(|rule| rule.peers == Peers::Any && rule.ports == Ports::Any)
}

/// True when `other` selects all that `subject` selects, whatever pods there may be.
fn covers(subject: &Subject, other: &Subject) -> bool {
    let requirements = &mut other.policy.pod_selector.requirements();
    let own: Vec<_> = subject.policy.pod_selector.requirements().collect();
    requirements.all(|requirement| own.contains(&requirement))
}
