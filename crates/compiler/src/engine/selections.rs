//! The selections that chains of this node look up, each with the identities that it concerns, and what their sets
//! have gained and lost since the kernel was told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::ContainerPort;
use podwall_ruleset::Name;

use super::identities::IdentityId;
use super::label_index::{Bucket, buckets, buckets_of};
use super::slab::Slab;
use crate::peers::{PodPeer, Scope};
use crate::selection::{Identity, Member, Selection};

/// A selection's number.
pub type SelectionId = u32;

/// A selection that is looked up, or was when the kernel was told last.
#[derive(Debug)]
pub struct Live {
    /// What it selects.
    pub selection: Arc<Selection>,
    /// The names of its sets, in the order of [`FAMILIES`](crate::value::FAMILIES).
    pub names: [Name; 2],
    /// How many groups look it up. One that none does is kept until the kernel has been told: if it comes back in
    /// time, nothing has happened.
    pub references: u32,
    /// True when the kernel has its sets.
    pub written: bool,
    /// The identities that it concerns.
    pub identities: BTreeSet<IdentityId>,
    /// How many elements its sets hold together; not counted before the kernel has them.
    pub element_count: usize,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Selections {
    live: Slab<Live>,
    by_name: HashMap<Name, SelectionId>,
    index: HashMap<Bucket, Vec<(PodPeer, SelectionId)>>,
    /// Those that concern every identity.
    of_everyone: Vec<SelectionId>,
    /// Those that came, or lost their last reference.
    touched: BTreeSet<SelectionId>,
    log: Log,
}

/// What sets that the kernel has gained and lost, in the order in which it happened.
#[derive(Debug, Default)]
struct Log {
    changes: Vec<(SelectionId, Member, i32)>,
    /// When this many are in it, those that cancel out are removed.
    limit: usize,
}

const LOG_LIMIT_MIN: usize = 4096;

impl Selections {
    /// The number of a live selection, by the name of one of its sets.
    pub fn find(&self, name: &Name) -> Option<SelectionId> {
        self.by_name.get(name).copied()
    }

    /// A live selection.
    pub fn get(&self, id: SelectionId) -> &Live {
        self.live.get(id)
    }

    /// All live selections.
    pub fn iter(&self) -> impl Iterator<Item = (SelectionId, &Live)> {
        self.live.iter()
    }

    /// Holds a selection. The number of one that is new: its identities are not known yet.
    pub fn hold(&mut self, names: &[Name; 2], selection: &Arc<Selection>) -> Option<SelectionId> {
        if let Some(id) = self.find(&names[0]) {
            self.live.get_mut(id).references += 1;
            return None;
        }
        let id = self.live.insert(Live {
            selection: selection.clone(),
            names: names.clone(),
            references: 1,
            written: false,
            identities: BTreeSet::new(),
            element_count: 0,
        });
        self.by_name.extend(names.iter().map(|name| (name.clone(), id)));
        for peer in selection.pod_peers() {
            for bucket in buckets_of_peer(peer) {
                self.index.entry(bucket).or_default().push((peer.clone(), id));
            }
        }
        if selection.reaches_everyone() {
            self.of_everyone.push(id);
        }
        self.touched.insert(id);
        Some(id)
    }

    /// Holds a selection no longer. Its number, if it is to be removed at once.
    pub fn release(&mut self, names: &[Name; 2]) -> Option<SelectionId> {
        let id = self.find(&names[0]).expect("it is held");
        let live = self.live.get_mut(id);
        live.references -= 1;
        if live.references > 0 {
            return None;
        }
        self.touched.insert(id);
        (!live.written).then_some(id)
    }

    /// Removes a selection that nobody holds. The identities that it concerned.
    pub fn remove(&mut self, id: SelectionId) -> BTreeSet<IdentityId> {
        let live = self.live.remove(id);
        for name in &live.names {
            self.by_name.remove(name);
        }
        for bucket in live.selection.pod_peers().into_iter().flat_map(buckets_of_peer) {
            if let Some(peers) = self.index.get_mut(&bucket) {
                peers.retain(|(_, it)| *it != id);
                if peers.is_empty() {
                    self.index.remove(&bucket);
                }
            }
        }
        self.of_everyone.retain(|it| *it != id);
        self.touched.remove(&id);
        live.identities
    }

    /// Says that a selection concerns an identity, or no longer.
    pub fn set_concerned(&mut self, id: SelectionId, identity: IdentityId, concerned: bool) {
        let identities = &mut self.live.get_mut(id).identities;
        if concerned {
            identities.insert(identity);
        } else {
            identities.remove(&identity);
        }
    }

    /// The live selections that concern an identity, sorted.
    pub fn concerning(&self, identity: Identity<'_>) -> Vec<SelectionId> {
        let mut found = self.of_everyone.clone();
        for namespace in [None, Some(identity.namespace)] {
            for bucket in buckets_of(namespace, identity.labels) {
                let peers = self.index.get(&bucket).into_iter().flatten();
                found.extend(peers.filter(|(peer, _)| peer.selects(identity)).map(|(_, id)| *id));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// True when what a selection holds of a pod is more than whether it concerns its identity.
    pub fn is_of_ports(&self, id: SelectionId) -> bool {
        matches!(*self.live.get(id).selection, Selection::NamedPorts(_))
    }

    /// The sets of a selection gain (or lose) an address of a pod of an identity that it concerns.
    pub fn tell(
        &mut self,
        id: SelectionId,
        identity: Identity<'_>,
        ports: &[ContainerPort],
        address: IpAddr,
        sign: i32,
    ) {
        let live = self.live.get_mut(id);
        // The kernel gets a set that it does not have yet with all that is in it by then.
        if live.written {
            let count = &mut live.element_count;
            live.selection.members(identity, ports, address, |member| {
                *count = count.wrapping_add_signed(sign as isize);
                self.log.changes.push((id, member, sign));
            });
            self.log.compact_if_long();
        }
    }

    /// Says how many elements the sets of a selection hold.
    pub fn set_element_count(&mut self, id: SelectionId, count: usize) {
        self.live.get_mut(id).element_count = count;
    }

    /// Those that came, and those that nobody holds any more, since the kernel was told.
    pub fn touched(&self) -> impl Iterator<Item = (SelectionId, &Live)> {
        self.touched.iter().map(|id| (*id, self.live.get(*id)))
    }

    /// What the sets that the kernel has, and keeps, have gained (true) and lost, sorted.
    pub fn changes(&self) -> BTreeMap<SelectionId, Vec<(Member, bool)>> {
        let mut changes: BTreeMap<SelectionId, Vec<(Member, bool)>> = BTreeMap::new();
        for (id, member, sign) in sum(self.log.changes.clone()) {
            if self.live.get(id).references > 0 {
                changes.entry(id).or_default().push((member, sign > 0));
            }
        }
        changes
    }

    /// The kernel has been told. Those to be removed, because nobody holds them.
    pub fn written(&mut self) -> Vec<SelectionId> {
        self.log = Log::default();
        let touched = std::mem::take(&mut self.touched);
        for id in &touched {
            self.live.get_mut(*id).written = true;
        }
        touched.into_iter().filter(|id| self.live.get(*id).references == 0).collect()
    }
}

impl Log {
    fn compact_if_long(&mut self) {
        if self.changes.len() >= self.limit.max(LOG_LIMIT_MIN) {
            self.changes = sum(std::mem::take(&mut self.changes));
            self.limit = self.changes.len() * 2;
        }
    }
}

/// Sorts, and removes what came and went, or went and came.
fn sum(mut changes: Vec<(SelectionId, Member, i32)>) -> Vec<(SelectionId, Member, i32)> {
    changes.sort_unstable_by_key(|(id, member, _)| (*id, *member));
    changes.dedup_by(|(id, member, sign), (kept_id, kept_member, kept_sign)| {
        let same = (*id, *member) == (*kept_id, *kept_member);
        if same {
            *kept_sign += *sign;
        }
        same
    });
    changes.retain(|(_, _, sign)| *sign != 0);
    changes
}

fn buckets_of_peer(peer: &PodPeer) -> Vec<Bucket> {
    let namespace = match &peer.scope {
        Scope::Namespace(namespace) => Some(namespace),
        Scope::Selected(_) => None,
    };
    buckets(namespace, &peer.pods)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u32) -> Member {
        Member { address: IpAddr::from(std::net::Ipv4Addr::from(number)), port: None }
    }

    #[test]
    fn what_came_and_went_did_not_happen() {
        let changes = vec![
            (1, member(1), 1),
            (0, member(2), -1),
            (1, member(1), -1),
            (0, member(2), 1),
            (0, member(1), -1),
            (1, member(1), 1),
        ];
        assert_eq!(sum(changes), [(0, member(1), -1), (1, member(1), 1)]);
    }

    #[test]
    fn a_log_that_nobody_takes_stays_as_long_as_what_has_changed() {
        let mut log = Log::default();
        for round in 0..100_000 {
            let number = round / 2 % 5000;
            log.changes.push((0, member(number), if round % 2 == 0 { 1 } else { -1 }));
            log.compact_if_long();
            assert!(log.changes.len() <= LOG_LIMIT_MIN);
        }
        for number in 0..3 * LOG_LIMIT_MIN {
            log.changes.push((0, member(number as u32), 1));
            log.compact_if_long();
        }
        assert_eq!(sum(log.changes).len(), 3 * LOG_LIMIT_MIN);
    }
}
