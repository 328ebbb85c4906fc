//! Rules as the kernel's expressions.
//!
//! The expressions and registers are those that nft makes, so that nft lists our rules as they were meant. A
//! match that we write never shares what it depends on (`meta nfproto` before `ip saddr`) with the match before it:
//! then every sequence of expressions stands for one rule only, and can be read back. Matches that nft makes of our
//! text do share, and are read all the same.

use std::net::SocketAddr;

use podwall_ruleset::{
    CtState, Family, Field, IpFamily, Limit, Log, Match, Protocol, Rule, SetRef, Statement, Verdict,
};

use crate::consts::*;
use crate::value;

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    Meta {
        key: u32,
        to: u32,
    },
    Ct {
        key: u32,
        to: u32,
    },
    Payload {
        base: u32,
        offset: u32,
        length: u32,
        to: u32,
    },
    Compare {
        how: u32,
        with: Vec<u8>,
    },
    Mask {
        mask: [u8; 4],
    },
    Lookup {
        set: LookupSet,
        how: Lookup,
    },
    Data {
        to: u32,
        data: Vec<u8>,
    },
    Verdict(Verdict),
    Nat {
        family: u32,
    },
    Masquerade,
    Counter,
    Limit(Limit),
    /// What the first register holds is put into a set, and passes as often as the limit says.
    Update {
        set: LookupSet,
        limit: Limit,
    },
    Log(Log),
}

/// What is done with what a lookup finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// The rule goes on if there is an element.
    In,
    /// The rule goes on if there is none.
    NotIn,
    /// The element's verdict.
    Verdict,
}

/// The set of a lookup, as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LookupSet {
    pub(crate) name: String,
    /// The number of a set that has its name only after the transaction.
    pub(crate) id: Option<u32>,
}

/// The expressions of a rule in a table of `family`. `set` names the sets that the rule looks up, in order. `Err`
/// says why the family has no such rule.
pub(crate) fn of_rule(
    rule: &Rule,
    family: Family,
    set: impl FnMut(&SetRef) -> LookupSet,
) -> Result<Vec<Expression>, &'static str> {
    written(rule, Writer { family, set, shared: None, out: Vec::new() })
}

/// The same as nft makes them of the rule's text.
pub(crate) fn of_text(
    rule: &Rule,
    family: Family,
    set: impl FnMut(&SetRef) -> LookupSet,
) -> Result<Vec<Expression>, &'static str> {
    written(rule, Writer { family, set, shared: Some(Vec::new()), out: Vec::new() })
}

fn written(
    rule: &Rule,
    mut writer: Writer<impl FnMut(&SetRef) -> LookupSet>,
) -> Result<Vec<Expression>, &'static str> {
    for condition in &rule.matches {
        writer.condition(condition)?;
    }
    if rule.counter {
        writer.out.push(Expression::Counter);
    }
    writer.statement(&rule.statement)?;
    Ok(writer.out)
}

struct Writer<F> {
    family: Family,
    set: F,
    /// What was checked for an earlier match, where matches share it.
    shared: Option<Vec<Dependency>>,
    out: Vec<Expression>,
}

impl<F: FnMut(&SetRef) -> LookupSet> Writer<F> {
    fn condition(&mut self, condition: &Match) -> Result<(), &'static str> {
        match condition {
            Match::CtState(states) => {
                let bits = states.iter().fold(0, |bits, state| {
                    bits | match state {
                        CtState::Established => CT_STATE_ESTABLISHED,
                        CtState::Related => CT_STATE_RELATED,
                    }
                });
                self.bits(CT_STATE, bits);
            }
            Match::CtStatusDnat => self.bits(CT_STATUS, CT_STATUS_DNAT),
            Match::CtMark { mask, value } => {
                if matches!(*mask, 0 | u32::MAX) || value & !mask != 0 {
                    return Err(
                        "a test of no bits or of all bits of the ct mark, or for bits outside its mask",
                    );
                }
                self.out.push(Expression::Ct { key: CT_MARK, to: REGISTER_1 });
                self.out.push(Expression::Mask { mask: mask.to_ne_bytes() });
                self.compare(COMPARE_EQUAL, &value.to_ne_bytes());
            }
            // The family of everything on a bridge is the bridge's.
            Match::Family(_) if self.family == Family::Bridge => {
                return Err("`meta nfproto` in a table of the bridge family");
            }
            Match::Family(family) => self.dependency(Dependency::Family(*family)),
            Match::Protocol(protocol) => self.dependency(Dependency::Protocol(protocol.number())),
            Match::SourcePorts(protocol, first, last) => {
                self.dependency(Dependency::Protocol(protocol.number()));
                self.out.push(payload(PAYLOAD_TRANSPORT, 0, 2, REGISTER_1));
                self.compare(COMPARE_AT_LEAST, &first.to_be_bytes());
                self.compare(COMPARE_AT_MOST, &last.to_be_bytes());
            }
            Match::In(fields, reference) => self.lookup(fields, reference, Lookup::In)?,
            Match::NotIn(field, name) => {
                self.lookup(&[*field], &SetRef::Named(name.clone()), Lookup::NotIn)?;
            }
            Match::InterfacePrefix(field, prefix) => {
                if !matches!(field, Field::InputInterface | Field::OutputInterface) {
                    return Err("a prefix of something else than an interface's name");
                }
                self.out.push(load(*field, REGISTER_1));
                self.compare(COMPARE_EQUAL, prefix.as_str().as_bytes());
            }
            Match::Limit(limit) => self.out.push(Expression::Limit(*limit)),
            Match::LimitEach(field, name, limit) => {
                self.load(&[*field])?;
                let set = (self.set)(&SetRef::Named(name.clone()));
                self.out.push(Expression::Update { set, limit: *limit });
            }
            Match::NeighbourTarget(address) => {
                self.out.push(NEIGHBOUR_TARGET);
                self.compare(COMPARE_EQUAL, &address.octets());
            }
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Statement) -> Result<(), &'static str> {
        match statement {
            Statement::Verdict(verdict) => self.out.push(Expression::Verdict(verdict.clone())),
            Statement::VerdictMap(fields, map) => self.lookup(fields, map, Lookup::Verdict)?,
            Statement::Dnat(to) => {
                let (family, address) = match to {
                    SocketAddr::V4(to) => (FAMILY_IPV4, to.ip().octets().to_vec()),
                    SocketAddr::V6(to) => (FAMILY_IPV6, to.ip().octets().to_vec()),
                };
                self.out.push(Expression::Data { to: REGISTER_1, data: address });
                self.out.push(Expression::Data { to: REGISTER_2, data: to.port().to_be_bytes().to_vec() });
                self.out.push(Expression::Nat { family: family.into() });
            }
            Statement::Masquerade => self.out.push(Expression::Masquerade),
            Statement::Log(log) => self.out.push(Expression::Log(log.clone())),
        }
        Ok(())
    }

    /// Loads the fields, and looks them up.
    fn lookup(&mut self, fields: &[Field], reference: &SetRef, how: Lookup) -> Result<(), &'static str> {
        self.load(fields)?;
        let set = (self.set)(reference);
        self.out.push(Expression::Lookup { set, how });
        Ok(())
    }

    /// Loads the fields behind each other into the registers, from the first on.
    fn load(&mut self, fields: &[Field]) -> Result<(), &'static str> {
        let of_frames = [Field::ArpSource, Field::SourceHardware];
        if self.family != Family::Bridge && of_frames.iter().any(|field| fields.contains(field)) {
            return Err("`arp saddr` or `ether saddr` in a table of another family than bridge");
        }
        dependencies(fields).into_iter().for_each(|dependency| self.dependency(dependency));
        let mut words = 0;
        for field in fields {
            // The kernel names registers so in dumps: as 16-byte ones where one begins, else as 4-byte ones.
            let to = if words % 4 == 0 { REGISTER_1 + words / 4 } else { REGISTER_32_0 + words };
            self.out.push(load(*field, to));
            words += value::length(value::field_type(*field)).div_ceil(4) as u32;
        }
        Ok(())
    }

    fn dependency(&mut self, dependency: Dependency) {
        if let Some(shared) = &mut self.shared {
            if shared.contains(&dependency) {
                return;
            }
            shared.push(dependency);
        }
        let (load, with) = dependency.expressions(self.family);
        self.out.push(load);
        self.compare(COMPARE_EQUAL, &with);
    }

    fn bits(&mut self, key: u32, bits: u32) {
        self.out.push(Expression::Ct { key, to: REGISTER_1 });
        self.out.push(Expression::Mask { mask: bits.to_ne_bytes() });
        self.compare(COMPARE_NOT_EQUAL, &[0; 4]);
    }

    fn compare(&mut self, how: u32, with: &[u8]) {
        self.out.push(Expression::Compare { how, with: with.to_vec() });
    }
}

/// What must hold before bytes of a packet are what a field takes them for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dependency {
    /// The packet is of this family; on a bridge, the frame carries such a packet.
    Family(IpFamily),
    /// The frame's header has this ethertype.
    Ethertype(u16),
    Protocol(u8),
}

impl Dependency {
    /// What is loaded into the first register, and what it is compared with, in a table of this family.
    fn expressions(self, family: Family) -> (Expression, Vec<u8>) {
        let meta = |key| Expression::Meta { key, to: REGISTER_1 };
        match (self, family) {
            (Dependency::Family(IpFamily::Ipv4), Family::Inet) => (meta(META_FAMILY), vec![FAMILY_IPV4]),
            (Dependency::Family(IpFamily::Ipv6), Family::Inet) => (meta(META_FAMILY), vec![FAMILY_IPV6]),
            (Dependency::Family(IpFamily::Ipv4), Family::Bridge) => {
                (meta(META_ETHERTYPE), ETHERTYPE_IPV4.to_be_bytes().to_vec())
            }
            (Dependency::Family(IpFamily::Ipv6), Family::Bridge) => {
                (meta(META_ETHERTYPE), ETHERTYPE_IPV6.to_be_bytes().to_vec())
            }
            (Dependency::Ethertype(number), _) => {
                (payload(PAYLOAD_LINK, 12, 2, REGISTER_1), number.to_be_bytes().to_vec())
            }
            (Dependency::Protocol(number), _) => (meta(META_PROTOCOL), vec![number]),
        }
    }

    /// The dependency that a comparison of what was loaded checks, if it is one.
    pub(crate) fn checked(load: &Expression, with: &[u8], family: Family) -> Option<Self> {
        let number = match *with {
            [number] => Dependency::Protocol(number),
            [high, low] => Dependency::Ethertype(u16::from_be_bytes([high, low])),
            _ => return None,
        };
        let families = [IpFamily::Ipv4, IpFamily::Ipv6].map(Dependency::Family);
        families.into_iter().chain([number]).find(|dependency| {
            let (expected, value) = dependency.expressions(family);
            expected == *load && value == with
        })
    }
}

/// The dependencies of fields in nft's order, each once.
pub(crate) fn dependencies(fields: &[Field]) -> Vec<Dependency> {
    let mut all = Vec::new();
    for field in fields {
        let needed: &[Dependency] = match field {
            Field::SourceIpv4 | Field::DestinationIpv4 => &[Dependency::Family(IpFamily::Ipv4)],
            Field::SourceIpv6 | Field::DestinationIpv6 => &[Dependency::Family(IpFamily::Ipv6)],
            Field::DestinationPortOf(Protocol::Tcp) => &[Dependency::Protocol(6)],
            Field::DestinationPortOf(Protocol::Udp) => &[Dependency::Protocol(17)],
            Field::DestinationPortOf(Protocol::Sctp) => &[Dependency::Protocol(132)],
            // Not by the frame's header, where nft looks on a bridge: a frame with a VLAN tag has the tag there, and
            // VLAN 0 is no VLAN to who receives it.
            Field::Icmpv6Type => &[Dependency::Family(IpFamily::Ipv6), Dependency::Protocol(PROTOCOL_ICMPV6)],
            Field::ArpSource => &[Dependency::Ethertype(ETHERTYPE_ARP)],
            Field::InputInterface
            | Field::OutputInterface
            | Field::Protocol
            | Field::DestinationPort
            | Field::SourceHardware => &[],
        };
        for dependency in needed {
            if !all.contains(dependency) {
                all.push(*dependency);
            }
        }
    }
    all
}

/// What [`Match::NeighbourTarget`] loads: the address behind type, code, checksum and flags.
pub(crate) const NEIGHBOUR_TARGET: Expression = payload(PAYLOAD_TRANSPORT, 8, 16, REGISTER_1);

const fn payload(base: u32, offset: u32, length: u32, to: u32) -> Expression {
    Expression::Payload { base, offset, length, to }
}

fn load(field: Field, to: u32) -> Expression {
    match field {
        Field::InputInterface => Expression::Meta { key: META_INPUT_INTERFACE_NAME, to },
        Field::OutputInterface => Expression::Meta { key: META_OUTPUT_INTERFACE_NAME, to },
        Field::Protocol => Expression::Meta { key: META_PROTOCOL, to },
        Field::SourceIpv4 => payload(PAYLOAD_NETWORK, 12, 4, to),
        Field::DestinationIpv4 => payload(PAYLOAD_NETWORK, 16, 4, to),
        Field::SourceIpv6 => payload(PAYLOAD_NETWORK, 8, 16, to),
        Field::DestinationIpv6 => payload(PAYLOAD_NETWORK, 24, 16, to),
        Field::DestinationPort | Field::DestinationPortOf(_) => payload(PAYLOAD_TRANSPORT, 2, 2, to),
        Field::Icmpv6Type => payload(PAYLOAD_TRANSPORT, 0, 1, to),
        Field::ArpSource => payload(PAYLOAD_NETWORK, 14, 4, to),
        Field::SourceHardware => payload(PAYLOAD_LINK, 6, 6, to),
    }
}

/// The field that an expression loads: of the two that load a destination port, [`Field::DestinationPort`].
pub(crate) fn loaded(expression: &Expression) -> Option<Field> {
    const FIELDS: [Field; 11] = [
        Field::InputInterface,
        Field::OutputInterface,
        Field::SourceIpv4,
        Field::DestinationIpv4,
        Field::SourceIpv6,
        Field::DestinationIpv6,
        Field::Protocol,
        Field::DestinationPort,
        Field::Icmpv6Type,
        Field::ArpSource,
        Field::SourceHardware,
    ];
    let (Expression::Meta { to, .. } | Expression::Payload { to, .. }) = expression else { return None };
    FIELDS.into_iter().find(|field| load(*field, *to) == *expression)
}
