//! Identities: the pods of one namespace with the same labels. To a selector they are one, so that a replica more
//! asks none.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use podwall_policy::{Labels, NAMESPACE_NAME_LABEL};

use super::label_index::LabelIndex;
use super::pods::PodId;
use super::selections::SelectionId;
use super::slab::Slab;
use crate::peers::{PodPeer, Scope};
use crate::selection::{self, Selection};

/// A namespace's number.
pub type NamespaceId = u32;
/// An identity's number.
pub type IdentityId = u32;

/// A namespace that was set, or that pods are in.
#[derive(Debug)]
pub struct Namespace {
    /// Its name.
    pub name: Arc<str>,
    /// The labels that were set, if it was.
    pub declared: Option<Labels>,
    /// Its labels, its name included (S48).
    pub labels: Labels,
    /// The identities of its pods.
    pub identities: BTreeSet<IdentityId>,
}

/// See the module.
#[derive(Debug)]
pub struct Identity {
    /// The pods' namespace.
    pub namespace: NamespaceId,
    /// The pods' labels.
    pub labels: Labels,
    /// The pods, whether they take part in policy or not; never empty between events.
    pub pods: Vec<PodId>,
    /// The live selections that concern it, sorted.
    pub selections: Vec<SelectionId>,
}

/// All identities and their namespaces.
#[derive(Debug, Default)]
pub struct Identities {
    namespaces: Slab<Namespace>,
    namespace_ids: HashMap<Arc<str>, NamespaceId>,
    /// Namespaces by label.
    namespace_index: LabelIndex,
    identities: Slab<Identity>,
    /// Identities by the label of their pods.
    label_index: LabelIndex,
    /// By namespace and labels, which are looked up in the identity.
    index: HashTable<IdentityId>,
    hasher: RandomState,
}

impl Identities {
    /// The number of a namespace, made if it is not there.
    pub fn namespace(&mut self, name: &Arc<str>) -> NamespaceId {
        if let Some(id) = self.namespace_ids.get(name) {
            return *id;
        }
        let labels = with_name(Labels::new(), name);
        let identities = BTreeSet::new();
        let namespace = Namespace { name: name.clone(), declared: None, labels: labels.clone(), identities };
        let id = self.namespaces.insert(namespace);
        self.namespace_index.insert(id, &labels);
        self.namespace_ids.insert(name.clone(), id);
        id
    }

    /// The number of a namespace that is there.
    pub fn find_namespace(&self, name: &str) -> Option<NamespaceId> {
        self.namespace_ids.get(name).copied()
    }

    /// A namespace.
    pub fn get_namespace(&self, id: NamespaceId) -> &Namespace {
        self.namespaces.get(id)
    }

    /// All namespaces that were set or have pods.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.iter().map(|(_, namespace)| namespace)
    }

    /// The labels that a namespace has when these are set, or none are.
    pub fn labels_of(name: &Arc<str>, declared: Option<&Labels>) -> Labels {
        with_name(declared.cloned().unwrap_or_default(), name)
    }

    /// Sets the labels of a namespace.
    pub fn declare(&mut self, id: NamespaceId, declared: Option<Labels>) {
        let namespace = self.namespaces.get_mut(id);
        self.namespace_index.remove(id, &namespace.labels);
        namespace.labels = Self::labels_of(&namespace.name, declared.as_ref());
        namespace.declared = declared;
        self.namespace_index.insert(id, &namespace.labels);
    }

    /// Forgets a namespace that was not set and has no pods.
    pub fn forget_if_empty(&mut self, id: NamespaceId) {
        let namespace = self.namespaces.get(id);
        if namespace.declared.is_none() && namespace.identities.is_empty() {
            let namespace = self.namespaces.remove(id);
            self.namespace_index.remove(id, &namespace.labels);
            self.namespace_ids.remove(&namespace.name);
        }
    }

    /// The identity of these labels, if pods have it.
    pub fn find(&self, namespace: NamespaceId, labels: &Labels) -> Option<IdentityId> {
        let is_it = |id: &IdentityId| {
            let identity = self.identities.get(*id);
            identity.namespace == namespace && identity.labels == *labels
        };
        self.index.find(self.hasher.hash_one((namespace, labels)), is_it).copied()
    }

    /// Adds an identity that is not there, without pods.
    pub fn insert(&mut self, namespace: NamespaceId, labels: &Labels) -> IdentityId {
        let hash = self.hasher.hash_one((namespace, labels));
        let (pods, selections) = (Vec::new(), Vec::new());
        let id = self.identities.insert(Identity { namespace, labels: Labels::new(), pods, selections });
        self.identities.get_mut(id).labels = self.label_index.insert(id, labels);
        let (identities, hasher) = (&self.identities, &self.hasher);
        let hash_of = |id: &IdentityId| {
            let identity = identities.get(*id);
            hasher.hash_one((identity.namespace, &identity.labels))
        };
        self.index.insert_unique(hash, id, hash_of);
        self.namespaces.get_mut(namespace).identities.insert(id);
        id
    }

    /// Removes an identity, and its namespace if nothing else is left of it.
    pub fn remove(&mut self, id: IdentityId) -> Identity {
        let identity = self.identities.remove(id);
        self.label_index.remove(id, &identity.labels);
        let hash = self.hasher.hash_one((identity.namespace, &identity.labels));
        if let Ok(entry) = self.index.find_entry(hash, |it| *it == id) {
            entry.remove();
        }
        self.namespaces.get_mut(identity.namespace).identities.remove(&id);
        self.forget_if_empty(identity.namespace);
        identity
    }

    /// An identity.
    pub fn get(&self, id: IdentityId) -> &Identity {
        self.identities.get(id)
    }

    /// An identity, to be changed.
    pub fn get_mut(&mut self, id: IdentityId) -> &mut Identity {
        self.identities.get_mut(id)
    }

    /// All identities.
    pub fn iter(&self) -> impl Iterator<Item = (IdentityId, &Identity)> {
        self.identities.iter()
    }

    /// An identity as selectors see it.
    pub fn view(&self, id: IdentityId) -> selection::Identity<'_> {
        let identity = self.identities.get(id);
        let namespace = self.namespaces.get(identity.namespace);
        selection::Identity {
            namespace: &namespace.name,
            namespace_labels: &namespace.labels,
            labels: &identity.labels,
        }
    }

    /// The identities that a selection concerns: each peer asks those that it can select.
    pub fn concerned(&self, selection: &Selection) -> Vec<IdentityId> {
        if selection.reaches_everyone() {
            return self.iter().map(|(id, _)| id).collect();
        }
        let mut concerned: Vec<IdentityId> =
            selection.pod_peers().into_iter().flat_map(|peer| self.selected(peer)).collect();
        concerned.sort_unstable();
        concerned.dedup();
        concerned
    }

    /// The identities that a peer selects: found by the namespaces that it asks for, or by the labels of their pods,
    /// whatever leaves fewer to be asked.
    fn selected(&self, peer: &PodPeer) -> Vec<IdentityId> {
        let namespaces: Option<Vec<NamespaceId>> = match &peer.scope {
            Scope::Namespace(name) => Some(self.find_namespace(name).into_iter().collect()),
            Scope::Selected(selector) => {
                self.namespace_index.candidates(selector).map(|found| found.iter().collect())
            }
        };
        let by_label = self.label_index.candidates(&peer.pods);
        let per_namespace = self.identities.len() / self.namespaces.len().max(1) + 1;
        let reached = namespaces.as_ref().map(|found| found.len() * per_namespace);
        let selects = |id: &IdentityId| peer.selects(self.view(*id));
        match (namespaces, by_label) {
            (_, Some(found)) if reached.is_none_or(|reached| found.len() < reached) => {
                found.iter().filter(selects).collect()
            }
            (Some(namespaces), _) => {
                let of = |id| self.get_namespace(id).identities.iter().copied();
                namespaces.into_iter().flat_map(of).filter(selects).collect()
            }
            (None, _) => self.iter().map(|(id, _)| id).filter(selects).collect(),
        }
    }
}

fn with_name(mut labels: Labels, name: &Arc<str>) -> Labels {
    labels.insert(NAMESPACE_NAME_LABEL.into(), name.clone());
    labels
}
