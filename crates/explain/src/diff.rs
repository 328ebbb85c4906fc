//! `diff`: what a change opens and what it closes, between groups of pods that policy cannot tell apart.
//!
//! ```text
//! two snapshots ─► classes of pods, pieces of the address space ─► pairs that may differ ─► evaluate before and after,
//!                                                                                            port piece by port piece
//! ```
//!
//! Compared are pods that are in both states, with each other and with what is outside the cluster. Nodes, and pods on
//! their networks, are outside too, but for a pod's own node, which always reaches it.

pub(crate) mod class;
pub(crate) mod ports;
mod report;
pub(crate) mod space;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use podwall_policy::{Cluster, Endpoint, Flow, ObjectKey, Transport, evaluate};

use crate::snapshot::Snapshot;
use class::{Class, classes, selecting};
use ports::{PortSet, pieces};
use space::{AddressRange, ranges};

/// What differs between two states.
#[derive(Debug)]
pub struct Difference {
    pub(crate) classes: Vec<Class>,
    pub(crate) outside: Vec<AddressRange>,
    pub(crate) changes: Vec<Change>,
    only_before: BTreeSet<ObjectKey>,
    only_after: BTreeSet<ObjectKey>,
}

/// One end of a change, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum End {
    Pods(usize),
    Outside(usize),
}

/// What one end may, or may no longer, send to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) opens: bool,
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) ports: PortSet,
    /// `None` when it is so for all families that the two ends share.
    pub(crate) ipv4: Option<bool>,
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
            before: classes.iter().map(|class| part(&before.cluster, class)).collect(),
            after: classes.iter().map(|class| part(&after.cluster, class)).collect(),
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

/// What `evaluate` looks at of one class: two of its pods, for which it says what holds for the others, the policies
/// that select them, and their namespace.
fn part(cluster: &Cluster, class: &Class) -> Cluster {
    let pods =
        class.pods.iter().take(2).filter_map(|key| Some((key.clone(), cluster.pods.get(key)?.clone())));
    let policies = class.pods.first().into_iter().flat_map(|key| selecting(cluster, key));
    let labels = (class.namespace.clone(), cluster.namespace_labels(&class.namespace));
    Cluster {
        namespaces: [labels].into(),
        pods: pods.collect(),
        policies: policies.map(|(key, policy)| (key.clone(), policy.clone())).collect(),
        audited_namespaces: cluster.audited_namespaces.clone(),
        ..Cluster::default()
    }
}

struct Comparison<'a> {
    /// By class.
    before: Vec<Cluster>,
    after: Vec<Cluster>,
    classes: &'a [Class],
    outside: &'a [AddressRange],
}

impl Comparison<'_> {
    /// Pair by pair: the policies and pods of others have no say in what two pods may do.
    fn changes(&self) -> Vec<Change> {
        let outside = (0..self.outside.len()).map(End::Outside);
        let ends: Vec<End> = outside.chain((0..self.classes.len()).map(End::Pods)).collect();
        let mut changes = Vec::new();
        for from in &ends {
            ends.iter().for_each(|to| self.compare(*from, *to, &mut changes));
        }
        changes
    }

    /// All that has a say between two ends.
    fn pair(parts: &[Cluster], ends: [End; 2]) -> Cluster {
        let mut pair = Cluster::default();
        let found = ends.into_iter().filter_map(|end| match end {
            End::Pods(index) => parts.get(index),
            End::Outside(_) => None,
        });
        for part in found {
            pair.namespaces.extend(part.namespaces.clone());
            pair.pods.extend(part.pods.clone());
            pair.policies.extend(part.policies.clone());
        }
        pair
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
        let states = [&self.before, &self.after].map(|parts| Self::pair(parts, [from, to]));
        let mut found = Vec::new();
        for ipv4 in [true, false] {
            if let Some(sets) = self.compare_family(&states, from, to, ipv4) {
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
    fn compare_family(
        &self,
        [state_before, state_after]: &[Cluster; 2],
        from: End,
        to: End,
        ipv4: bool,
    ) -> Option<(PortSet, PortSet)> {
        let ends = |cluster: &Cluster| {
            // Two pods of one class: a pod always reaches itself.
            let source = self.endpoint(cluster, from, ipv4, 0)?;
            let target = self.endpoint(cluster, to, ipv4, usize::from(from == to))?;
            Some((source, target))
        };
        let (before, after) = (ends(state_before)?, ends(state_after)?);
        let (mut opened, mut closed) = (PortSet::default(), PortSet::default());
        let sender = self.class(from).map(|class| class.sends.as_slice()).unwrap_or_default();
        let (receiver, names) = self.class(to).map_or((&[][..], &[][..]), |it| (&it.receives, &it.named));
        for piece in pieces([sender, receiver, names]) {
            let allowed = |cluster: &Cluster, ends: &(Endpoint, Endpoint), transport: Transport| {
                let flow = Flow { from: ends.0.clone(), to: ends.1.clone(), transport };
                cluster.policies.is_empty() || evaluate(cluster, &flow).allowed()
            };
            let transport = piece.transport();
            match (allowed(state_before, &before, transport), allowed(state_after, &after, transport)) {
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
