//! `diff`: what a change opens and what it closes, between groups of pods that policy cannot tell apart.
//!
//! ```text
//! two snapshots ─► classes of pods, pieces of the address space ─► pairs that may differ ─► each side, before and after:
//!                                                                     evaluate of one pair of each view, port piece by piece
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
mod view;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use podwall_policy::{Cluster, Endpoint, Flow, ObjectKey, evaluate};

use crate::field::Direction;
use crate::snapshot::Snapshot;
use class::{Class, classes, selecting};
use ports::{PortSet, pieces};
use space::{AddressRange, ranges};
use view::Views;

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
        let changes = Comparison::new([before, after], &classes, &outside).changes();
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
    /// What has a say for each class, before and after.
    parts: [Vec<Cluster>; 2],
    classes: &'a [Class],
    outside: &'a [AddressRange],
    views: Views,
    /// What one side allows, by how it sees the other.
    sides: HashMap<Side, Rc<PortSet>>,
}

/// One side of a connection, and all that its policies see of the other: what `evaluate` says of it is the same for all
/// who look like this.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Side {
    /// 0 before, 1 after.
    state: usize,
    direction: Direction,
    class: usize,
    ipv4: bool,
    view: Vec<bool>,
    /// The other end, where its ports have names that policies use: what a name means is the destination's.
    named: Option<usize>,
}

impl<'a> Comparison<'a> {
    fn new(states: [&Snapshot; 2], classes: &'a [Class], outside: &'a [AddressRange]) -> Self {
        let clusters = states.map(|state| &state.cluster);
        let parts = clusters.map(|cluster| classes.iter().map(|class| part(cluster, class)).collect());
        let mut comparison = Self { parts, classes, outside, views: Views::default(), sides: HashMap::new() };
        for class in classes {
            comparison.views.add_class(clusters, &class.pods[0]);
        }
        for (state, cluster) in clusters.into_iter().enumerate() {
            for ipv4 in [true, false] {
                for end in comparison.ends() {
                    let at = comparison.endpoint(&comparison.parts[state], end, ipv4, 0);
                    let pod = match end {
                        End::Pods(index) => Some(&classes[index].pods[0]),
                        End::Outside(_) => None,
                    };
                    comparison.views.add_end(cluster, pod, at.as_ref().map(Endpoint::address));
                }
            }
        }
        comparison
    }

    /// All ends, in the order of their numbers.
    fn ends(&self) -> Vec<End> {
        let outside = (0..self.outside.len()).map(End::Outside);
        outside.chain((0..self.classes.len()).map(End::Pods)).collect()
    }

    fn changes(&mut self) -> Vec<Change> {
        let ends = self.ends();
        let mut changes = Vec::new();
        for from in &ends {
            ends.iter().for_each(|to| self.compare(*from, *to, &mut changes));
        }
        changes
    }

    /// All that has a say between two ends: the policies and pods of others have none.
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

    fn compare(&mut self, from: End, to: End, changes: &mut Vec<Change>) {
        if !self.may_differ(from) && !self.may_differ(to) {
            return;
        }
        let mut found = Vec::new();
        for ipv4 in [true, false] {
            if let Some([before, after]) = self.allowed_of_family(from, to, ipv4) {
                found.push((ipv4, after.without(&before), before.without(&after)));
            }
        }
        let alike = found.iter().all(|(_, opened, closed)| (opened, closed) == (&found[0].1, &found[0].2));
        if alike {
            found.truncate(1);
        }
        for (ipv4, opened, closed) in found {
            for (opens, ports) in [(true, opened), (false, closed)] {
                if !ports.is_empty() {
                    changes.push(Change { opens, from, to, ports, ipv4: (!alike).then_some(ipv4) });
                }
            }
        }
    }

    /// What may be spoken before and after; `None` when they have no addresses of this family in both.
    fn allowed_of_family(&mut self, from: End, to: End, ipv4: bool) -> Option<[PortSet; 2]> {
        for state in 0..2 {
            // Two pods of one class: a pod always reaches itself.
            self.endpoint(&self.parts[state], from, ipv4, 0)?;
            self.endpoint(&self.parts[state], to, ipv4, usize::from(from == to))?;
        }
        Some([0, 1].map(|state| {
            let sent = self.side(state, Direction::Egress, [from, to], ipv4);
            let received = self.side(state, Direction::Ingress, [from, to], ipv4);
            match (sent, received) {
                (Some(sent), Some(received)) => sent.intersection(&received),
                (Some(one), None) | (None, Some(one)) => (*one).clone(),
                (None, None) => PortSet::everything(),
            }
        }))
    }

    /// What one side allows; `None` for everything, when no policy has a say.
    fn side(
        &mut self,
        state: usize,
        direction: Direction,
        [from, to]: [End; 2],
        ipv4: bool,
    ) -> Option<Rc<PortSet>> {
        let (own, other) = match direction {
            Direction::Egress => (from, to),
            Direction::Ingress => (to, from),
        };
        let End::Pods(class) = own else { return None };
        if self.parts[state][class].policies.is_empty() {
            return None;
        }
        let named = match to {
            End::Pods(index) if !self.classes[index].named.is_empty() => Some(index),
            _ => None,
        };
        let view = self.views.view(class, direction, self.number(state, ipv4, other));
        let side = Side { state, direction, class, ipv4, view, named };
        if let Some(found) = self.sides.get(&side) {
            return Some(found.clone());
        }
        let allowed = Rc::new(self.evaluate_side(&side, from, to));
        self.sides.insert(side, allowed.clone());
        Some(allowed)
    }

    fn evaluate_side(&self, side: &Side, from: End, to: End) -> PortSet {
        let mut allowed = PortSet::default();
        let parts = &self.parts[side.state];
        let ends = (
            self.endpoint(parts, from, side.ipv4, 0),
            self.endpoint(parts, to, side.ipv4, usize::from(from == to)),
        );
        let (Some(source), Some(target)) = ends else { return allowed };
        let cluster = Self::pair(parts, [from, to]);
        let own = &self.classes[side.class];
        let ranges = match side.direction {
            Direction::Egress => &own.sends,
            Direction::Ingress => &own.receives,
        };
        let names = side.named.map(|index| self.classes[index].named.as_slice()).unwrap_or_default();
        for piece in pieces([ranges, names, &[]]) {
            let flow = Flow { from: source.clone(), to: target.clone(), transport: piece.transport() };
            let decision = evaluate(&cluster, &flow);
            let verdict = match side.direction {
                Direction::Egress => decision.egress,
                Direction::Ingress => decision.ingress,
            };
            if verdict.allows() {
                allowed.add(piece);
            }
        }
        allowed
    }

    /// The number of an end in a state and family.
    fn number(&self, state: usize, ipv4: bool, end: End) -> usize {
        let own = match end {
            End::Outside(index) => index,
            End::Pods(index) => self.outside.len() + index,
        };
        (2 * state + usize::from(!ipv4)) * (self.outside.len() + self.classes.len()) + own
    }

    fn endpoint(&self, parts: &[Cluster], end: End, ipv4: bool, number: usize) -> Option<Endpoint> {
        let of_family = |address: &&IpAddr| address.is_ipv4() == ipv4;
        match end {
            End::Pods(index) => {
                let key = self.classes[index].pods.get(number)?;
                let address = parts[index].pods.get(key)?.addresses.iter().find(of_family)?;
                Some(Endpoint::Pod { pod: key.clone(), address: *address })
            }
            End::Outside(index) => {
                let address = &self.outside[index].example;
                Some(address).filter(of_family).map(|address| Endpoint::Outside(*address))
            }
        }
    }
}
