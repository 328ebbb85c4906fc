//! Tables, chains, sets and their elements.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use crate::name::{Comment, InterfaceName, Name};
use crate::rule::{Protocol, Rule, Verdict};

/// All that is ours in the kernel. What is in these tables and not in here is wrong; what is in other tables
/// does not exist for us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// The tables by family and name.
    pub tables: BTreeMap<TableId, Table>,
}

/// What names a table: tables of different families may share a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// The family whose packets the table sees.
    pub family: Family,
    /// The name within the family.
    pub name: Name,
}

/// A table's family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4 and IPv6 in one table.
    Inet,
    /// Frames on a bridge, before they are packets.
    Bridge,
}

/// A table: chains, and the sets and maps that their rules look up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Sets, and the maps to verdicts, which the kernel treats as sets too.
    pub sets: BTreeMap<Name, Set>,
    /// Base chains and the chains they lead to.
    pub chains: BTreeMap<Name, Chain>,
}

impl Table {
    /// The chains in the order in which they are created and printed: by name, base chains last, by hook.
    pub fn chains_in_order(&self) -> impl Iterator<Item = (&Name, &Chain)> {
        let mut chains: Vec<_> = self.chains.iter().collect();
        chains.sort_by_key(|(_, chain)| chain.base.map(|base| (base.hook, base.priority)));
        chains.into_iter()
    }
}

/// A chain of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where packets enter, for a base chain; `None` for a chain that is only reached by verdicts.
    pub base: Option<BaseChain>,
    /// For people.
    pub comment: Option<Comment>,
    /// The rules in order. The end of a base chain accepts, the end of another chain returns.
    pub rules: Vec<Rule>,
}

/// Where a base chain is attached. Its policy is always accept: we drop by rules, and never by what we forgot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseChain {
    /// The chain's type.
    pub chain_type: ChainType,
    /// The hook.
    pub hook: Hook,
    /// The place among the base chains of the hook; lower comes first.
    pub priority: i32,
}

/// A base chain's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainType {
    /// Judges packets.
    Filter,
    /// Judges the first packet of a connection, and may translate addresses.
    Nat,
}

/// The points of the kernel's packet path that base chains attach to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Everything that arrives, before routing.
    Prerouting,
    /// What is for this host.
    Input,
    /// What is routed through this host.
    Forward,
    /// What this host sends.
    Output,
    /// Everything that leaves, after routing.
    Postrouting,
}

/// A set, or, when `map` is true, a map to verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The parts of a key: one, or several for a concatenation.
    pub key_type: SmallVec<[ValueType; 3]>,
    /// True when keys are ranges. The ranges are disjoint, and only one-part keys may be ranges (a concatenation
    /// of ranges would be kept by the kernel as pipapo, which deletes in time proportional to the position).
    pub interval: bool,
    /// True when every element has a verdict.
    pub map: bool,
    /// Set when rules put elements into it, which the kernel forgets again: they are its business, and not part of the
    /// ruleset. Then `elements` is empty.
    pub dynamic: Option<Dynamic>,
    /// For people.
    pub comment: Option<Comment>,
    /// The elements. Every key is [`Key::Range`] if `interval`, else [`Key::Exact`].
    pub elements: BTreeMap<Key, Element>,
}

impl Set {
    /// An empty set of `key_type`.
    pub fn new(key_type: &[ValueType]) -> Self {
        Self {
            key_type: SmallVec::from_slice(key_type),
            interval: false,
            map: false,
            dynamic: None,
            comment: None,
            elements: BTreeMap::new(),
        }
    }

    /// The same as a map to verdicts.
    pub fn to_verdicts(mut self) -> Self {
        self.map = true;
        self
    }

    /// The same with ranges as keys.
    pub fn of_ranges(mut self) -> Self {
        self.interval = true;
        self
    }

    /// The same for elements that rules put into it.
    pub fn of_recent(mut self, dynamic: Dynamic) -> Self {
        self.dynamic = Some(dynamic);
        self
    }

    /// The same with a comment.
    pub fn with_comment(mut self, comment: Comment) -> Self {
        self.comment = Some(comment);
        self
    }

    /// True when the two differ in no more than their elements.
    pub fn same_definition(&self, other: &Self) -> bool {
        self.key_type == other.key_type
            && self.interval == other.interval
            && self.map == other.map
            && self.dynamic == other.dynamic
            && self.comment == other.comment
    }
}

/// How many elements rules may put into a set, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dynamic {
    /// The most elements.
    pub size: u32,
    /// How long the kernel keeps one that no packet has asked for, in seconds; below a minute, as nft writes a minute
    /// differently.
    pub timeout_s: u32,
}

/// The type of one part of a set's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// `ifname`
    Interface,
    /// `ipv4_addr`
    Ipv4,
    /// `ipv6_addr`
    Ipv6,
    /// `inet_proto`
    Protocol,
    /// `inet_service`
    Port,
    /// `icmpv6_type`
    Icmpv6Type,
    /// `ether_addr`
    Hardware,
}

/// One part of a key, or what a field of a packet is compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// An interface's name.
    Interface(InterfaceName),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// A transport protocol.
    Protocol(Protocol),
    /// A port.
    Port(u16),
    /// A type of ICMPv6 message.
    Icmpv6Type(u8),
    /// The hardware address of an interface.
    Hardware(HardwareAddress),
}

impl Value {
    /// The type that a set must have to hold this value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::Interface(_) => ValueType::Interface,
            Value::Ipv4(_) => ValueType::Ipv4,
            Value::Ipv6(_) => ValueType::Ipv6,
            Value::Protocol(_) => ValueType::Protocol,
            Value::Port(_) => ValueType::Port,
            Value::Icmpv6Type(_) => ValueType::Icmpv6Type,
            Value::Hardware(_) => ValueType::Hardware,
        }
    }
}

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardwareAddress(pub [u8; 6]);

/// What an element is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// One value for each part of the set's key.
    Exact(SmallVec<[Value; 3]>),
    /// From the first to the last value, both included.
    Range(Value, Value),
}

impl Key {
    /// A key of one part.
    pub fn one(value: Value) -> Self {
        Key::Exact(SmallVec::from_iter([value]))
    }
}

/// What a set keeps with a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// The verdict, if the set is a map.
    pub verdict: Option<Verdict>,
    /// For people.
    pub comment: Option<Comment>,
}

impl Element {
    /// An element of a map.
    pub fn verdict(verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), comment: None }
    }
}
