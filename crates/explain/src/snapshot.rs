//! A state of a cluster, as manifests say it.

use std::collections::BTreeMap;

use podwall_policy::read::Source;
use podwall_policy::{
    Cluster, Manifests, NetworkPolicy, ObjectKey, PlacementOptions, Problem, WorkloadKind, place, read,
    workload_pods,
};

use crate::field::FieldPath;
use crate::written::{Place, WrittenPolicy, written_policies};

/// A state of a cluster, with what it was made of.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The objects as they were read.
    pub manifests: Manifests,
    /// The objects with nodes and addresses.
    pub cluster: Cluster,
    /// The pods of each workload.
    pub workloads: BTreeMap<(WorkloadKind, ObjectKey), Vec<ObjectKey>>,
    written: BTreeMap<ObjectKey, WrittenPolicy>,
}

impl Snapshot {
    /// Reads manifests and places their pods; those that `previous` had stay where they were.
    pub fn read(
        sources: &[Source],
        default_namespace: &str,
        placement: &PlacementOptions,
        previous: Option<&Snapshot>,
    ) -> Self {
        let manifests = read::read(sources, default_namespace);
        let cluster = place(&manifests, placement, previous.map(|it| &it.cluster));
        let workloads = workload_pods(&manifests, &cluster);
        let written = written_policies(sources, default_namespace);
        Self { manifests, cluster, workloads, written }
    }

    /// What is wrong with the manifests.
    pub fn problems(&self) -> &[Problem] {
        &self.manifests.problems
    }

    /// The policy as it was written; `None` when it cannot be found by its name.
    pub fn written(&self, policy: &ObjectKey) -> Option<&WrittenPolicy> {
        self.written.get(policy)
    }

    /// The line of a policy's field.
    pub fn place_of(&self, policy: &ObjectKey, path: &FieldPath) -> Option<Place> {
        let written = self.written.get(policy).and_then(|written| written.place(path));
        let object = || {
            let location = self.cluster.policies.get(policy)?.location.as_ref()?;
            Some(Place { file: location.file.to_string(), line: location.line })
        };
        written.or_else(object)
    }

    /// The pods that a policy selects.
    pub fn selected(&self, key: &ObjectKey, policy: &NetworkPolicy) -> Vec<&ObjectKey> {
        let pods = self.cluster.pods.iter();
        pods.filter(|(pod, it)| {
            it.takes_part() && pod.namespace == key.namespace && policy.pod_selector.matches(&it.labels)
        })
        .map(|(pod, _)| pod)
        .collect()
    }
}
