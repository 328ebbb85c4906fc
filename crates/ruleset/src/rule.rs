//! Rules: matches, then one statement.

use std::net::{Ipv6Addr, SocketAddr};

use smallvec::SmallVec;

use crate::name::{Comment, InterfaceName, Name};
use crate::object::Set;

/// A rule. Its statement is executed when all its matches hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// In order; all must hold.
    pub matches: Vec<Match>,
    /// `counter`: packets that match are counted. Where the count stands is not part of the rule.
    pub counter: bool,
    /// What happens then.
    pub statement: Statement,
    /// For people.
    pub comment: Option<Comment>,
}

impl Rule {
    /// A rule without a comment.
    pub fn new(matches: impl IntoIterator<Item = Match>, statement: Statement) -> Self {
        Self { matches: matches.into_iter().collect(), counter: false, statement, comment: None }
    }

    /// The same with a counter.
    pub fn counted(mut self) -> Self {
        self.counter = true;
        self
    }

    /// A rule that ends in a verdict.
    pub fn verdict(matches: impl IntoIterator<Item = Match>, verdict: Verdict) -> Self {
        Self::new(matches, Statement::Verdict(verdict))
    }
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// `ct state established,related`: the connection is in one of these states. Never empty.
    CtState(SmallVec<[CtState; 2]>),
    /// `ct status dnat`: the connection's destination was translated.
    CtStatusDnat,
    /// `ct mark & 0x10000000 == 0x10000000`: the mark of the packet's connection, as far as the mask goes, is the
    /// value. A packet of no connection does not match. The mask has some bits and not all, the value no others.
    CtMark {
        /// The bits that are looked at.
        mask: u32,
        /// What they are to be.
        value: u32,
    },
    /// `meta nfproto ipv4`
    Family(IpFamily),
    /// `meta l4proto tcp`
    Protocol(Protocol),
    /// `tcp sport 1024-9999`: a source port in a range, both ends included.
    SourcePorts(Protocol, u16, u16),
    /// `iifname . oifname @hairpin`: the fields, concatenated, are a key of the set.
    In(SmallVec<[Field; 3]>, SetRef),
    /// `iifname != @known`: the field is there and is not a key of the named set.
    NotIn(Field, Name),
    /// `iifname "veth*"`: the interface's name begins like this. The field is one of the two interfaces.
    InterfacePrefix(Field, InterfaceName),
    /// `limit rate 10/second burst 20 packets`: not more often than this, for all that come here.
    Limit(Limit),
    /// `update @recent { ip saddr limit rate 10/second burst 20 packets }`: not more often than this for each value of
    /// the field. The kernel keeps the values in the set, which is a dynamic one; when it is full, no new one matches.
    LimitEach(Field, Name, Limit),
    /// `@th,64,128 0xfd00...`: where a neighbour solicitation or advertisement keeps the address it speaks of. Says
    /// nothing of the packet's protocol: it stands behind [`Field::Icmpv6Type`]. (nft 1.0.6 has no name for it;
    /// later versions list it as `icmpv6 taddr`.)
    NeighbourTarget(Ipv6Addr),
}

impl Match {
    /// One field is a key of a named set.
    pub fn in_set(field: Field, set: &Name) -> Self {
        Match::In(SmallVec::from_iter([field]), SetRef::Named(set.clone()))
    }
}

/// How often something may happen: tokens come at a rate, and as many as the burst are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit {
    /// Packets in a second.
    pub rate_per_s: u32,
    /// As many at once. Not 5, which is the kernel's default and which some nft versions do not print.
    pub burst: u32,
}

/// A set that a rule looks up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetRef {
    /// `@name`
    Named(Name),
    /// `{ ... }`: a constant that lives and dies with its rule. Never empty; no comment.
    Anonymous(Box<Set>),
}

/// What a rule looks at in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `iifname`
    InputInterface,
    /// `oifname`
    OutputInterface,
    /// `ip saddr`; no other family's packet matches.
    SourceIpv4,
    /// `ip daddr`
    DestinationIpv4,
    /// `ip6 saddr`
    SourceIpv6,
    /// `ip6 daddr`
    DestinationIpv6,
    /// `meta l4proto`
    Protocol,
    /// `th dport`: where TCP, UDP and SCTP keep the destination port. Of another protocol it reads whatever is
    /// there, so it is only ever used behind [`Field::Protocol`] in one concatenation.
    DestinationPort,
    /// `tcp dport`: the destination port, if this is the protocol.
    DestinationPortOf(Protocol),
    /// `icmpv6 type`; only ICMPv6 packets match.
    Icmpv6Type,
    /// `arp saddr ip`: who an ARP packet says its sender is. Only in tables of the bridge family.
    ArpSource,
    /// `ether saddr`: the hardware address that a frame says it comes from. Only in tables of the bridge family.
    SourceHardware,
}

/// A rule's last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// A verdict.
    Verdict(Verdict),
    /// `iifname vmap @map`: the verdict that the map keeps for the fields; none, and the next rule is tried.
    VerdictMap(SmallVec<[Field; 3]>, SetRef),
    /// `dnat ip to 10.0.0.1:8080`. Only in chains of type nat; matches only packets of the address's family if
    /// the rule says so.
    Dnat(SocketAddr),
    /// `masquerade`. Only in chains of type nat.
    Masquerade,
    /// `log prefix "podwall" group 9`: a copy of the packet for who listens to the group (NFLOG), and then the next
    /// rule.
    Log(Log),
}

/// Where a copy of a packet goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Log {
    /// NFLOG's group.
    pub group: u16,
    /// What the packet is logged with. At most 127 bytes, which a comment cannot exceed.
    pub prefix: Comment,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Done with this base chain; other tables may still drop.
    Accept,
    /// The packet is gone.
    Drop,
    /// Back to the rule after the last jump; in a base chain the same as accept.
    Return,
    /// To another chain, and back.
    Jump(Name),
    /// To another chain; its end, or a return in it, comes back where the last jump would.
    Goto(Name),
}

/// A connection's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CtState {
    /// Packets have been seen in both directions.
    Established,
    /// A new connection, or an ICMP error, that belongs to one that is known.
    Related,
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamily {
    /// IPv4
    Ipv4,
    /// IPv6
    Ipv6,
}

/// The transport protocols that have ports and that policies name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    /// The protocol of a number in the IP header, if it is one of these.
    pub fn from_number(number: u8) -> Option<Self> {
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .into_iter()
            .find(|protocol| protocol.number() == number)
    }

    /// The number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}
