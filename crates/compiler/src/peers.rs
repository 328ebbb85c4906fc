//! Peers of rules in canonical form, so that the same peer has one name wherever it is written.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::{
    IpBlock, LabelSelector, Labels, NAMESPACE_NAME_LABEL, Namespaces, Operator, Peer, Peers,
};

use crate::intervals::AddressRanges;
use crate::selection::Identity;

/// A union of peers.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerUnion {
    /// Everyone; the other fields are empty then.
    pub any: bool,
    /// Pods by selector. If all pods are selected, nothing else is in here.
    pub pods: BTreeSet<PodPeer>,
    /// Addresses by block.
    pub blocks: BTreeSet<IpBlock>,
}

/// Pods by selector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodPeer {
    /// In which namespaces.
    pub scope: Scope,
    /// Which pods in them.
    pub pods: LabelSelector,
}

/// Namespaces by name or selector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// This one, declared or not.
    Namespace(Arc<str>),
    /// Those whose labels match.
    Selected(LabelSelector),
}

impl PeerUnion {
    /// The peers of one rule of a policy in `namespace`. Unreadable entries match nothing.
    pub fn of(peers: &Peers, namespace: &Arc<str>) -> Self {
        let Peers::Only(peers) = peers else { return Self { any: true, ..Self::default() } };
        let mut union = Self::default();
        for peer in peers {
            match peer {
                Peer::Pods { namespaces, pods } => {
                    union
                        .pods
                        .insert(PodPeer { scope: Scope::of(namespaces, namespace), pods: pods.clone() });
                }
                Peer::Block(block) => {
                    union.blocks.insert(block.clone());
                }
                Peer::Unreadable => {}
            }
        }
        union.absorb();
        union
    }

    /// True when nobody is in it.
    pub fn is_empty(&self) -> bool {
        !self.any && self.pods.is_empty() && self.blocks.is_empty()
    }

    /// How much there is to keep of it: one for each peer, and for each block that one excepts.
    pub fn weight(&self) -> usize {
        1 + self.pods.len() + self.blocks.iter().map(|block| 1 + block.except.len()).sum::<usize>()
    }

    /// Adds what is in `other`.
    pub fn add(&mut self, other: &Self) {
        self.any |= other.any;
        self.pods.extend(other.pods.iter().cloned());
        self.blocks.extend(other.blocks.iter().cloned());
        self.absorb();
    }

    /// The addresses of the blocks.
    pub fn block_ranges(&self) -> AddressRanges {
        AddressRanges::of(self.blocks.iter())
    }

    /// True when some block holds the address (S130).
    pub fn holds_address(&self, address: &IpAddr) -> bool {
        let holds = |block: &IpBlock| {
            block.cidr.contains(address) && !block.except.iter().any(|net| net.contains(address))
        };
        self.blocks.iter().any(holds)
    }

    /// Anyone absorbs everything, all pods absorb selectors. Nothing else is subsumed: what one selector selects
    /// changes with labels, and a layout must not.
    fn absorb(&mut self) {
        if self.any {
            self.pods.clear();
            self.blocks.clear();
        }
        let all = PodPeer::all();
        if self.pods.contains(&all) {
            self.pods = BTreeSet::from([all]);
        }
    }
}

impl PodPeer {
    /// All pods of all namespaces.
    pub fn all() -> Self {
        Self { scope: Scope::Selected(LabelSelector::default()), pods: LabelSelector::default() }
    }

    /// True when it selects pods of this identity.
    pub fn selects(&self, identity: Identity<'_>) -> bool {
        self.scope.holds(identity.namespace, identity.namespace_labels) && self.pods.matches(identity.labels)
    }
}

impl Scope {
    /// A selector that asks for the name that every namespace carries as a label (S48), and for nothing else, is
    /// the same as naming the namespace.
    fn of(namespaces: &Namespaces, own: &Arc<str>) -> Self {
        let selector = match namespaces {
            Namespaces::Own => return Scope::Namespace(own.clone()),
            Namespaces::Selected(selector) => selector,
        };
        let mut requirements = selector.requirements();
        if let (Some(requirement), None) = (requirements.next(), requirements.next())
            && &*requirement.key == NAMESPACE_NAME_LABEL
            && let Operator::In(values) = &requirement.operator
            && let [name] = values.iter().collect::<Vec<_>>()[..]
        {
            return Scope::Namespace(name.clone());
        }
        Scope::Selected(selector.clone())
    }

    /// True when the namespace of this name and these labels is one of these.
    pub fn holds(&self, namespace: &Arc<str>, labels: &Labels) -> bool {
        match self {
            Scope::Namespace(name) => name == namespace,
            Scope::Selected(selector) => selector.matches(labels),
        }
    }
}
