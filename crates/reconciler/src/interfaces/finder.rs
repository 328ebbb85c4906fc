//! Which interface each local pod has, and which interfaces were left behind.
//!
//! A pod keeps what was found for it until the link is deleted, its uid changes, or the host routes its address
//! elsewhere. `search.rs` is the rule by which an interface is found, `outcome.rs` what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use podwall_compiler::Attachment;
use podwall_policy::{ObjectKey, Pod};
use podwall_ruleset::HardwareAddress;

use super::links::{Changes, Link, LinkKind, Links, Look};
use super::problem::Trouble;

/// A pod of this node that takes part in policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPod {
    /// `metadata.uid`
    pub uid: Arc<str>,
    /// Its addresses; none yet for a pod that starts (S80).
    pub addresses: Vec<IpAddr>,
    /// When it started, as the API writes it: of two pods with one address the later owns it (S84).
    pub started: Arc<str>,
}

impl LocalPod {
    /// What matters of a pod.
    pub fn new(uid: Arc<str>, pod: &Pod) -> Self {
        Self { uid, addresses: pod.addresses.clone(), started: pod.started.clone() }
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The first pause before far sides are looked at again; each pause is twice the one before.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How long a pod may be without an interface before that is a problem.
    pub grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(10),
            longest: Duration::from_secs(5),
            grace: Duration::from_secs(10),
        }
    }
}

/// Finds the interfaces of local pods. Tell it what changed, then call [`Finder::update`].
#[derive(Debug)]
pub struct Finder {
    patience: Patience,
    pub(super) pods: BTreeMap<ObjectKey, Entry>,
    /// The pods that say an address is theirs.
    pub(super) claims: BTreeMap<IpAddr, BTreeSet<ObjectKey>>,
    /// Whose each interface is.
    pub(super) bindings: BTreeMap<u32, Binding>,
    /// The interface that an address is bound to.
    pub(super) holders: BTreeMap<IpAddr, u32>,
    /// Pods to be decided anew.
    pub(super) undecided: BTreeSet<ObjectKey>,
    /// Pods that have addresses and no interface.
    pub(super) waiting: BTreeSet<ObjectKey>,
    /// Pods whose attachment may have changed since it was reported.
    pub(super) touched: BTreeSet<ObjectKey>,
    reported: BTreeMap<ObjectKey, Attachment>,
    pub(super) round: Round,
    looks: Vec<Look>,
    retry_at: Option<Instant>,
    pause: Duration,
}

/// A pod, and what was found for it.
#[derive(Debug)]
pub(super) struct Entry {
    pub local: LocalPod,
    pub interface: Option<u32>,
    pub attachment: Option<Attachment>,
    pub trouble: Option<Trouble>,
    /// The first round of looks that was begun after this pod was known.
    pub needs: u64,
    /// Since when it has been without an interface.
    pub since: Option<Instant>,
    /// True when that is longer than it may be.
    pub overdue: bool,
}

/// Whose an interface is.
#[derive(Debug)]
pub(super) struct Binding {
    pub pod: ObjectKey,
    /// The addresses that it is held for.
    pub addresses: BTreeSet<IpAddr>,
    /// The pod's side, as it was when it was bound: what the pod does to it later does not count.
    pub hardware_address: Option<HardwareAddress>,
    /// True when another had this hardware address before.
    pub hardware_taken: bool,
    /// True when the pod is gone and the interface is not (S83).
    pub orphan: bool,
}

/// Looks at the far sides of all interfaces that are nobody's. A pod is found by its far side only when all of them
/// were looked at after it was known: else the first liar would win.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub number: u64,
    /// What was not answered yet.
    pub open: BTreeSet<u32>,
    /// True when another round is to follow.
    again: bool,
}

impl Finder {
    /// A finder that knows of no pod.
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            pods: BTreeMap::new(),
            claims: BTreeMap::new(),
            bindings: BTreeMap::new(),
            holders: BTreeMap::new(),
            undecided: BTreeSet::new(),
            waiting: BTreeSet::new(),
            touched: BTreeSet::new(),
            reported: BTreeMap::new(),
            round: Round::default(),
            looks: Vec::new(),
            retry_at: None,
            pause: patience.first,
        }
    }

    /// A pod is there, in this version.
    pub fn set_pod(&mut self, key: ObjectKey, pod: LocalPod) {
        let known = self.pods.get(&key);
        if known.is_some_and(|known| known.local == pod) {
            return;
        }
        let keeps = |interface: u32| {
            let held = &self.bindings[&interface].addresses;
            held.is_empty() || pod.addresses.iter().any(|address| held.contains(address))
        };
        let stays = known.filter(|known| known.local.uid == pod.uid);
        let interface = stays.and_then(|known| known.interface).filter(|interface| keeps(*interface));
        let since = stays.and_then(|known| known.since);
        if interface.is_none() {
            self.abandon(&key);
        }
        self.unclaim(&key);
        for address in &pod.addresses {
            let claims = self.claims.entry(*address).or_default();
            self.undecided.extend(claims.iter().cloned());
            claims.insert(key.clone());
        }
        let attachment = self.pods.remove(&key).and_then(|known| known.attachment);
        let entry =
            Entry { local: pod, interface, attachment, trouble: None, needs: 0, since, overdue: false };
        self.pods.insert(key.clone(), entry);
        self.undecided.insert(key);
    }

    /// A pod is gone, or takes part no more. Its interface stays closed as long as it exists (S83).
    pub fn remove_pod(&mut self, key: &ObjectKey) {
        self.abandon(key);
        self.unclaim(key);
        self.pods.remove(key);
        self.undecided.remove(key);
        self.waiting.remove(key);
        self.touched.insert(key.clone());
    }

    /// Takes in what changed: of the links since the last call, of the pods, and of the time.
    pub fn update(&mut self, links: &mut Links, now: Instant) {
        let changes = links.take_changes();
        let mut events = self.take_in(&changes, links);
        events |= !self.undecided.is_empty();
        if events {
            self.decide_all(links);
        }
        self.look(links, now);
        self.count_time(now);
        self.settle_attachments(links);
    }

    /// What to look at: give it to the watch.
    pub fn take_looks(&mut self) -> Vec<Look> {
        std::mem::take(&mut self.looks)
    }

    /// When [`Finder::update`] is to be called though nothing happened.
    pub fn next_at(&self) -> Option<Instant> {
        let entries = self.waiting.iter().map(|key| &self.pods[key]).filter(|entry| !entry.overdue);
        let graces = entries.filter_map(|entry| entry.since.map(|since| since + self.patience.grace));
        let retry = self.retry_at.filter(|_| self.round.open.is_empty());
        graces.chain(retry).min()
    }

    /// The attachments that changed since this was last called; `None` for a pod that has none, or is gone.
    pub fn take_changes(&mut self) -> Vec<(ObjectKey, Option<Attachment>)> {
        let mut changes = Vec::new();
        for key in std::mem::take(&mut self.touched) {
            let attachment = self.pods.get(&key).and_then(|entry| entry.attachment.clone());
            if self.reported.get(&key) == attachment.as_ref() {
                continue;
            }
            match attachment.clone() {
                Some(attachment) => self.reported.insert(key.clone(), attachment),
                None => self.reported.remove(&key),
            };
            changes.push((key, attachment));
        }
        changes
    }

    /// The interfaces of known pods.
    pub(super) fn bound(&self) -> impl Iterator<Item = u32> {
        self.pods.values().filter_map(|entry| entry.interface)
    }

    /// True when an interface is no known pod's.
    pub(super) fn is_free(&self, index: u32) -> bool {
        self.bindings.get(&index).is_none_or(|binding| binding.orphan)
    }

    /// Returns whether anything happened that may decide for a waiting pod.
    fn take_in(&mut self, changes: &Changes, links: &Links) -> bool {
        for index in &changes.gone {
            self.round.open.remove(index);
            if let Some(binding) = self.unbind(*index).filter(|binding| !binding.orphan) {
                self.undecided.insert(binding.pod);
            }
        }
        // Routes may have been there before the link was.
        let of_new_links = if changes.came.is_empty() { Vec::new() } else { links.routes_by(&changes.came) };
        for address in changes.routes.iter().chain(&of_new_links) {
            self.undecided.extend(self.claims.get(address).into_iter().flatten().cloned());
        }
        for index in &changes.links {
            self.touch_link(*index, changes.came.contains(index), links);
        }
        if changes.looked {
            let number = self.round.number;
            let is_open = |index: &u32| links.inside(*index).is_none_or(|(look, _)| *look < number);
            self.round.open.retain(is_open);
        }
        changes.looked || !changes.gone.is_empty()
    }

    fn touch_link(&mut self, index: u32, came: bool, links: &Links) {
        if came && links.link(index).is_some_and(|link| link.kind == LinkKind::Bridge) {
            self.touched.extend(self.pods.keys().cloned());
        }
        match self.bindings.get(&index) {
            Some(binding) if !binding.orphan => {
                self.touched.insert(binding.pod.clone());
            }
            _ => {
                self.round.again = true;
                self.pause = self.patience.first;
            }
        }
    }

    /// Begins a round of looks when one is needed and none is under way.
    fn look(&mut self, links: &Links, now: Instant) {
        if self.waiting.is_empty() {
            (self.retry_at, self.pause, self.round.again) = (None, self.patience.first, false);
            return;
        }
        let new = self.waiting.iter().any(|key| self.pods[key].needs > self.round.number);
        if new {
            self.pause = self.patience.first;
        }
        let due = self.retry_at.is_some_and(|at| at <= now);
        if !self.round.open.is_empty() || !(new || due || self.round.again) {
            return;
        }
        self.round.number += 1;
        self.round.again = false;
        let number = self.round.number;
        for key in &self.waiting {
            self.pods.get_mut(key).expect("a waiting pod is known").needs = number;
        }
        let is_open = |(index, link): &(u32, &Link)| link.kind == LinkKind::Veth && self.is_free(*index);
        self.round.open = links.links().filter(is_open).map(|(index, _)| index).collect();
        self.looks = self.round.open.iter().map(|index| Look { interface: *index, number }).collect();
        self.retry_at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(self.patience.longest);
    }

    fn count_time(&mut self, now: Instant) {
        for key in &self.waiting {
            let entry = self.pods.get_mut(key).expect("a waiting pod is known");
            let since = *entry.since.get_or_insert(now);
            entry.overdue = now.saturating_duration_since(since) >= self.patience.grace;
        }
    }

    /// Leaves a pod's interface behind.
    pub(super) fn abandon(&mut self, key: &ObjectKey) {
        let interface = self.pods.get_mut(key).and_then(|entry| entry.interface.take());
        if let Some(binding) = interface.and_then(|index| self.bindings.get_mut(&index)) {
            binding.orphan = true;
        }
        self.touched.insert(key.clone());
    }

    fn unclaim(&mut self, key: &ObjectKey) {
        let addresses = self.pods.get(key).map(|entry| entry.local.addresses.clone()).unwrap_or_default();
        for address in addresses {
            let Some(claims) = self.claims.get_mut(&address) else { continue };
            claims.remove(key);
            self.undecided.extend(claims.iter().cloned());
            if claims.is_empty() {
                self.claims.remove(&address);
            }
        }
    }

    /// An interface is nobody's any more.
    pub(super) fn unbind(&mut self, index: u32) -> Option<Binding> {
        let binding = self.bindings.remove(&index)?;
        for address in &binding.addresses {
            if self.holders.get(address) == Some(&index) {
                self.holders.remove(address);
            }
        }
        if let Some(entry) = self.pods.get_mut(&binding.pod).filter(|entry| entry.interface == Some(index)) {
            (entry.interface, entry.needs) = (None, 0);
        }
        self.touched.insert(binding.pod.clone());
        Some(binding)
    }

    /// Marks a pod whose attachment may have changed.
    pub(super) fn touch(&mut self, key: &ObjectKey) {
        self.touched.insert(key.clone());
    }
}
