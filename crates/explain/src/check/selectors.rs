//! Selectors that select nothing, with what they nearly select.

use podwall_policy::read::{printable, suggestion};
use podwall_policy::{
    LabelSelector, NAMESPACE_NAME_LABEL, Namespaces, ObjectKey, Operator, Peer, Peers, Pod,
};

use super::{Finding, Rule, Subject};
use crate::field::{Direction, FieldPath};
use crate::service::owner_name;
use crate::{describe, near};

pub(super) fn check(subject: &Subject, findings: &mut Vec<Finding>) {
    // Where the manifests have no pods, nothing can be said of any selector of pods.
    if subject.cluster().pods.is_empty() {
        return check_peers(subject, findings);
    }
    if subject.selected.is_empty() {
        let selector = &subject.policy.pod_selector;
        let pods = subject.cluster().pods.iter().filter(|(pod, _)| pod.namespace == subject.key.namespace);
        let message = format!("selects no pod: {}", nearest(subject, selector, pods));
        let path = FieldPath::of(&["spec", "podSelector"]);
        findings.push(Finding::new(subject, Rule::SelectsNoPod, &path, message));
    }
    check_peers(subject, findings);
}

/// The pod that a selector nearly selects.
fn nearest<'p>(
    subject: &Subject,
    selector: &LabelSelector,
    pods: impl Iterator<Item = (&'p ObjectKey, &'p Pod)>,
) -> String {
    let asks = describe::selector(selector);
    match pods
        .filter(|(_, pod)| pod.takes_part())
        .min_by_key(|(_, pod)| near::distance(selector, &pod.labels))
    {
        None => format!("it asks for {asks}, and there are no pods in its namespace"),
        Some((key, pod)) => {
            let who = owner_name(subject.snapshot, key);
            format!("it asks for {asks}; nearest: {}", near::difference(selector, &who, &pod.labels))
        }
    }
}

fn check_peers(subject: &Subject, findings: &mut Vec<Finding>) {
    for direction in Direction::BOTH {
        for (index, rule) in direction.rules(subject.policy).unwrap_or_default().iter().enumerate() {
            let Peers::Only(peers) = &rule.peers else { continue };
            for (number, peer) in peers.iter().enumerate() {
                if let Peer::Pods { namespaces, pods } = peer
                    && let Some((rule, message)) = peer_finding(subject, namespaces, pods)
                {
                    let path = FieldPath::peer(direction, index, number);
                    findings.push(Finding::new(subject, rule, &path, message));
                }
            }
        }
    }
}

fn peer_finding(subject: &Subject, namespaces: &Namespaces, pods: &LabelSelector) -> Option<(Rule, String)> {
    let cluster = subject.cluster();
    if let Namespaces::Selected(selector) = namespaces
        && !cluster
            .namespaces
            .keys()
            .chain(cluster.pods.keys().map(|pod| &pod.namespace))
            .any(|namespace| subject.in_scope(namespaces, namespace))
    {
        return Some((Rule::NamespaceLabelMissing, no_namespace(subject, selector)?));
    }
    let all = LabelSelector::default();
    let there = || subject.peer_pods(namespaces, &all);
    // Pods of namespaces that the manifests do not show may be what is meant.
    if there().next().is_none() || there().any(|(_, pod)| pods.matches(&pod.labels)) {
        return None;
    }
    Some((Rule::PeerMatchesNothing, format!("matches no pod: {}", nearest(subject, pods, there()))))
}

/// Why no namespace is selected; `None` when the one that is meant may simply not be in the manifests.
fn no_namespace(subject: &Subject, selector: &LabelSelector) -> Option<String> {
    let cluster = subject.cluster();
    let names: Vec<&str> = cluster.namespaces.keys().map(|name| &**name).collect();
    let meant = selector.requirements().find_map(|requirement| match &requirement.operator {
        Operator::In(values) if &*requirement.key == NAMESPACE_NAME_LABEL => values.first(),
        _ => None,
    });
    if let Some(meant) = meant
        && !names.contains(&&**meant)
    {
        let near = suggestion(meant, &names)?;
        return Some(format!("there is no namespace {}; did you mean {near}?", printable(meant)));
    }
    let labels = cluster.namespaces.keys().map(|name| (name, cluster.namespace_labels(name)));
    // A namespace of the name that a label asks for is meant, whatever its labels.
    let is_meant = |name: &str| {
        selector.requirements().any(
            |it| matches!(&it.operator, Operator::In(values) if values.iter().any(|value| &**value == name)),
        )
    };
    let (name, labels) =
        labels.min_by_key(|(name, labels)| (!is_meant(name), near::distance(selector, labels)))?;
    let difference = near::namespace_difference(selector, name, &labels);
    Some(format!("matches no namespace: it asks for {}; nearest: {difference}", describe::selector(selector)))
}
