//! The state of a cluster as one node sees it, kept event by event, and the changes that each event makes to what
//! the node's kernel should hold.
//!
//! ```text
//! census       pods ─► identities ─► selections        whose address is in which set: the whole cluster
//! node         pods of this node ─► groups ─► chains   who is isolated by what: this node
//! layout       chains and sets, by who holds them      what the kernel should have, and what it has of it
//! transaction  the difference
//! ```
//!
//! An event is noted at once, and what it means for this node is found out when somebody asks for the changes: once for
//! all events that came meanwhile. What an event costs grows with what it changes and not with the cluster. What it
//! means is not said here: groups, chains, elements and selections are made by the code that [`crate::compile`] uses,
//! and the engine must always end where that would.

mod around;
mod census;
mod connection;
mod identities;
mod label_index;
mod layout;
mod node;
mod owners;
mod pods;
mod policies;
mod selections;
mod slab;
mod status;
mod transaction;

pub use connection::Connection;
pub use status::{Counts, LocalPodState};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podwall_policy::{Cluster, Labels, Mode, NetworkPolicy, ObjectKey, Pod, Problem};
use podwall_ruleset::{Element, Ruleset, Set, Table, Transaction};

use crate::local::TableKind;
use crate::value::{FAMILIES, family_of};
use crate::{Attachment, Closed, NodeOptions};
use census::Census;
use node::NodePods;
use transaction::transaction;

/// See the module.
#[derive(Debug)]
pub struct Engine {
    census: Census,
    node: NodePods,
}

impl Engine {
    /// An engine that knows nothing yet: no table at all has been taken.
    pub fn new(node: Arc<str>, options: NodeOptions) -> Self {
        Self { census: Census::new(&node), node: NodePods::new(options) }
    }

    /// A pod is there, in this version.
    pub fn set_pod(&mut self, key: ObjectKey, pod: Pod) {
        self.census.set_pod(key, pod);
    }

    /// A pod is gone. Its attachment stays until it is taken away.
    pub fn remove_pod(&mut self, key: &ObjectKey) {
        self.census.remove_pod(key);
    }

    /// A namespace is there, with these labels.
    pub fn set_namespace(&mut self, name: Arc<str>, labels: Labels) {
        self.census.set_namespace(&name, Some(labels));
    }

    /// Whether the policies of a namespace are enforced, unless they say otherwise themselves. Until this is said, and once
    /// the namespace is gone, they are.
    pub fn set_namespace_mode(&mut self, name: &Arc<str>, mode: Mode) {
        self.node.set_namespace_mode(name, mode);
    }

    /// The same for all namespaces.
    pub fn set_audited_namespaces(&mut self, audited: &BTreeSet<Arc<str>>) {
        let before = self.node.policies.audited_namespaces();
        let changed: Vec<Arc<str>> = before.symmetric_difference(audited).cloned().collect();
        for name in changed {
            self.node.set_namespace_mode(&name, Mode::audit_if(audited.contains(&name)));
        }
    }

    /// A namespace is gone.
    pub fn remove_namespace(&mut self, name: &str) {
        self.node.set_namespace_mode(&name.into(), Mode::Enforce);
        self.census.set_namespace(&name.into(), None);
    }

    /// A policy is there, in this version.
    pub fn set_policy(&mut self, key: ObjectKey, policy: NetworkPolicy) {
        self.node.set_policy(key, Some(policy), &self.census);
    }

    /// A policy is gone.
    pub fn remove_policy(&mut self, key: &ObjectKey) {
        self.node.set_policy(key.clone(), None, &self.census);
    }

    /// How a local pod is attached; `None` when that is not known.
    pub fn set_attachment(&mut self, key: ObjectKey, attachment: Option<Attachment>) {
        self.node.set_attachment(key, attachment);
    }

    /// What is closed though no known pod is behind it.
    pub fn set_closed(&mut self, closed: Closed) {
        self.node.set_closed(closed);
    }

    /// What the node's operator chose.
    pub fn set_options(&mut self, options: NodeOptions) {
        self.node.set_options(options);
    }

    /// What turns the ruleset as it was when this was called last into the present one; from nothing, the first
    /// time. Equal to what [`diff`](podwall_ruleset::diff) gives for the two, but for the order of independent
    /// operations.
    pub fn take_changes(&mut self) -> Transaction {
        self.node.settle(&mut self.census);
        let new = self.census.new_members();
        let transaction = transaction(&self.node.layout, &self.census, &new, self.node.has_frames());
        self.census.written(&new);
        self.node.written();
        transaction
    }

    /// The same, when what is there now has been written in another way: [`Engine::ruleset`] as a whole.
    pub fn forget_changes(&mut self) {
        self.node.settle(&mut self.census);
        let new = self.census.new_members();
        self.census.written(&new);
        self.node.written();
    }

    /// Everything that the kernel should hold: what [`compile`](crate::compile) gives for the present state.
    pub fn ruleset(&mut self) -> Ruleset {
        self.node.settle(&mut self.census);
        let mut tables: BTreeMap<TableKind, Table> = BTreeMap::new();
        for ((table, name), chain) in self.node.layout.chains() {
            tables.entry(*table).or_default().chains.insert(name.clone(), chain.clone());
        }
        for (id, set) in self.node.layout.sets() {
            tables.entry(id.table()).or_default().sets.insert(id.name(), set.clone());
        }
        let packets = tables.entry(TableKind::Packets).or_default();
        for (id, live) in self.census.selections.iter().filter(|(_, live)| live.references > 0) {
            let members = self.census.members(id);
            for (name, family) in live.names.iter().zip(FAMILIES) {
                let of_family = members.iter().filter(|it| family_of(&it.address) == family);
                let elements = of_family.map(|it| (it.key(), Element::default())).collect();
                packets.sets.insert(name.clone(), Set { elements, ..live.selection.definition(family) });
            }
        }
        Ruleset { tables: tables.into_iter().map(|(table, it)| (table.id(), it)).collect() }
    }

    /// What could not be honoured when the changes were asked for last; the pods concerned are closed.
    pub fn problems(&self) -> Vec<Problem> {
        self.node.problems()
    }

    /// The present state, for `evaluate`; where objects were read is not in it, except for policies. It is made for
    /// the occasion: do not ask in a hot loop.
    pub fn cluster(&self) -> Cluster {
        let declared = self.census.identities.namespaces();
        let namespaces = declared.filter_map(|it| Some((it.name.clone(), it.declared.clone()?))).collect();
        let pod = |(id, record): (pods::PodId, &pods::Record)| {
            let labels = &self.census.identities.get(record.identity).labels;
            (self.census.key(id), self.census.pods.to_pod(record, labels))
        };
        Cluster {
            namespaces,
            pods: self.census.pods.iter().map(pod).collect(),
            policies: self.node.policies.all().clone(),
            audited_namespaces: self.node.policies.audited_namespaces().clone(),
            ..Cluster::default()
        }
    }

    /// The pods' names, in no order.
    pub fn pod_keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.census.pods.iter().map(|(id, _)| self.census.key(id))
    }

    /// The names of the namespaces that were set, in no order.
    pub fn namespace_names(&self) -> impl Iterator<Item = Arc<str>> {
        let declared = self.census.identities.namespaces().filter(|it| it.declared.is_some());
        declared.map(|it| it.name.clone())
    }

    /// The policies' names.
    pub fn policy_keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.node.policies.all().keys().cloned()
    }

    /// A policy.
    pub fn policy(&self, key: &ObjectKey) -> Option<&NetworkPolicy> {
        self.node.policies.all().get(key)
    }
}
