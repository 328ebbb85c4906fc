//! The cluster as the API server has it, which may be other than what somebody meant to write.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use podwall_policy::read::{Source, read};
use podwall_policy::{Cluster, Consequence, Node};
use serde_json::Value as Json;

use crate::objects::{Kind, Objects};

/// What nobody who reads policy looks at, and most of the text.
const LONG_FIELDS: [&str; 3] = ["/metadata/managedFields", "/spec/tolerations", "/status/conditions"];

/// Reads all objects that matter to policy. `nodes` are the lab's: the API server of a lab has none.
pub fn read_cluster(objects: &Objects, nodes: &BTreeMap<Arc<str>, Node>) -> Result<Cluster> {
    read_kinds(objects, nodes, &Kind::ALL)
}

/// The same of some kinds only.
pub fn read_kinds(objects: &Objects, nodes: &BTreeMap<Arc<str>, Node>, kinds: &[Kind]) -> Result<Cluster> {
    let mut sources = Vec::new();
    for kind in kinds {
        let mut list = objects.list(*kind)?;
        list["items"].as_array_mut().into_iter().flatten().for_each(shorten);
        sources.push(Source { name: format!("{kind:?}"), bytes: serde_json::to_vec(&list)? });
    }
    let manifests = read(&sources, "default");
    let bad = manifests.problems.iter().find(|problem| problem.consequence >= Consequence::Refused);
    ensure!(bad.is_none(), "the API server has what we cannot read: {}", bad.expect("there is one"));
    let (namespaces, pods) = (manifests.namespaces, manifests.pods);
    let audited_namespaces = manifests.audited_namespaces;
    let (policies, services, nodes) = (manifests.policies, manifests.services, nodes.clone());
    Ok(Cluster { namespaces, audited_namespaces, pods, policies, services, nodes })
}

fn shorten(object: &mut Json) {
    for field in LONG_FIELDS {
        if let Some(value) = object.pointer_mut(field) {
            value.take();
        }
    }
}
