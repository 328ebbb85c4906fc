//! A state of a cluster, as manifests say it.

use std::collections::{BTreeMap, BTreeSet};

use podwall_policy::read::Source;
use podwall_policy::{
    Cluster, Manifests, NetworkPolicy, ObjectKey, PlacementOptions, Pod, Problem, WorkloadKind, place, read,
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
        Self::read_rolled_out(sources, default_namespace, placement, previous, &BTreeSet::new())
    }

    /// The same, where the pods of some workloads are written out as they were before the workload was changed to what
    /// the manifests say: those pods stay, as many as they are, and look as the workload makes them now.
    pub fn read_rolled_out(
        sources: &[Source],
        default_namespace: &str,
        placement: &PlacementOptions,
        previous: Option<&Snapshot>,
        rolled_out: &BTreeSet<(WorkloadKind, ObjectKey)>,
    ) -> Self {
        let mut manifests = read::read(sources, default_namespace);
        for (key, owner) in manifests.owners.iter().filter(|(_, owner)| rolled_out.contains(owner)) {
            if let (Some(pod), Some(workload)) = (manifests.pods.get_mut(key), manifests.workloads.get(owner))
            {
                renew(pod, &workload.template);
            }
        }
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

/// Gives a pod what its workload's template says. Its node and addresses stay, and the labels that controllers give:
/// they are in no template.
fn renew(pod: &mut Pod, template: &Pod) {
    pod.labels.retain(|key, _| is_generated(key));
    pod.labels.extend(template.labels.clone());
    pod.host_network = template.host_network;
    pod.ports.clone_from(&template.ports);
    pod.anti_spoofing = template.anti_spoofing;
}

/// Labels that controllers put on pods and that differ from pod to pod, or from one rollout to the next.
pub(crate) fn is_generated(label: &str) -> bool {
    const EXACTLY: [&str; 5] = [
        "pod-template-hash",
        "pod-template-generation",
        "controller-revision-hash",
        "controller-uid",
        "job-name",
    ];
    const BEGINNINGS: [&str; 3] =
        ["statefulset.kubernetes.io/", "apps.kubernetes.io/", "batch.kubernetes.io/"];
    EXACTLY.contains(&label) || BEGINNINGS.iter().any(|beginning| label.starts_with(beginning))
}
