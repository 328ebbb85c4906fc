//! `podwall.io/ignore: "RULE: reason; RULE2: reason"` on a policy: findings that it asks not to be told of.

use podwall_policy::read::printable;
use podwall_policy::tree::{Scalar, Value};

use super::{Finding, Rule, Subject};
use crate::field::FieldPath;

/// The annotation.
const IGNORE: &str = "podwall.io/ignore";

/// Marks the findings of a policy that it asks not to be told of, and finds what is wrong with the asking.
pub(super) fn apply(subject: &Subject, findings: &mut Vec<Finding>) {
    let path = FieldPath::of(&["metadata", "annotations", IGNORE]);
    let Some(tree) = subject.snapshot.written(subject.key).and_then(|written| written.at(&path)) else {
        return;
    };
    let Value::Scalar(Scalar { text, .. }) = &tree.value else { return };
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        match parse(part) {
            Err(message) => findings.push(Finding::new(subject, Rule::BadSuppression, &path, message)),
            Ok((rule, reason)) => {
                let asked = findings
                    .iter_mut()
                    .filter(|it| it.rule == rule && it.policy.as_ref() == Some(subject.key));
                asked.for_each(|finding| finding.ignored = Some(reason.to_owned()));
            }
        }
    }
}

fn parse(part: &str) -> Result<(Rule, &str), String> {
    let (name, reason) = part.split_once(':').unwrap_or((part, ""));
    let (name, reason) = (name.trim(), reason.trim());
    let rule = Rule::of(name).ok_or_else(|| format!("there is no rule {}", printable(name)))?;
    if reason.is_empty() {
        return Err(format!("{name} is ignored without a reason: write \"{name}: why\""));
    }
    Ok((rule, reason))
}
