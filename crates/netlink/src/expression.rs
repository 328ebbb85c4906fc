//! Rules as the kernel's expressions.
//!
//! The expressions and registers are those that nft makes, so that nft lists our rules as they were meant. A
//! match never shares what it depends on (`meta nfproto` before `ip saddr`) with the match before it: then every
//! sequence of expressions stands for one rule only, and can be read back.

use std::net::SocketAddr;

use podwall_ruleset::{CtState, Field, IpFamily, Match, Protocol, Rule, SetRef, Statement, Verdict};

use crate::consts::*;
use crate::value;

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    Meta { key: u32, to: u32 },
    Ct { key: u32, to: u32 },
    Payload { base: u32, offset: u32, length: u32, to: u32 },
    Compare { how: u32, with: Vec<u8> },
    Mask { mask: [u8; 4] },
    Lookup { set: LookupSet, verdict: bool },
    Data { to: u32, data: Vec<u8> },
    Verdict(Verdict),
    Nat { family: u32 },
    Masquerade,
}

/// The set of a lookup, as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LookupSet {
    pub(crate) name: String,
    /// The number of a set that has its name only after the transaction.
    pub(crate) id: Option<u32>,
}

/// The expressions of a rule. `set` names the sets that the rule looks up, in order.
pub(crate) fn of_rule(rule: &Rule, mut set: impl FnMut(&SetRef) -> LookupSet) -> Vec<Expression> {
    let mut out = Vec::new();
    for condition in &rule.matches {
        of_match(&mut out, condition, &mut set);
    }
    match &rule.statement {
        Statement::Verdict(verdict) => out.push(Expression::Verdict(verdict.clone())),
        Statement::VerdictMap(fields, map) => {
            of_fields(&mut out, fields);
            out.push(Expression::Lookup { set: set(map), verdict: true });
        }
        Statement::Dnat(to) => {
            let (family, address) = match to {
                SocketAddr::V4(to) => (FAMILY_IPV4, to.ip().octets().to_vec()),
                SocketAddr::V6(to) => (FAMILY_IPV6, to.ip().octets().to_vec()),
            };
            out.push(Expression::Data { to: REGISTER_1, data: address });
            out.push(Expression::Data { to: REGISTER_2, data: to.port().to_be_bytes().to_vec() });
            out.push(Expression::Nat { family: family.into() });
        }
        Statement::Masquerade => out.push(Expression::Masquerade),
    }
    out
}

fn of_match(out: &mut Vec<Expression>, condition: &Match, set: &mut impl FnMut(&SetRef) -> LookupSet) {
    match condition {
        Match::CtState(states) => {
            let bits = states.iter().fold(0, |bits, state| {
                bits | match state {
                    CtState::Established => CT_STATE_ESTABLISHED,
                    CtState::Related => CT_STATE_RELATED,
                }
            });
            of_bits(out, CT_STATE, bits);
        }
        Match::CtStatusDnat => of_bits(out, CT_STATUS, CT_STATUS_DNAT),
        Match::Family(family) => out.extend(of_dependency(Dependency::Family(*family))),
        Match::Protocol(protocol) => out.extend(of_dependency(Dependency::Protocol(protocol.number()))),
        Match::SourcePorts(protocol, first, last) => {
            out.extend(of_dependency(Dependency::Protocol(protocol.number())));
            out.push(Expression::Payload { base: PAYLOAD_TRANSPORT, offset: 0, length: 2, to: REGISTER_1 });
            out.push(Expression::Compare { how: COMPARE_AT_LEAST, with: first.to_be_bytes().to_vec() });
            out.push(Expression::Compare { how: COMPARE_AT_MOST, with: last.to_be_bytes().to_vec() });
        }
        Match::In(fields, reference) => {
            of_fields(out, fields);
            out.push(Expression::Lookup { set: set(reference), verdict: false });
        }
    }
}

fn of_bits(out: &mut Vec<Expression>, key: u32, bits: u32) {
    out.push(Expression::Ct { key, to: REGISTER_1 });
    out.push(Expression::Mask { mask: bits.to_ne_bytes() });
    out.push(Expression::Compare { how: COMPARE_NOT_EQUAL, with: vec![0; 4] });
}

/// What must hold before bytes of a packet are what a field takes them for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dependency {
    Family(IpFamily),
    Protocol(u8),
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
            Field::Icmpv6Type => &[Dependency::Family(IpFamily::Ipv6), Dependency::Protocol(PROTOCOL_ICMPV6)],
            _ => &[],
        };
        for dependency in needed {
            if !all.contains(dependency) {
                all.push(*dependency);
            }
        }
    }
    all
}

fn of_dependency(dependency: Dependency) -> [Expression; 2] {
    let (key, byte) = match dependency {
        Dependency::Family(IpFamily::Ipv4) => (META_FAMILY, FAMILY_IPV4),
        Dependency::Family(IpFamily::Ipv6) => (META_FAMILY, FAMILY_IPV6),
        Dependency::Protocol(number) => (META_PROTOCOL, number),
    };
    [Expression::Meta { key, to: REGISTER_1 }, Expression::Compare { how: COMPARE_EQUAL, with: vec![byte] }]
}

/// Loads the fields behind each other into the registers, from the first on.
fn of_fields(out: &mut Vec<Expression>, fields: &[Field]) {
    out.extend(dependencies(fields).into_iter().flat_map(of_dependency));
    let mut words = 0;
    for field in fields {
        // The kernel names registers so in dumps: as 16-byte ones where one begins, else as 4-byte ones.
        let to = if words % 4 == 0 { REGISTER_1 + words / 4 } else { REGISTER_32_0 + words };
        out.push(load(*field, to));
        words += value::length(value::field_type(*field)).div_ceil(4) as u32;
    }
}

fn load(field: Field, to: u32) -> Expression {
    let payload = |base, offset, length| Expression::Payload { base, offset, length, to };
    match field {
        Field::InputInterface => Expression::Meta { key: META_INPUT_INTERFACE_NAME, to },
        Field::OutputInterface => Expression::Meta { key: META_OUTPUT_INTERFACE_NAME, to },
        Field::Protocol => Expression::Meta { key: META_PROTOCOL, to },
        Field::SourceIpv4 => payload(PAYLOAD_NETWORK, 12, 4),
        Field::DestinationIpv4 => payload(PAYLOAD_NETWORK, 16, 4),
        Field::SourceIpv6 => payload(PAYLOAD_NETWORK, 8, 16),
        Field::DestinationIpv6 => payload(PAYLOAD_NETWORK, 24, 16),
        Field::DestinationPort | Field::DestinationPortOf(_) => payload(PAYLOAD_TRANSPORT, 2, 2),
        Field::Icmpv6Type => payload(PAYLOAD_TRANSPORT, 0, 1),
    }
}

/// The field that an expression loads: of the two that load a destination port, [`Field::DestinationPort`].
pub(crate) fn loaded(expression: &Expression) -> Option<Field> {
    const FIELDS: [Field; 9] = [
        Field::InputInterface,
        Field::OutputInterface,
        Field::SourceIpv4,
        Field::DestinationIpv4,
        Field::SourceIpv6,
        Field::DestinationIpv6,
        Field::Protocol,
        Field::DestinationPort,
        Field::Icmpv6Type,
    ];
    let (Expression::Meta { to, .. } | Expression::Payload { to, .. }) = expression else { return None };
    FIELDS.into_iter().find(|field| load(*field, *to) == *expression)
}
