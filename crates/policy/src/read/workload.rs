//! Workloads: the kinds that make pods from a template.

use std::sync::Arc;

use super::fault::Reading;
use super::field::Field;
use super::kind::Kind;
use super::metadata::{NameRule, check_top_level, read_metadata};
use super::pod::read_template;
use crate::model::ObjectKey;
use crate::workload::{Count, Workload, WorkloadKind};

/// Fields of `spec` and of the template that are no fields of the object itself.
const SPEC: [&str; 9] = [
    "replicas",
    "selector",
    "template",
    "serviceName",
    "parallelism",
    "containers",
    "matchLabels",
    "nodeName",
    "hostNetwork",
];

pub(super) fn read_workload(
    root: &Field,
    kind: WorkloadKind,
    default_namespace: &Arc<str>,
) -> Reading<(ObjectKey, Workload)> {
    check_top_level(root, &SPEC)?;
    let metadata = read_metadata(root, NameRule::Subdomain, default_namespace)?;
    let spec = root.require("spec")?;
    spec.mapping()?;
    let template = read_template(&spec.require("template")?)?;
    let count = |name: &str| match spec.get(name) {
        None => Ok(Count::Replicas(1)),
        Some(field) => field.number(0, i64::from(i32::MAX)).map(|number| Count::Replicas(number as usize)),
    };
    let count = match kind {
        WorkloadKind::DaemonSet => Count::EveryNode,
        WorkloadKind::Job => count("parallelism")?,
        WorkloadKind::Deployment | WorkloadKind::ReplicaSet | WorkloadKind::StatefulSet => count("replicas")?,
    };
    Ok((metadata.key(), Workload { count, template, location: None }))
}

/// The workload kind of a kind, if it is one.
pub(super) fn workload_kind(kind: Kind) -> Option<WorkloadKind> {
    match kind {
        Kind::Deployment => Some(WorkloadKind::Deployment),
        Kind::StatefulSet => Some(WorkloadKind::StatefulSet),
        Kind::DaemonSet => Some(WorkloadKind::DaemonSet),
        Kind::ReplicaSet => Some(WorkloadKind::ReplicaSet),
        Kind::Job => Some(WorkloadKind::Job),
        Kind::Namespace | Kind::Pod | Kind::Service | Kind::Node | Kind::NetworkPolicy => None,
    }
}
