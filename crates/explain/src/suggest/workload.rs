//! Workloads by the labels of their pods, and selectors that tell them apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podwall_policy::{Labels, ObjectKey, Pod};

use crate::flow_log::Residents;
use crate::snapshot::{Snapshot, is_generated};

/// The pods of a namespace that agree in their stable labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    pub namespace: Arc<str>,
    /// For people, and for the name of its policy.
    pub name: String,
    /// What its selector asks for; never empty.
    pub labels: Labels,
    /// Labels that pods of others have in addition: its selector asks that they be absent.
    pub absent: BTreeSet<Arc<str>>,
}

fn stable(pod: &Pod) -> Labels {
    let labels = pod.labels.iter().filter(|(key, _)| !is_generated(key));
    labels.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The workload of each pod that takes part and has labels by which it can be selected.
pub fn workloads(snapshot: &Snapshot) -> BTreeMap<ObjectKey, Workload> {
    let owners = Residents::owners(snapshot);
    let mut groups: BTreeMap<(Arc<str>, Labels), Vec<&ObjectKey>> = BTreeMap::new();
    for (key, pod) in snapshot.cluster.pods.iter().filter(|(_, pod)| pod.takes_part()) {
        groups.entry((key.namespace.clone(), stable(pod))).or_default().push(key);
    }
    let mut found = BTreeMap::new();
    for ((namespace, labels), pods) in &groups {
        if labels.is_empty() {
            continue;
        }
        let name = match owners.get(pods[0]) {
            Some((_, workload)) => workload.name.to_string(),
            None => pods[0].name.to_string(),
        };
        let others = groups.keys().filter(|(other, _)| other == namespace).map(|(_, labels)| labels);
        let absent = others.filter_map(|other| more(labels, other)).collect();
        let workload = Workload { namespace: namespace.clone(), name, labels: labels.clone(), absent };
        found.extend(pods.iter().map(|pod| ((*pod).clone(), workload.clone())));
    }
    found
}

/// A key that tells pods with the labels `other` from those with `labels`, where a selector of these has both.
fn more(labels: &Labels, other: &Labels) -> Option<Arc<str>> {
    let has_all = labels.iter().all(|(key, value)| other.get(key) == Some(value));
    if !has_all {
        return None;
    }
    other.keys().find(|key| !labels.contains_key(*key)).cloned()
}
