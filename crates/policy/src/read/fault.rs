//! What is wrong with one field, before it is known what becomes of the object.

use std::sync::Arc;

pub use crate::printable::{printable, printable_name};

use crate::problem::{Consequence, Problem};

/// The result of reading a field.
pub(super) type Reading<T> = Result<T, Fault>;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub line: Option<usize>,
    pub field: Option<String>,
    pub message: String,
    /// The object is not one at all: what it was meant to say cannot even be guessed.
    pub unreadable: bool,
}

impl Fault {
    /// The same fault, of an object that is none.
    pub fn unreadable(mut self) -> Self {
        self.unreadable = true;
        self
    }

    /// As a problem: `outcome` says what becomes of the object.
    pub fn problem(
        self,
        file: Option<&Arc<str>>,
        object: Option<String>,
        outcome: &str,
        consequence: Consequence,
    ) -> Problem {
        Problem {
            file: file.map(|file| file.to_string()),
            line: self.line,
            object,
            field: self.field,
            message: format!("{}; {outcome}", self.message),
            consequence,
        }
    }
}

/// The one of `names` that was probably meant: two letters apart at most, fewer in short names.
pub fn suggestion<'n>(text: &str, names: &[&'n str]) -> Option<&'n str> {
    if text.len() > 64 {
        return None;
    }
    let lower = text.to_lowercase();
    names
        .iter()
        .map(|name| (distance(&lower, &name.to_lowercase()), *name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).min(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<_>, Vec<_>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near() {
        let names = ["podSelector", "policyTypes", "ingress", "egress", "to"];
        assert_eq!(suggestion("podSelctor", &names), Some("podSelector"));
        assert_eq!(suggestion("PodSelector", &names), Some("podSelector"));
        assert_eq!(suggestion("igress", &names), Some("ingress"));
        assert_eq!(suggestion("polciyTypes", &names), Some("policyTypes"));
        // A letter more, less, other or swapped; at the start, within and at the end.
        for near in [
            "xegress", "egressx", "egxress", "gress", "egres", "xgress", "egresx", "gesrse", "geress",
            "egrses",
        ] {
            let meant = if near == "gesrse" { None } else { Some("egress") };
            assert_eq!(suggestion(near, &["egress"]), meant, "{near}");
        }
        assert_eq!(suggestion("networkpolcy", &["NetworkPolicy"]), Some("NetworkPolicy"));
        assert_eq!(suggestion("netwrokpolciy", &["NetworkPolicy"]), Some("NetworkPolicy"), "two");
        assert_eq!(suggestion("entwrokpolciy", &["NetworkPolicy"]), None, "three are too many");
        assert_eq!(suggestion("at", &names), None);
        assert_eq!(suggestion("selector", &names), None);
        assert_eq!(suggestion(&"x".repeat(100_000), &names), None);
    }

    #[test]
    fn messages_are_bounded_and_printable() {
        assert_eq!(printable("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert_eq!(printable(&"ä".repeat(1000)).chars().count(), 101);
    }
}
