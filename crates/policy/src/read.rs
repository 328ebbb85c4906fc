//! Manifests into objects: every document of every file, each problem with its file, line and field.
//!
//! One bad object never stops the rest (S166); what becomes of it is said in its problem.

mod address;
pub mod api;
mod document;
mod fault;
mod field;
mod kind;
mod metadata;
mod network_policy;
mod owner;
mod pod;
mod rule;
mod selector;
mod service;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Location, NetworkPolicy, Node, ObjectKey, Pod, Service};
use crate::problem::{Consequence, Problem};
use crate::selector::Labels;
use crate::workload::{Count, Workload, WorkloadKind};

pub use fault::{printable, suggestion};
pub use network_policy::{PolicyReading, read_policy, with_last_version_kept};

/// How many pods the workloads of all manifests may make: enough for any cluster that is looked at as files.
pub const REPLICA_LIMIT: usize = 10_000;

/// A file of manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name that problems call it by, or `-` for standard input.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The objects as they were written, and what is wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifests {
    /// Labels of the namespaces that are declared, `kubernetes.io/metadata.name` included (S48).
    pub namespaces: BTreeMap<Arc<str>, Labels>,
    /// The namespaces whose annotation says that their policies are audited.
    pub audited_namespaces: BTreeSet<Arc<str>>,
    /// The pods, with the nodes and addresses that they pin.
    pub pods: BTreeMap<ObjectKey, Pod>,
    /// What makes pods from a template. A ReplicaSet of a Deployment is not among them: it is the Deployment's.
    pub workloads: BTreeMap<(WorkloadKind, ObjectKey), Workload>,
    /// The workloads that pods among these say they are of.
    pub owners: BTreeMap<ObjectKey, (WorkloadKind, ObjectKey)>,
    /// The Services, with the cluster addresses that they pin.
    pub services: BTreeMap<ObjectKey, Service>,
    /// The policies; in place of those that were refused, what closes the pods they may select.
    pub policies: BTreeMap<ObjectKey, NetworkPolicy>,
    /// The nodes that are declared.
    pub nodes: BTreeMap<Arc<str>, Node>,
    /// What is wrong, by file and line.
    pub problems: Vec<Problem>,
}

impl Manifests {
    /// True when something could not be read as objects at all.
    pub fn unreadable(&self) -> bool {
        self.problems.iter().any(|problem| problem.consequence == Consequence::Unreadable)
    }

    /// The names of the nodes that are declared, or named by pods and templates, sorted.
    pub fn named_nodes(&self) -> BTreeSet<Arc<str>> {
        let templates = self.workloads.values().map(|workload| &workload.template);
        let pinned = self.pods.values().chain(templates).filter_map(|pod| pod.node.clone());
        self.nodes.keys().cloned().chain(pinned).collect()
    }
}

/// Reads manifests. Objects without a namespace are in the default one (S163).
pub fn read(sources: &[Source], default_namespace: &str) -> Manifests {
    let mut manifests = Manifests::default();
    let mut seen = document::Seen::default();
    let mut problems = Vec::new();
    for source in sources {
        let mut reader =
            document::Reader::new(&source.name, default_namespace, &mut manifests, &mut seen, &mut problems);
        reader.read_text(&source.bytes);
    }
    owner::settle(&mut manifests, seen.replica_sets);
    problems.extend(refuse_excess(&mut manifests));
    // Stable: within one line, in the order found.
    let order: BTreeMap<&str, usize> =
        sources.iter().enumerate().rev().map(|(index, source)| (source.name.as_str(), index)).collect();
    problems.sort_by_key(|problem| {
        (problem.file.as_deref().and_then(|file| order.get(file).copied()), problem.line)
    });
    manifests.problems = problems;
    manifests
}

/// Takes out workloads beyond the limit, in the order of their names so that the order of files does not matter.
fn refuse_excess(manifests: &mut Manifests) -> Vec<Problem> {
    let nodes = manifests.named_nodes().len().max(1);
    let (mut pods, mut refused) = (0, Vec::new());
    for (name, workload) in manifests.makers() {
        let wanted = match workload.count {
            Count::Replicas(count) => count,
            Count::EveryNode => nodes,
        };
        if wanted <= REPLICA_LIMIT - pods {
            pods += wanted;
        } else {
            refused.push((name.clone(), excess(name, workload.location.as_ref(), wanted)));
        }
    }
    let problems = refused.into_iter().map(|(name, problem)| {
        manifests.workloads.remove(&name);
        problem
    });
    problems.collect()
}

fn excess((kind, key): &(WorkloadKind, ObjectKey), location: Option<&Location>, wanted: usize) -> Problem {
    Problem {
        file: location.map(|location| location.file.to_string()),
        line: location.map(|location| location.line),
        object: Some(format!("{} {key}", kind.name())),
        field: None,
        message: format!(
            "with its {wanted} pods the workloads make more than {REPLICA_LIMIT}; refused: the object is left \
             out: ask for fewer replicas"
        ),
        consequence: Consequence::Refused,
    }
}
