//! `metadata.ownerReferences`: the workload that an object is of.

use std::collections::BTreeMap;

use super::Manifests;
use super::fault::Reading;
use super::field::Field;
use super::kind::Kind;
use super::workload::workload_kind;
use crate::model::ObjectKey;
use crate::workload::{Workload, WorkloadKind};

/// A ReplicaSet of a Deployment, with the Deployment's name.
pub(super) type OwnedReplicaSet = (ObjectKey, Workload);

/// The workload that controls an object, if one does. A Deployment's pods belong to its ReplicaSet, which is called as
/// the Deployment and the hash that its pods have as a label: nobody needs to read ReplicaSets for that.
pub(super) fn read_owner(root: &Field, object: &ObjectKey) -> Reading<Option<(WorkloadKind, ObjectKey)>> {
    let Some(metadata) = root.get("metadata") else { return Ok(None) };
    let Some(references) = metadata.get("ownerReferences") else { return Ok(None) };
    let hash = match metadata.get("labels") {
        Some(labels) => labels.text("pod-template-hash")?,
        None => None,
    };
    for reference in references.list()? {
        reference.mapping()?;
        let controls = reference.get("controller").map_or(Ok(false), |field| field.boolean())?;
        let (Some(kind), Some(name)) = (reference.text("kind")?, reference.text("name")?) else { continue };
        let Some(kind) = Kind::of(kind).and_then(workload_kind).filter(|_| controls) else { continue };
        let deployment = hash.and_then(|hash| name.strip_suffix(&**hash)?.strip_suffix('-'));
        let (kind, name) = match deployment.filter(|_| kind == WorkloadKind::ReplicaSet) {
            Some(deployment) => (WorkloadKind::Deployment, deployment),
            None => (kind, &**name),
        };
        return Ok(Some((kind, ObjectKey::new(object.namespace.clone(), name))));
    }
    Ok(None)
}

/// Gives Deployments what their ReplicaSets say: nothing where the Deployment itself was read; else the largest of them
/// stands for it, as in `kubectl get replicasets,pods`.
pub(super) fn settle(manifests: &mut Manifests, replica_sets: Vec<OwnedReplicaSet>) {
    let mut largest = BTreeMap::<ObjectKey, Workload>::new();
    for (deployment, workload) in replica_sets {
        if largest.get(&deployment).is_none_or(|it| it.count <= workload.count) {
            largest.insert(deployment, workload);
        }
    }
    for (deployment, workload) in largest {
        manifests.workloads.entry((WorkloadKind::Deployment, deployment)).or_insert(workload);
    }
}
