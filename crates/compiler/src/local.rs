//! The pods of this node, and the elements that each of them moves.
//!
//! Elements are made unit by unit: an interface, a port of a bridge, an address. No two units make an element of one
//! key, so that a unit can be made anew without asking the others.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::ObjectKey;
use podwall_ruleset::{Chain, Element, InterfaceName, IpFamily, Key, Name, Set, TableId, ValueType};

use crate::chains::GroupChains;
use crate::program::Direction;
use crate::value::address_type;
use crate::{Attachment, Closed, NodeOptions, bridge_table_id, dispatch, name, source, table_id, unknown};

/// A pod of this node that takes part in policy.
#[derive(Debug, Clone)]
pub struct LocalPod {
    /// Its name.
    pub key: ObjectKey,
    /// How it is attached, if that is known.
    pub attachment: Option<Attachment>,
    /// True when it reports addresses, whoever owns them.
    pub has_addresses: bool,
    /// The addresses that it owns (S84).
    pub addresses: Vec<IpAddr>,
    /// What judges it.
    pub enforced: Judges,
    /// What judges it to see what policies in audit mode would deny.
    pub audited: Judges,
    /// True when what it sends must come from its own addresses.
    pub checked: bool,
}

/// What judges a pod's packets.
#[derive(Debug, Clone, Default)]
pub struct Judges {
    /// What it is sent; `None` when it is not isolated for ingress.
    pub ingress: Option<Arc<GroupChains>>,
    /// What it sends.
    pub egress: Option<Arc<GroupChains>>,
}

impl Judges {
    /// What judges in a direction.
    pub fn group(&self, direction: Direction) -> Option<&Arc<GroupChains>> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }

    /// The chain that judges in a direction.
    pub fn chain(&self, direction: Direction) -> Option<&Name> {
        self.group(direction).map(|group| &group.chain)
    }

    /// True when there is one.
    pub fn any(&self) -> bool {
        self.ingress.is_some() || self.egress.is_some()
    }
}

/// What makes the elements of a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// An interface of a pod's own.
    Interface(InterfaceName),
    /// A port of a bridge.
    Port(InterfaceName),
    /// An address.
    Address(IpAddr),
}

/// What one unit has in the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contribution {
    /// Elements.
    pub elements: BTreeMap<(LocalSet, Key), Element>,
    /// Chains of the table of frames.
    pub chains: BTreeMap<Name, Arc<Chain>>,
}

/// Which of our two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKind {
    /// The table of packets.
    Packets,
    /// The table of frames, which is there only while pods are on a bridge.
    Frames,
}

/// The sets and maps whose elements move with the pods of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalSet {
    /// From interfaces to groups.
    Dispatch(Direction),
    /// From addresses to groups.
    DispatchByAddress(Direction, IpFamily),
    /// From interfaces to groups of policies in audit mode.
    Audit(Direction),
    /// From addresses to groups of policies in audit mode.
    AuditByAddress(Direction, IpFamily),
    /// Interfaces that lead a pod back to itself.
    Hairpin,
    /// Addresses that lead a pod back to itself.
    HairpinByAddress(IpFamily),
    /// Interfaces of known pods.
    Known,
    /// Addresses of known pods.
    KnownAddresses(IpFamily),
    /// Interfaces whose sources are checked.
    Checked(TableKind),
    /// What an interface may send from.
    Sources(TableKind, IpFamily),
    /// Ports whose pod's hardware address is known.
    Bound,
    /// The hardware addresses that a port's frames may come from.
    Hardware,
    /// From ports to what they may advertise.
    Neighbours,
}

impl LocalPod {
    /// The interface that policy for it is keyed by, if it has one of its own.
    pub fn routed_interface(&self) -> Option<&InterfaceName> {
        match &self.attachment {
            Some(Attachment::Routed(interface)) => Some(interface),
            Some(Attachment::Bridged { .. }) | None => None,
        }
    }

    /// The units that it has a part in.
    pub fn units(&self) -> impl Iterator<Item = Unit> {
        let attachment = self.attachment.as_ref().map(|attachment| match attachment {
            Attachment::Routed(interface) => Unit::Interface(interface.clone()),
            Attachment::Bridged { port, .. } => Unit::Port(port.clone()),
        });
        attachment.into_iter().chain(self.addresses.iter().copied().map(Unit::Address))
    }
}

impl Contribution {
    /// What a unit has in the kernel. `pods` are those that have a part in it, sorted by name: of an interface or port
    /// one, unless somebody is wrong; of an address its owner.
    pub fn of(unit: &Unit, pods: &[&LocalPod], closed: &Closed, options: &NodeOptions) -> Self {
        let mut contribution = Self::default();
        match unit {
            Unit::Interface(interface) => {
                let closed = closed.interfaces.contains(interface);
                dispatch::add_interface(interface, pods, closed, &mut contribution);
                source::add_interface(interface, pods, &mut contribution);
                if !closed && !pods.is_empty() {
                    unknown::add_interface(interface, options, &mut contribution);
                }
            }
            Unit::Port(port) => source::add_port(port, pods, &mut contribution),
            Unit::Address(address) => {
                let owner = pods.first().copied();
                dispatch::add_address(*address, owner, closed.addresses.contains(address), &mut contribution);
                if owner.is_some() {
                    unknown::add_address(*address, options, &mut contribution);
                }
            }
        }
        contribution
    }

    /// Adds an element.
    pub fn add(&mut self, set: LocalSet, key: Key, element: Element) {
        self.elements.insert((set, key), element);
    }
}

impl TableKind {
    /// The table.
    pub fn id(self) -> TableId {
        match self {
            TableKind::Packets => table_id(),
            TableKind::Frames => bridge_table_id(),
        }
    }
}

impl LocalSet {
    /// The table that it is in.
    pub fn table(self) -> TableKind {
        match self {
            LocalSet::Checked(table) | LocalSet::Sources(table, _) => table,
            LocalSet::Bound | LocalSet::Hardware | LocalSet::Neighbours => TableKind::Frames,
            _ => TableKind::Packets,
        }
    }

    /// Its name.
    pub fn name(self) -> Name {
        match self {
            LocalSet::Dispatch(direction) => name::dispatch(direction),
            LocalSet::DispatchByAddress(direction, family) => name::dispatch_by_address(direction, family),
            LocalSet::Audit(direction) => name::audit(direction),
            LocalSet::AuditByAddress(direction, family) => name::audit_by_address(direction, family),
            LocalSet::Hairpin => name::hairpin(),
            LocalSet::HairpinByAddress(family) => name::hairpin_by_address(family),
            LocalSet::Known => name::known(),
            LocalSet::KnownAddresses(family) => name::known_addresses(family),
            LocalSet::Checked(_) => name::checked(),
            LocalSet::Sources(_, family) => name::sources(family),
            LocalSet::Bound => name::bound(),
            LocalSet::Hardware => name::hardware(),
            LocalSet::Neighbours => name::neighbours(),
        }
    }

    /// The set without elements.
    pub fn definition(self) -> Set {
        let interface = ValueType::Interface;
        match self {
            LocalSet::Dispatch(_) | LocalSet::Audit(_) | LocalSet::Neighbours => {
                Set::new(&[interface]).to_verdicts()
            }
            LocalSet::DispatchByAddress(_, family) | LocalSet::AuditByAddress(_, family) => {
                Set::new(&[address_type(family)]).to_verdicts()
            }
            LocalSet::Hairpin => Set::new(&[interface, interface]),
            LocalSet::HairpinByAddress(family) => Set::new(&[address_type(family), address_type(family)]),
            LocalSet::KnownAddresses(family) => Set::new(&[address_type(family)]),
            LocalSet::Known | LocalSet::Checked(_) | LocalSet::Bound => Set::new(&[interface]),
            LocalSet::Sources(_, family) => Set::new(&[interface, address_type(family)]),
            LocalSet::Hardware => Set::new(&[interface, ValueType::Hardware]),
        }
    }
}
