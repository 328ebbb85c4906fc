//! The pods of this node: what isolates them, and what they have in the kernel.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use podwall_policy::{Mode, NetworkPolicy, ObjectKey, Problem};
use podwall_ruleset::{Chain, Name};

use super::census::Census;
use super::layout::{Layout, SetId};
use super::policies::PolicyStore;
use crate::chains::GroupChains;
use crate::dispatch::conflict;
use crate::frame::{Frame, Shape};
use crate::group::{Group, excesses};
use crate::local::{Contribution, Judges, LocalPod, LocalSet, TableKind, Unit};
use crate::program::Direction;
use crate::source::is_checked;
use crate::{Attachment, Closed, NodeOptions};

/// See the module. Events only say what they disturb; [`NodePods::settle`] puts it right.
#[derive(Debug)]
pub struct NodePods {
    /// The policies of the whole cluster.
    pub policies: PolicyStore,
    /// What the kernel should have.
    pub layout: Layout,
    /// The pods.
    pub pods: BTreeMap<ObjectKey, LocalPod>,
    /// How pods are attached, of this node or not.
    pub attachments: BTreeMap<ObjectKey, Attachment>,
    options: NodeOptions,
    closed: Closed,
    groups: BTreeMap<Group, Arc<GroupChains>>,
    /// Chains of groups whose policies have changed.
    retired: Vec<Arc<GroupChains>>,
    units: BTreeMap<Unit, UnitState>,
    frame: Frame,
    /// The shape of the frame; `None` when the frame must be made anew.
    shape: Option<Shape>,
    /// The frame's sets in the table of packets that move with the pods.
    local_sets: HashMap<Name, LocalSet>,
    disturbed_pods: BTreeSet<ObjectKey>,
    disturbed_units: BTreeSet<Unit>,
}

/// A unit that something is known of.
#[derive(Debug, Default)]
struct UnitState {
    pods: BTreeSet<ObjectKey>,
    contribution: Contribution,
}

impl NodePods {
    /// No pods.
    pub fn new(options: NodeOptions) -> Self {
        Self {
            policies: PolicyStore::default(),
            layout: Layout::default(),
            pods: BTreeMap::new(),
            attachments: BTreeMap::new(),
            options,
            closed: Closed::default(),
            groups: BTreeMap::new(),
            retired: Vec::new(),
            units: BTreeMap::new(),
            frame: Frame::default(),
            shape: None,
            local_sets: HashMap::new(),
            disturbed_pods: BTreeSet::new(),
            disturbed_units: BTreeSet::new(),
        }
    }

    /// A policy is there in this version, or gone. It disturbs the pods that it selects, or selected; one whose labels
    /// have changed meanwhile is disturbed already.
    pub fn set_policy(&mut self, key: ObjectKey, policy: Option<NetworkPolicy>, census: &Census) {
        let selector = |policies: &PolicyStore| Some(policies.all().get(&key)?.pod_selector.clone());
        let before = selector(&self.policies);
        let changed = match policy {
            Some(policy) => self.policies.insert(key.clone(), policy),
            None => self.policies.remove(&key),
        };
        if !changed {
            return;
        }
        let selectors = [before, selector(&self.policies)];
        let selected = self.pods_in(&key.namespace).filter(|pod| {
            let labels = census.find(pod).map(|id| census.labels(id));
            labels.is_some_and(|labels| selectors.iter().flatten().any(|it| it.matches(labels)))
        });
        let selected: Vec<ObjectKey> = selected.cloned().collect();
        self.disturbed_pods.extend(selected);
        self.retire(|group| group.namespace == key.namespace && group.policies.binary_search(&key).is_ok());
    }

    /// What the policies of a namespace are unless they say otherwise themselves.
    pub fn set_namespace_mode(&mut self, namespace: &Arc<str>, mode: Mode) {
        if self.policies.set_namespace_mode(namespace, mode) {
            let pods: Vec<ObjectKey> = self.pods_in(namespace).cloned().collect();
            self.disturbed_pods.extend(pods);
        }
    }

    fn pods_in(&self, namespace: &Arc<str>) -> impl Iterator<Item = &ObjectKey> {
        let from = self.pods.range(ObjectKey::new(namespace.clone(), "")..);
        from.map(|(pod, _)| pod).take_while(move |pod| pod.namespace == *namespace)
    }

    /// How a pod is attached, if that is known.
    pub fn set_attachment(&mut self, key: ObjectKey, attachment: Option<Attachment>) {
        if self.attachments.get(&key) == attachment.as_ref() {
            return;
        }
        if self.pods.contains_key(&key) {
            self.disturbed_pods.insert(key.clone());
        }
        match attachment {
            Some(attachment) => self.attachments.insert(key, attachment),
            None => self.attachments.remove(&key),
        };
    }

    /// What is closed.
    pub fn set_closed(&mut self, closed: Closed) {
        let before = std::mem::replace(&mut self.closed, closed);
        let interfaces = before.interfaces.symmetric_difference(&self.closed.interfaces);
        self.disturbed_units.extend(interfaces.cloned().map(Unit::Interface));
        let addresses = before.addresses.symmetric_difference(&self.closed.addresses);
        self.disturbed_units.extend(addresses.copied().map(Unit::Address));
    }

    /// Everything of this node is made anew: options may say anything.
    pub fn set_options(&mut self, options: NodeOptions) {
        if options == self.options {
            return;
        }
        self.options = options;
        self.shape = None;
        self.retire(|_| true);
        self.disturbed_pods.extend(self.pods.keys().cloned());
        self.disturbed_units.extend(self.units.keys().cloned());
    }

    /// The kernel has been told everything.
    pub fn written(&mut self) {
        let tables = [TableKind::Packets, TableKind::Frames];
        self.layout.written(
            tables.into_iter().filter(|it| *it == TableKind::Packets || self.has_frames()).collect(),
        );
    }

    /// True when there is a table of frames.
    pub fn has_frames(&self) -> bool {
        self.shape.is_some_and(|shape| shape.frames)
    }

    /// The base chains of the table of packets.
    pub fn base_chains(&self) -> impl Iterator<Item = &Chain> {
        let of_packets = self.frame.chains.iter().filter(|((table, _), _)| *table == TableKind::Packets);
        of_packets.map(|(_, chain)| &**chain).filter(|chain| chain.base.is_some())
    }

    /// The set of this name in the table of packets, if its elements move with the pods of this node.
    pub fn local_set(&self, name: &Name) -> Option<LocalSet> {
        self.local_sets.get(name).copied()
    }

    /// What cannot be honoured.
    pub fn problems(&self) -> Vec<Problem> {
        let problem = |(unit, state): (&Unit, &UnitState)| {
            let Unit::Interface(interface) = unit else { return None };
            let mut pods = state.pods.iter();
            Some(conflict(interface, [pods.next()?, pods.next()?]))
        };
        let mut problems: Vec<Problem> = self.units.iter().filter_map(problem).collect();
        problems.extend(excesses(self.groups.iter(), self.policies.all()));
        problems
    }

    /// Brings everything of this node to the present state. What is new is held before what is old is let go.
    pub fn settle(&mut self, census: &mut Census) {
        self.disturbed_pods.append(&mut census.disturbed);
        if self.disturbed_pods.is_empty() && self.disturbed_units.is_empty() && self.shape.is_some() {
            return;
        }
        for key in std::mem::take(&mut self.disturbed_pods) {
            self.settle_pod(key, census);
        }
        let shape = Shape::of(self.pods.values(), &self.closed);
        let mut old_frame = Frame::default();
        if self.shape != Some(shape) {
            self.shape = Some(shape);
            let frame = Frame::of(&self.options, shape);
            self.layout.hold_frame(&frame);
            let of_packets = frame.local_sets.iter().filter(|set| set.table() == TableKind::Packets);
            self.local_sets = of_packets.map(|set| (set.name(), *set)).collect();
            old_frame = std::mem::replace(&mut self.frame, frame);
        }
        for unit in std::mem::take(&mut self.disturbed_units) {
            self.settle_unit(unit);
        }
        self.layout.release_frame(&old_frame);
        self.release_groups(census);
    }

    fn settle_pod(&mut self, key: ObjectKey, census: &mut Census) {
        if let Some(before) = self.pods.remove(&key) {
            for unit in before.units() {
                if let Some(state) = self.units.get_mut(&unit) {
                    state.pods.remove(&key);
                }
                self.disturbed_units.insert(unit);
            }
        }
        if let Some(pod) = self.local_pod(&key, census) {
            for unit in pod.units() {
                self.units.entry(unit.clone()).or_default().pods.insert(key.clone());
                self.disturbed_units.insert(unit);
            }
            self.pods.insert(key, pod);
        }
    }

    /// The pod as it is now, if it is one of this node's.
    fn local_pod(&mut self, key: &ObjectKey, census: &mut Census) -> Option<LocalPod> {
        let id = census.find(key).filter(|id| census.is_local(*id))?;
        let selecting = self.policies.selecting(&key.namespace, census.labels(id));
        let ports = census.pods.ports(census.pods.get(id));
        let modes = [(Mode::Enforce, true), (Mode::Audit, self.options.flow_log.is_some())];
        let groups = modes.map(|(mode, asked_for)| {
            [Direction::Ingress, Direction::Egress].map(|direction| {
                Group::of(&selecting, mode, direction, &key.namespace, ports).filter(|_| asked_for)
            })
        });
        let [enforced, audited] = groups.map(|of_mode| {
            let [ingress, egress] = of_mode.map(|group| Some(self.group_chains(group?, census)));
            Judges { ingress, egress }
        });
        let record = census.pods.get(id);
        let has_addresses = !record.addresses().is_empty();
        Some(LocalPod {
            key: key.clone(),
            attachment: self.attachments.get(key).cloned(),
            has_addresses,
            addresses: census.owned(id).to_vec(),
            enforced,
            audited,
            checked: is_checked(&self.options, record.anti_spoofing, has_addresses),
        })
    }

    fn group_chains(&mut self, group: Group, census: &mut Census) -> Arc<GroupChains> {
        if let Some(chains) = self.groups.get(&group) {
            return chains.clone();
        }
        let chains = Arc::new(GroupChains::of(&group, self.policies.all(), &self.options));
        for (name, chain) in &chains.chains {
            self.layout.hold_chain(&(TableKind::Packets, name.clone()), chain);
        }
        for (name, set) in &chains.blocks {
            self.layout.hold_set(&SetId::Constant(TableKind::Packets, name.clone()), set);
        }
        for (name, selection) in &chains.selections {
            census.hold_selection(name, selection);
        }
        self.groups.insert(group, chains.clone());
        chains
    }

    /// Groups that are to be made anew. Their pods must be disturbed too.
    fn retire(&mut self, stale: impl Fn(&Group) -> bool) {
        let retired = &mut self.retired;
        self.groups.retain(|group, chains| {
            let stale = stale(group);
            if stale {
                retired.push(chains.clone());
            }
            !stale
        });
    }

    /// Lets go of the chains of groups that have no pods any more.
    fn release_groups(&mut self, census: &mut Census) {
        let mut released = std::mem::take(&mut self.retired);
        self.groups.retain(|_, chains| {
            let has_pods = Arc::strong_count(chains) > 1;
            if !has_pods {
                released.push(chains.clone());
            }
            has_pods
        });
        for chains in released {
            for name in chains.chains.keys() {
                self.layout.release_chain(&(TableKind::Packets, name.clone()));
            }
            for name in chains.blocks.keys() {
                self.layout.release_set(&SetId::Constant(TableKind::Packets, name.clone()));
            }
            for name in chains.selections.keys() {
                census.release_selection(name);
            }
        }
    }

    /// Makes a unit's elements anew, and changes what is different.
    fn settle_unit(&mut self, unit: Unit) {
        let state = self.units.entry(unit.clone()).or_default();
        let pods: Vec<&LocalPod> = state.pods.iter().map(|key| &self.pods[key]).collect();
        let after = Contribution::of(&unit, &pods, &self.closed, &self.options);
        let before = std::mem::take(&mut state.contribution);
        for (name, chain) in &after.chains {
            self.layout.hold_chain(&(TableKind::Frames, name.clone()), chain);
        }
        for (set, key) in before.elements.keys() {
            if !after.elements.contains_key(&(*set, key.clone())) {
                self.layout.put(&SetId::Local(*set), key, None);
            }
        }
        for ((set, key), element) in &after.elements {
            if before.elements.get(&(*set, key.clone())) != Some(element) {
                self.layout.put(&SetId::Local(*set), key, Some(element.clone()));
            }
        }
        for name in before.chains.keys() {
            self.layout.release_chain(&(TableKind::Frames, name.clone()));
        }
        if state.pods.is_empty() && after == Contribution::default() {
            self.units.remove(&unit);
        } else {
            state.contribution = after;
        }
    }
}
