//! Recorded flows, and whose pods they are in a state of the cluster.

use std::collections::BTreeMap;

use podwall_policy::{FlowRecord, ObjectKey, WorkloadKind};

use crate::page::escaped;
use crate::snapshot::Snapshot;

/// Reads a flow log: JSON lines, of which empty ones are passed over. An error names its line.
pub fn read_flow_log(text: &str) -> Result<Vec<FlowRecord>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            format!("line {}: not a flow record: {}", index + 1, escaped(&error.to_string()))
        })
    };
    lines.map(read).collect()
}

/// Finds the pods of a state by the names that were recorded. Pods of a controller have other names in manifests
/// than in the cluster: one whose name is a workload's with a generated ending is a pod of that workload.
pub struct Residents<'s> {
    snapshot: &'s Snapshot,
    workloads: BTreeMap<ObjectKey, &'s [ObjectKey]>,
}

impl<'s> Residents<'s> {
    pub fn new(snapshot: &'s Snapshot) -> Self {
        let workloads = snapshot.workloads.iter();
        Self {
            snapshot,
            workloads: workloads.map(|((_, key), pods)| (key.clone(), pods.as_slice())).collect(),
        }
    }

    /// The pod, or one of the same workload.
    pub fn find(&self, recorded: &ObjectKey) -> Option<&'s ObjectKey> {
        if let Some((key, _)) = self.snapshot.cluster.pods.get_key_value(recorded) {
            return Some(key);
        }
        // `web-7d4b9c5f6d-x2x9k` of a Deployment, `agent-x2x9k` of a DaemonSet, `db-0` of a StatefulSet.
        let mut name = &*recorded.name;
        for _ in 0..2 {
            let (shorter, ending) = name.rsplit_once('-')?;
            if !is_generated(ending) {
                return None;
            }
            let workload = ObjectKey::new(recorded.namespace.clone(), shorter);
            if let Some(pods) = self.workloads.get(&workload) {
                return pods.first();
            }
            name = shorter;
        }
        None
    }

    /// The workload that each pod is of.
    pub fn owners(snapshot: &Snapshot) -> BTreeMap<&ObjectKey, &(WorkloadKind, ObjectKey)> {
        let workloads = snapshot.workloads.iter();
        workloads.flat_map(|(workload, pods)| pods.iter().map(move |pod| (pod, workload))).collect()
    }
}

/// What controllers put behind a workload's name: a number, or letters and digits without vowels.
fn is_generated(ending: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_lowercase() && !b"aeiou".contains(&byte));
    !ending.is_empty() && ending.len() <= 10 && ending.bytes().all(safe)
}

#[test]
fn names_that_controllers_make() {
    for ending in ["0", "12", "x2x9k", "7d4b9c5f6d"] {
        assert!(is_generated(ending), "{ending}");
    }
    for ending in ["", "web", "frontend", "A1", "7d4b9c5f6d7"] {
        assert!(!is_generated(ending), "{ending}");
    }
}
