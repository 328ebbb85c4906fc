//! `diff`: what a change opens and what it closes, between groups of pods that policy cannot tell apart.
//!
//! ```text
//! two snapshots ─► classes of pods, pieces of the address space ─► pairs that may differ ─► evaluate before and after,
//!                                                                                            port piece by port piece
//! ```
//!
//! Compared are pods that are in both states, with each other and with what is outside the cluster. Nodes, and pods on
//! their networks, are outside too, but for a pod's own node, which always reaches it.

mod class;
mod ports;
mod report;
mod space;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::{Cluster, Endpoint, Flow, ObjectKey, Transport, evaluate};

use crate::snapshot::Snapshot;
use class::{Class, classes};
use ports::{PortSet, pieces};
use space::{AddressRange, ranges};

/// What differs between two states.
#[derive(Debug)]
pub struct Difference {
    classes: Vec<Class>,
    outside: Vec<AddressRange>,
    changes: Vec<Change>,
    only_before: BTreeSet<ObjectKey>,
    only_after: BTreeSet<ObjectKey>,
}

/// One end of a change, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum End {
    Pods(usize),
    Outside(usize),
}

/// What one end may, or may no longer, send to another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    opens: bool,
    from: End,
    to: End,
    ports: PortSet,
    /// `None` when it is so for all families that the two ends share.
    ipv4: Option<bool>,
}

impl Difference {
    /// Compares two states.
    pub fn new(before: &Snapshot, after: &Snapshot) -> Self {
        let (classes, outside) = (classes(before, after), ranges(before, after));
        let compared: BTreeSet<&ObjectKey> = classes.iter().flat_map(|class| &class.pods).collect();
        let only = |one: &Snapshot, other: &Snapshot| {
            let pods =
                one.cluster.pods.iter().filter(|(key, pod)| pod.takes_part() && !compared.contains(key));
            pods.map(|(key, _)| key.clone()).filter(|key| !is_there(other, key)).collect()
        };
        let (only_before, only_after) = (only(before, after), only(after, before));
        let comparison = Comparison {
            before: representatives(&before.cluster, &classes),
            after: representatives(&after.cluster, &classes),
            classes: &classes,
            outside: &outside,
        };
        let changes = comparison.changes();
        Self { classes, outside, changes, only_before, only_after }
    }

    /// True when something becomes allowed.
    pub fn opens(&self) -> bool {
        self.changes.iter().any(|change| change.opens)
    }

    /// True when something becomes denied.
    pub fn closes(&self) -> bool {
        self.changes.iter().any(|change| !change.opens)
    }
}

fn is_there(snapshot: &Snapshot, key: &ObjectKey) -> bool {
    snapshot.cluster.pods.get(key).is_some_and(|pod| pod.takes_part())
}

/// The cluster with two pods of each class: what `evaluate` says of them holds for the others.
fn representatives(cluster: &Cluster, classes: &[Class]) -> Cluster {
    let keys = classes.iter().flat_map(|class| class.pods.iter().take(2));
    let pods = keys.filter_map(|key| Some((key.clone(), cluster.pods.get(key)?.clone()))).collect();
    Cluster { pods, services: Default::default(), nodes: Default::default(), ..cluster.clone() }
}

/// What of a cluster is in these namespaces.
fn within(cluster: &Cluster, namespaces: &BTreeSet<&Arc<str>>) -> Cluster {
    let is_in = |key: &ObjectKey| namespaces.contains(&key.namespace);
    let pods = cluster.pods.iter().filter(|(key, _)| is_in(key));
    let policies = cluster.policies.iter().filter(|(key, _)| is_in(key));
    let labels = namespaces.iter().map(|name| ((*name).clone(), cluster.namespace_labels(name)));
    Cluster {
        namespaces: labels.collect(),
        pods: pods.map(|(key, pod)| (key.clone(), pod.clone())).collect(),
        policies: policies.map(|(key, policy)| (key.clone(), policy.clone())).collect(),
        ..Cluster::default()
    }
}

struct Comparison<'a> {
    before: Cluster,
    after: Cluster,
    classes: &'a [Class],
    outside: &'a [AddressRange],
}

impl Comparison<'_> {
    /// Namespace by namespace: the policies and pods of others have no say in what two pods may do.
    fn changes(&self) -> Vec<Change> {
        let groups = self.groups();
        let mut changes = Vec::new();
        for (source, from) in &groups {
            for (target, to) in &groups {
                let namespaces: BTreeSet<&Arc<str>> = source.iter().chain(target).copied().collect();
                let differs = from.iter().chain(to).any(|end| self.may_differ(*end));
                if namespaces.is_empty() || !differs {
                    continue;
                }
                let pair = Self {
                    before: within(&self.before, &namespaces),
                    after: within(&self.after, &namespaces),
                    ..*self
                };
                for from in from {
                    to.iter().for_each(|to| pair.compare(*from, *to, &mut changes));
                }
            }
        }
        changes
    }

    /// The ends by their namespaces; those outside the cluster have none.
    fn groups(&self) -> BTreeMap<Option<&Arc<str>>, Vec<End>> {
        let mut groups = BTreeMap::from([(None, (0..self.outside.len()).map(End::Outside).collect())]);
        for (index, class) in self.classes.iter().enumerate() {
            let group: &mut Vec<End> = groups.entry(Some(&class.namespace)).or_default();
            group.push(End::Pods(index));
        }
        groups
    }

    /// Where all that `evaluate` is given of both ends is as it was, so is what it says.
    fn may_differ(&self, end: End) -> bool {
        match end {
            End::Pods(index) => self.classes[index].changed,
            End::Outside(_) => false,
        }
    }

    fn compare(&self, from: End, to: End, changes: &mut Vec<Change>) {
        if !self.may_differ(from) && !self.may_differ(to) {
            return;
        }
        let mut found = Vec::new();
        for ipv4 in [true, false] {
            if let Some(sets) = self.compare_family(from, to, ipv4) {
                found.push((ipv4, sets));
            }
        }
        let alike = found.iter().all(|(_, sets)| *sets == found[0].1);
        if alike {
            found.truncate(1);
        }
        for (ipv4, (opened, closed)) in found {
            for (opens, ports) in [(true, opened), (false, closed)] {
                if !ports.is_empty() {
                    changes.push(Change { opens, from, to, ports, ipv4: (!alike).then_some(ipv4) });
                }
            }
        }
    }

    /// What opens and what closes between two ends; `None` when they have no addresses of this family.
    fn compare_family(&self, from: End, to: End, ipv4: bool) -> Option<(PortSet, PortSet)> {
        let ends = |cluster: &Cluster| {
            // Two pods of one class: a pod always reaches itself.
            let source = self.endpoint(cluster, from, ipv4, 0)?;
            let target = self.endpoint(cluster, to, ipv4, usize::from(from == to))?;
            Some((source, target))
        };
        let (before, after) = (ends(&self.before)?, ends(&self.after)?);
        let (mut opened, mut closed) = (PortSet::default(), PortSet::default());
        let sender = self.class(from).map(|class| class.sends.as_slice()).unwrap_or_default();
        let (receiver, names) = self.class(to).map_or((&[][..], &[][..]), |it| (&it.receives, &it.named));
        for piece in pieces([sender, receiver, names]) {
            let allowed = |cluster: &Cluster, ends: &(Endpoint, Endpoint), transport: Transport| {
                let flow = Flow { from: ends.0.clone(), to: ends.1.clone(), transport };
                evaluate(cluster, &flow).allowed()
            };
            let transport = piece.transport();
            match (allowed(&self.before, &before, transport), allowed(&self.after, &after, transport)) {
                (false, true) => opened.add(piece),
                (true, false) => closed.add(piece),
                _ => {}
            }
        }
        Some((opened, closed))
    }

    fn class(&self, end: End) -> Option<&Class> {
        match end {
            End::Pods(index) => self.classes.get(index),
            End::Outside(_) => None,
        }
    }

    fn endpoint(&self, cluster: &Cluster, end: End, ipv4: bool, number: usize) -> Option<Endpoint> {
        let of_family = |address: &&IpAddr| address.is_ipv4() == ipv4;
        match end {
            End::Pods(index) => {
                let key = self.classes[index].pods.get(number)?;
                let address = cluster.pods.get(key)?.addresses.iter().find(of_family)?;
                Some(Endpoint::Pod { pod: key.clone(), address: *address })
            }
            End::Outside(index) => {
                let address = &self.outside[index].example;
                Some(address).filter(of_family).map(|address| Endpoint::Outside(*address))
            }
        }
    }
}
