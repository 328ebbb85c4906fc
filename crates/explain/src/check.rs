//! `check`: what looks wrong in policies, rule by rule. Each rule is described in `docs/check-rules.md`.

mod blocks;
mod dns;
mod ports;
mod redundant;
mod report;
mod rule;
mod sarif;
mod selectors;
mod suppression;
#[cfg(test)]
mod tests;
mod writing;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::{
    Cluster, Consequence, Endpoint, LabelSelector, Labels, Namespaces, NetworkPolicy, ObjectKey, Operator,
    Pod, Problem,
};
use serde::Serialize;

use crate::field::FieldPath;
use crate::snapshot::Snapshot;
use crate::written::Place;

pub use dns::dns_pods;
pub use rule::{Rule, Severity};

/// Something that looks wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule that found it.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// The object, as `NetworkPolicy default/web`.
    pub object: Option<String>,
    /// The field.
    pub field: Option<String>,
    /// The file and line.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// The reason for which the policy asks not to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
    #[serde(skip)]
    policy: Option<ObjectKey>,
}

impl Finding {
    /// A finding about a field of a policy.
    fn new(subject: &Subject, rule: Rule, path: &FieldPath, message: String) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            object: Some(format!("NetworkPolicy {}", subject.key)),
            field: Some(path.to_string()).filter(|path| !path.is_empty()),
            place: subject.snapshot.place_of(subject.key, path),
            message,
            ignored: None,
            policy: Some(subject.key.clone()),
        }
    }

    fn of_problem(problem: &Problem) -> Self {
        let rule = match problem.consequence {
            Consequence::Ignored => Rule::IgnoredObject,
            Consequence::Closed => Rule::ClosedEntry,
            Consequence::Refused => Rule::RefusedObject,
            Consequence::Unreadable => Rule::UnreadableText,
        };
        let place = problem.file.clone().map(|file| Place { file, line: problem.line.unwrap_or(1) });
        Self {
            rule,
            severity: rule.severity(),
            object: problem.object.clone(),
            field: problem.field.clone(),
            place,
            message: problem.message.clone(),
            ignored: None,
            policy: None,
        }
    }
}

/// A policy that is looked at.
struct Subject<'a> {
    snapshot: &'a Snapshot,
    key: &'a ObjectKey,
    policy: &'a NetworkPolicy,
    /// The pods that it selects.
    selected: Vec<&'a ObjectKey>,
}

/// What was found, in the order of files and lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The findings, those that policies ask not to be told of too.
    pub findings: Vec<Finding>,
}

/// Applies all rules.
pub fn check(snapshot: &Snapshot) -> Report {
    let mut findings: Vec<Finding> = snapshot.problems().iter().map(Finding::of_problem).collect();
    let refused: BTreeSet<&str> = findings
        .iter()
        .filter(|it| it.rule == Rule::RefusedObject)
        .filter_map(|it| it.object.as_deref())
        .collect();
    // What stands in for a refused policy was not written by anybody.
    let policies = snapshot.cluster.policies.iter();
    let subjects: Vec<Subject> = policies
        .filter(|(key, _)| !refused.contains(format!("NetworkPolicy {key}").as_str()))
        .map(|(key, policy)| Subject { snapshot, key, policy, selected: snapshot.selected(key, policy) })
        .collect();
    for subject in &subjects {
        selectors::check(subject, &mut findings);
        writing::check(subject, &mut findings);
        ports::check(subject, &mut findings);
        blocks::check(subject, &mut findings);
    }
    dns::check(&subjects, &mut findings);
    redundant::check(&subjects, &mut findings);
    for subject in &subjects {
        suppression::apply(subject, &mut findings);
    }
    findings.sort_by(|a, b| (&a.place, a.rule, &a.field).cmp(&(&b.place, b.rule, &b.field)));
    Report { findings }
}

impl<'a> Subject<'a> {
    fn cluster(&self) -> &'a Cluster {
        &self.snapshot.cluster
    }

    /// True for the namespaces in which a peer of this policy looks for pods.
    fn in_scope(&self, namespaces: &Namespaces, namespace: &Arc<str>) -> bool {
        match namespaces {
            Namespaces::Own => *namespace == self.key.namespace,
            Namespaces::Selected(selector) => selector.matches(&self.cluster().namespace_labels(namespace)),
        }
    }

    /// The pods that a peer of this policy selects.
    fn peer_pods(
        &self,
        namespaces: &Namespaces,
        pods: &LabelSelector,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Pod)> {
        let all = self.cluster().pods.iter();
        all.filter(move |(key, pod)| {
            pod.takes_part() && pods.matches(&pod.labels) && self.in_scope(namespaces, &key.namespace)
        })
    }

    /// A pod that the policy selects, or where the manifests have no pods at all one that it would select, in a
    /// cluster that has it.
    fn example(&self) -> Option<(Cluster, Endpoint)> {
        self.cluster_with(self.selected.first().copied())
    }

    fn cluster_with(&self, pod: Option<&ObjectKey>) -> Option<(Cluster, Endpoint)> {
        let mut cluster = self.cluster().clone();
        let key = match pod {
            Some(key) => key.clone(),
            None if cluster.pods.is_empty() => {
                let key = ObjectKey::new(self.key.namespace.clone(), "a-pod-as-selected");
                cluster.pods.insert(key.clone(), imagined(example_labels(&self.policy.pod_selector), 1));
                key
            }
            None => return None,
        };
        let address = *cluster.pods[&key].addresses.first()?;
        Some((cluster, Endpoint::Pod { pod: key, address }))
    }
}

/// A pod that is not in the manifests, at addresses that are nobody's (RFC 2544, RFC 5180).
fn imagined(labels: Labels, number: u8) -> Pod {
    let addresses =
        [IpAddr::from([198, 18, 0, number]), IpAddr::from([0x2001, 2, 0, 0, 0, 0, 0, number.into()])];
    Pod {
        labels,
        node: None,
        addresses: addresses.to_vec(),
        host_network: false,
        finished: false,
        terminating: false,
        started: "".into(),
        ports: Vec::new(),
        anti_spoofing: None,
        location: None,
    }
}

/// Labels that meet the requirements, unless they contradict each other.
fn example_labels(selector: &LabelSelector) -> Labels {
    let labels = selector.requirements().filter_map(|requirement| match &requirement.operator {
        Operator::In(values) => Some((requirement.key.clone(), values.first()?.clone())),
        Operator::Exists => Some((requirement.key.clone(), "any".into())),
        Operator::NotIn(_) | Operator::DoesNotExist => None,
    });
    labels.collect()
}
