//! The pods of the cluster, who owns which address, and which selections hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::{Labels, ObjectKey, Pod};
use podwall_ruleset::Name;
use smallvec::SmallVec;

use super::identities::{Identities, IdentityId, NamespaceId};
use super::owners::{Claim, Owners};
use super::pods::{PodId, Pods};
use super::selections::{SelectionId, Selections};
use crate::selection::{Member, Selection};

/// What new sets hold.
pub type NewMembers = BTreeMap<SelectionId, Vec<Member>>;

/// See the module. Whatever happens is told in steps of one address: a pod that owns it leaves a selection's sets, or
/// enters them.
#[derive(Debug)]
pub struct Census {
    /// All pods.
    pub pods: Pods,
    /// The owners of their addresses.
    pub owners: Owners,
    /// Their identities.
    pub identities: Identities,
    /// What the chains of this node look up.
    pub selections: Selections,
    /// Pods of this node, as they are or as they were, of which anything has changed.
    pub disturbed: BTreeSet<ObjectKey>,
    node: u32,
}

impl Census {
    /// Nobody; the node is the one whose pods are local.
    pub fn new(node: &str) -> Self {
        let mut pods = Pods::default();
        let node = pods.node(node);
        Self {
            pods,
            owners: Owners::default(),
            identities: Identities::default(),
            selections: Selections::default(),
            disturbed: BTreeSet::new(),
            node,
        }
    }

    /// A pod is there, in this version.
    pub fn set_pod(&mut self, key: ObjectKey, pod: Pod) {
        let namespace = self.identities.namespace(&key.namespace);
        let before = self.pods.find(namespace, &key.name);
        if let Some(id) = before {
            let record = self.pods.get(id);
            let same_labels = self.identities.get(record.identity).labels == pod.labels;
            if same_labels && self.pods.is_same(record, &pod) {
                return;
            }
        }
        let identity = self.identity(namespace, &pod.labels);
        match before {
            Some(id) => {
                let (name, left) = self.leave(id);
                self.enter(namespace, name, identity, &pod);
                self.forget_if_empty(left);
            }
            None => self.enter(namespace, key.name, identity, &pod),
        }
    }

    /// A pod is gone.
    pub fn remove_pod(&mut self, key: &ObjectKey) {
        if let Some(id) = self.find(key) {
            let (_, left) = self.leave(id);
            self.forget_if_empty(left);
        }
    }

    /// A namespace is there with these labels, or not at all. Only what asks for labels of namespaces can change its
    /// mind about the identities in it.
    pub fn set_namespace(&mut self, name: &Arc<str>, declared: Option<Labels>) {
        let id = match &declared {
            Some(_) => self.identities.namespace(name),
            None => match self.identities.find_namespace(name) {
                Some(id) => id,
                None => return,
            },
        };
        let labels = Identities::labels_of(name, declared.as_ref());
        if labels != self.identities.get_namespace(id).labels {
            let identities: Vec<IdentityId> =
                self.identities.get_namespace(id).identities.iter().copied().collect();
            // What a selection of ports holds may change though it concerns the same identities.
            for identity in &identities {
                self.tell_ports(*identity, -1);
            }
            let mut gained = Vec::new();
            for identity in &identities {
                let seen = self.identities.view(*identity);
                let after = self
                    .selections
                    .concerning(crate::selection::Identity { namespace_labels: &labels, ..seen });
                self.drop_selections(*identity, &after);
                gained.push(after);
            }
            self.identities.declare(id, declared);
            for (identity, after) in identities.iter().zip(gained) {
                self.add_selections(*identity, after);
                self.tell_ports(*identity, 1);
            }
        } else {
            self.identities.declare(id, declared);
        }
        self.identities.forget_if_empty(id);
    }

    /// Holds a selection; a new one finds the identities that it concerns.
    pub fn hold_selection(&mut self, names: &[Name; 2], selection: &Arc<Selection>) {
        let Some(id) = self.selections.hold(names, selection) else { return };
        for identity in self.identities.concerned(selection) {
            self.selections.set_concerned(id, identity, true);
            let selections = &mut self.identities.get_mut(identity).selections;
            if let Err(place) = selections.binary_search(&id) {
                selections.insert(place, id);
            }
        }
    }

    /// Holds a selection no longer.
    pub fn release_selection(&mut self, names: &[Name; 2]) {
        if let Some(id) = self.selections.release(names) {
            self.remove_selection(id);
        }
    }

    /// What the kernel is to have of the sets that it does not have yet.
    pub fn new_members(&self) -> NewMembers {
        let unwritten = self.selections.touched().filter(|(_, live)| !live.written);
        unwritten.map(|(id, _)| (id, self.members(id))).collect()
    }

    /// The kernel has been told everything.
    pub fn written(&mut self, new: &NewMembers) {
        for (id, members) in new {
            self.selections.set_element_count(*id, members.len());
        }
        for id in self.selections.written() {
            self.remove_selection(id);
        }
    }

    /// All that the sets of a selection hold, sorted: the members of IPv4 first.
    pub fn members(&self, id: SelectionId) -> Vec<Member> {
        let live = self.selections.get(id);
        let mut members = Vec::new();
        for identity in &live.identities {
            let view = self.identities.view(*identity);
            for pod in &self.identities.get(*identity).pods {
                let ports = self.pods.ports(self.pods.get(*pod));
                for address in self.owned(*pod) {
                    live.selection.members(view, ports, address, |member| members.push(member));
                }
            }
        }
        members.sort_unstable();
        members
    }

    /// How many elements the sets of a selection hold together.
    pub fn element_count(&self, id: SelectionId) -> usize {
        let live = self.selections.get(id);
        if live.written { live.element_count } else { self.members(id).len() }
    }

    /// True when the sets of a selection hold this.
    pub fn holds(&self, id: SelectionId, member: Member) -> bool {
        let Some(owner) = self.owners.get(member.address) else { return false };
        let record = self.pods.get(owner);
        if self.identities.get(record.identity).selections.binary_search(&id).is_err() {
            return false;
        }
        let view = self.identities.view(record.identity);
        let mut found = false;
        let selection = &self.selections.get(id).selection;
        selection.members(view, self.pods.ports(record), member.address, |it| found |= it == member);
        found
    }

    /// The pod of a name.
    pub fn find(&self, key: &ObjectKey) -> Option<PodId> {
        self.pods.find(self.identities.find_namespace(&key.namespace)?, &key.name)
    }

    /// A pod's name.
    pub fn key(&self, pod: PodId) -> ObjectKey {
        let record = self.pods.get(pod);
        let namespace = self.identities.get_namespace(record.namespace).name.clone();
        ObjectKey { namespace, name: record.name.clone() }
    }

    /// A pod's labels.
    pub fn labels(&self, pod: PodId) -> &Labels {
        &self.identities.get(self.pods.get(pod).identity).labels
    }

    /// The addresses that a pod owns, as it reports them.
    pub fn owned(&self, pod: PodId) -> SmallVec<[IpAddr; 2]> {
        let record = self.pods.get(pod);
        let mut addresses = record.claims();
        if !record.owns_all {
            addresses.retain(|address| self.owners.get(*address) == Some(pod));
        }
        addresses
    }

    /// True when a pod is of this node and takes part in policy.
    pub fn is_local(&self, pod: PodId) -> bool {
        self.pods.get(pod).is_local(self.node)
    }

    /// Adds a pod that is not there.
    fn enter(&mut self, namespace: NamespaceId, name: Arc<str>, identity: IdentityId, pod: &Pod) {
        let id = self.pods.insert(namespace, name, identity, pod);
        let pods = &mut self.identities.get_mut(identity).pods;
        pods.push(id);
        self.pods.set_place(id, u32::try_from(pods.len() - 1).expect("as many as pods at most"));
        for address in self.pods.get(id).claims() {
            let rank = |pod| rank(&self.pods, &self.identities, pod);
            match self.owners.claim(address, id, rank) {
                Claim::Nothing => continue,
                Claim::Free => {}
                Claim::Taken(from) => {
                    self.tell(from, address, -1);
                    self.check_owned(from);
                    self.disturb(from);
                }
            }
            self.tell(id, address, 1);
        }
        self.check_owned(id);
        self.disturb(id);
    }

    /// Removes a pod; returns its name and the identity that it leaves, which may be left by everyone.
    fn leave(&mut self, id: PodId) -> (Arc<str>, IdentityId) {
        self.disturb(id);
        for address in self.pods.get(id).claims() {
            if self.owners.get(address) == Some(id) {
                self.tell(id, address, -1);
            }
            let rank = |pod| rank(&self.pods, &self.identities, pod);
            if let Some(next) = self.owners.release(address, id, rank) {
                self.tell(next, address, 1);
                self.check_owned(next);
                self.disturb(next);
            }
        }
        let record = self.pods.remove(id);
        let pods = &mut self.identities.get_mut(record.identity).pods;
        pods.swap_remove(record.place as usize);
        if let Some(moved) = pods.get(record.place as usize) {
            self.pods.set_place(*moved, record.place);
        }
        (record.name, record.identity)
    }

    /// The identity of these labels, made if it is not there.
    fn identity(&mut self, namespace: NamespaceId, labels: &Labels) -> IdentityId {
        if let Some(id) = self.identities.find(namespace, labels) {
            return id;
        }
        let id = self.identities.insert(namespace, labels);
        let after = self.selections.concerning(self.identities.view(id));
        self.add_selections(id, after);
        id
    }

    fn forget_if_empty(&mut self, id: IdentityId) {
        if self.identities.get(id).pods.is_empty() {
            let identity = self.identities.remove(id);
            for selection in identity.selections {
                self.selections.set_concerned(selection, id, false);
            }
        }
    }

    fn remove_selection(&mut self, id: SelectionId) {
        for identity in self.selections.remove(id) {
            let selections = &mut self.identities.get_mut(identity).selections;
            if let Ok(place) = selections.binary_search(&id) {
                selections.remove(place);
            }
        }
    }

    /// An identity is of no selection that is not among these.
    fn drop_selections(&mut self, identity: IdentityId, after: &[SelectionId]) {
        let before = &self.identities.get(identity).selections;
        let lost: Vec<SelectionId> =
            before.iter().copied().filter(|id| after.binary_search(id).is_err()).collect();
        for id in lost {
            if !self.selections.is_of_ports(id) {
                self.tell_all(identity, id, -1);
            }
            self.selections.set_concerned(id, identity, false);
            self.identities.get_mut(identity).selections.retain(|it| *it != id);
        }
    }

    /// An identity is of exactly these selections; it was of none that is not among them.
    fn add_selections(&mut self, identity: IdentityId, after: Vec<SelectionId>) {
        let before = std::mem::take(&mut self.identities.get_mut(identity).selections);
        for id in after.iter().copied().filter(|id| before.binary_search(id).is_err()) {
            if !self.selections.is_of_ports(id) {
                self.tell_all(identity, id, 1);
            }
            self.selections.set_concerned(id, identity, true);
        }
        self.identities.get_mut(identity).selections = after;
    }

    fn tell_ports(&mut self, identity: IdentityId, sign: i32) {
        let all = self.identities.get(identity).selections.iter().copied();
        let of_ports: Vec<SelectionId> = all.filter(|id| self.selections.is_of_ports(*id)).collect();
        for id in of_ports {
            self.tell_all(identity, id, sign);
        }
    }

    /// A selection's sets gain (or lose) all pods of an identity.
    fn tell_all(&mut self, identity: IdentityId, id: SelectionId, sign: i32) {
        let view = self.identities.view(identity);
        for pod in &self.identities.get(identity).pods {
            let record = self.pods.get(*pod);
            for address in self.owned(*pod) {
                self.selections.tell(id, view, self.pods.ports(record), address, sign);
            }
        }
    }

    /// The sets of all selections that concern a pod gain (or lose) an address of it.
    fn tell(&mut self, pod: PodId, address: IpAddr, sign: i32) {
        let record = self.pods.get(pod);
        let view = self.identities.view(record.identity);
        for id in &self.identities.get(record.identity).selections {
            self.selections.tell(*id, view, self.pods.ports(record), address, sign);
        }
    }

    /// Ownership is looked up where it changes, so that whoever asks for all members of a set need not.
    fn check_owned(&mut self, pod: PodId) {
        let owns = |address: &IpAddr| self.owners.get(*address) == Some(pod);
        let owns_all = self.pods.get(pod).claims().iter().all(owns);
        self.pods.set_owns_all(pod, owns_all);
    }

    fn disturb(&mut self, pod: PodId) {
        if self.is_local(pod) {
            self.disturbed.insert(self.key(pod));
        }
    }
}

/// What decides between pods that report one address: the start, then the name (S84).
fn rank<'a>(pods: &'a Pods, identities: &'a Identities, pod: PodId) -> (&'a str, &'a str, &'a str) {
    let record = pods.get(pod);
    (record.started(), &identities.get_namespace(record.namespace).name, &record.name)
}
