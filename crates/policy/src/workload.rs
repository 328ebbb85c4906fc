//! Workloads and the pods they make.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::model::{Location, ObjectKey, Pod};
use crate::read::Manifests;

/// What makes pods from a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// How many pods.
    pub count: Count,
    /// The pod, without a name.
    pub template: Pod,
    /// Where it was read.
    pub location: Option<Location>,
}

/// How many pods a workload makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// `replicas` or `parallelism`.
    Replicas(usize),
    /// One on each node.
    EveryNode,
}

/// The kinds of workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    /// apps/v1 Deployment
    Deployment,
    /// apps/v1 StatefulSet
    StatefulSet,
    /// apps/v1 ReplicaSet
    ReplicaSet,
    /// batch/v1 Job
    Job,
    /// apps/v1 DaemonSet
    DaemonSet,
}

impl WorkloadKind {
    /// The kind as manifests write it.
    pub fn name(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
            WorkloadKind::ReplicaSet => "ReplicaSet",
            WorkloadKind::Job => "Job",
            WorkloadKind::DaemonSet => "DaemonSet",
        }
    }
}

/// All pods: those written out, and those of the workloads, `NAME-0` and so on, or `NAME-NODE` of a DaemonSet. A name
/// that is taken, by a pod written out or another workload's, is passed over for the next.
pub(crate) fn expand(manifests: &Manifests, nodes: &[Arc<str>]) -> BTreeMap<ObjectKey, Pod> {
    let mut pods = manifests.pods.clone();
    for (_, pod, template) in made_pods(manifests, nodes) {
        pods.insert(pod, template);
    }
    pods
}

/// The pods of each workload of the manifests, in the cluster that was placed from them.
pub fn workload_pods(
    manifests: &Manifests,
    cluster: &Cluster,
) -> BTreeMap<(WorkloadKind, ObjectKey), Vec<ObjectKey>> {
    let nodes: Vec<Arc<str>> = cluster.nodes.keys().cloned().collect();
    let mut found: BTreeMap<_, Vec<_>> =
        manifests.workloads.keys().map(|workload| (workload.clone(), Vec::new())).collect();
    for (workload, pod, _) in made_pods(manifests, &nodes) {
        found.entry(workload.clone()).or_default().push(pod);
    }
    for (pod, workload) in &manifests.owners {
        found.entry(workload.clone()).or_default().push(pod.clone());
    }
    found
}

impl Manifests {
    /// The workloads that make pods here: not those of which a pod is written out, as in what `kubectl get` prints of a
    /// cluster. There the pods are those that there are, however many the workload asks for.
    pub(crate) fn makers(&self) -> impl Iterator<Item = (&(WorkloadKind, ObjectKey), &Workload)> {
        let written: BTreeSet<&(WorkloadKind, ObjectKey)> = self.owners.values().collect();
        self.workloads.iter().filter(move |(workload, _)| !written.contains(workload))
    }
}

/// The pods that workloads make, each with its workload.
fn made_pods<'a>(
    manifests: &'a Manifests,
    nodes: &[Arc<str>],
) -> Vec<(&'a (WorkloadKind, ObjectKey), ObjectKey, Pod)> {
    let mut names: BTreeSet<ObjectKey> = manifests.pods.keys().cloned().collect();
    let mut pods = Vec::new();
    for (owner, workload) in manifests.makers() {
        let (_, key) = owner;
        match workload.count {
            Count::Replicas(count) => {
                let mut number = 0;
                for _ in 0..count {
                    while names.contains(&numbered(key, &key.name, number)) {
                        number += 1;
                    }
                    let free = numbered(key, &key.name, number);
                    names.insert(free.clone());
                    pods.push((owner, free, workload.template.clone()));
                }
            }
            Count::EveryNode => {
                for node in nodes {
                    let pod = Pod { node: Some(node.clone()), ..workload.template.clone() };
                    let name = format!("{}-{node}", key.name);
                    let plain = ObjectKey::new(key.namespace.clone(), name.as_str());
                    let free = std::iter::once(plain).chain((2..).map(|number| numbered(key, &name, number)));
                    if let Some(free) = free.into_iter().find(|free| !names.contains(free)) {
                        names.insert(free.clone());
                        pods.push((owner, free, pod));
                    }
                }
            }
        }
    }
    pods
}

fn numbered(workload: &ObjectKey, name: &str, number: usize) -> ObjectKey {
    ObjectKey::new(workload.namespace.clone(), format!("{name}-{number}"))
}
