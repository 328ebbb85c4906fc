//! Workloads and the pods they make.

use std::collections::BTreeMap;
use std::sync::Arc;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    for ((_, key), workload) in &manifests.workloads {
        match workload.count {
            Count::Replicas(count) => {
                let mut number = 0;
                for _ in 0..count {
                    while pods.contains_key(&numbered(key, &key.name, number)) {
                        number += 1;
                    }
                    pods.insert(numbered(key, &key.name, number), workload.template.clone());
                }
            }
            Count::EveryNode => {
                for node in nodes {
                    let pod = Pod { node: Some(node.clone()), ..workload.template.clone() };
                    let name = format!("{}-{node}", key.name);
                    let plain = ObjectKey::new(key.namespace.clone(), name.as_str());
                    let free = std::iter::once(plain).chain((2..).map(|number| numbered(key, &name, number)));
                    if let Some(free) = free.into_iter().find(|free| !pods.contains_key(free)) {
                        pods.insert(free, pod);
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
