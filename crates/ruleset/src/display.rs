//! nft syntax, as `nft list ruleset` writes it.
//!
//! Sets come first, then chains, base chains last: the order in which [`crate::diff`] creates them, and nft lists
//! in order of creation. What nft prints differently from how one would write it (ranges that are prefixes,
//! names for some ICMPv6 types, priorities by name) is printed here as nft does, so that the two can be compared
//! as text.

use std::fmt::{self, Display, Formatter};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::object::{
    BaseChain, Chain, ChainType, Dynamic, Element, Family, Hook, Key, Ruleset, Set, Table, TableId,
};
use crate::object::{HardwareAddress, Value, ValueType};
use crate::rule::{CtState, Field, IpFamily, Limit, Log, Match, Protocol, Rule, SetRef, Statement, Verdict};

/// Elements are wrapped when a line of them would be longer than this.
const LINE_CHARACTERS_MAX: usize = 100;

impl Display for Ruleset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (id, table) in &self.tables {
            writeln!(f, "table {id} {{")?;
            write!(f, "{table}")?;
            writeln!(f, "}}")?;
        }
        Ok(())
    }
}

impl Display for TableId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::Inet => write!(f, "inet {}", self.name),
            Family::Bridge => write!(f, "bridge {}", self.name),
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut blank_line = "";
        for (name, set) in &self.sets {
            f.write_str(blank_line)?;
            writeln!(f, "\t{} {name} {{\n{set}\t}}", if set.map { "map" } else { "set" })?;
            blank_line = "\n";
        }
        for (name, chain) in self.chains_in_order() {
            f.write_str(blank_line)?;
            writeln!(f, "\tchain {name} {{\n{chain}\t}}")?;
            blank_line = "\n";
        }
        Ok(())
    }
}

impl Display for Set {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let types: Vec<String> = self.key_type.iter().map(ToString::to_string).collect();
        write!(f, "\t\ttype {}", types.join(" . "))?;
        writeln!(f, "{}", if self.map { " : verdict" } else { "" })?;
        if let Some(Dynamic { size, timeout_s }) = self.dynamic {
            writeln!(f, "\t\tsize {size}\n\t\tflags dynamic,timeout\n\t\ttimeout {timeout_s}s")?;
        }
        if self.interval {
            writeln!(f, "\t\tflags interval")?;
        }
        if let Some(comment) = &self.comment {
            writeln!(f, "\t\tcomment \"{comment}\"")?;
        }
        if self.elements.is_empty() {
            return Ok(());
        }
        f.write_str("\t\telements = { ")?;
        let mut line_characters = 0;
        for (index, (key, element)) in self.elements.iter().enumerate() {
            let text = element_text(key, element);
            if index > 0 {
                line_characters += text.len() + 2;
                let wrap = line_characters > LINE_CHARACTERS_MAX;
                f.write_str(if wrap { ",\n\t\t\t     " } else { ", " })?;
                line_characters = if wrap { text.len() } else { line_characters };
            } else {
                line_characters = text.len();
            }
            f.write_str(&text)?;
        }
        f.write_str(" }\n")
    }
}

fn element_text(key: &Key, element: &Element) -> String {
    let mut text = key.to_string();
    if let Some(comment) = &element.comment {
        text.push_str(&format!(" comment \"{comment}\""));
    }
    if let Some(verdict) = &element.verdict {
        text.push_str(&format!(" : {verdict}"));
    }
    text
}

impl Display for Chain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(comment) = &self.comment {
            writeln!(f, "\t\tcomment \"{comment}\"")?;
        }
        if let Some(base) = &self.base {
            writeln!(f, "\t\t{base}")?;
        }
        self.rules.iter().try_for_each(|rule| writeln!(f, "\t\t{rule}"))
    }
}

impl Display for BaseChain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let chain_type = match self.chain_type {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
        };
        let hook = match self.hook {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
        };
        write!(f, "type {chain_type} hook {hook} priority ")?;
        priority(f, self.hook, self.priority)?;
        f.write_str("; policy accept;")
    }
}

/// nft prints a priority within 10 of a well-known one by its name.
fn priority(f: &mut Formatter<'_>, hook: Hook, priority: i32) -> fmt::Result {
    let named =
        [("raw", -300), ("mangle", -150), ("dstnat", -100), ("filter", 0), ("security", 50), ("srcnat", 100)];
    let known = |name: &str| match name {
        "dstnat" => hook == Hook::Prerouting,
        "srcnat" => hook == Hook::Postrouting,
        _ => true,
    };
    let near = named.iter().find(|(name, at)| known(name) && (at - priority).abs() <= 10);
    match near.map(|(name, at)| (name, priority - at)) {
        Some((name, 0)) => write!(f, "{name}"),
        Some((name, offset)) if offset > 0 => write!(f, "{name} + {offset}"),
        Some((name, offset)) => write!(f, "{name} - {}", -offset),
        None => write!(f, "{priority}"),
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for condition in &self.matches {
            write!(f, "{condition} ")?;
        }
        if self.counter {
            f.write_str("counter packets 0 bytes 0 ")?;
        }
        write!(f, "{}", self.statement)?;
        match &self.comment {
            Some(comment) => write!(f, " comment \"{comment}\""),
            None => Ok(()),
        }
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Match::CtState(states) => {
                let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
                write!(f, "ct state {}", names.join(","))
            }
            Match::CtStatusDnat => f.write_str("ct status dnat"),
            Match::CtMark { mask, value } => write!(f, "ct mark & {mask:#010x} == {value:#010x}"),
            Match::Family(IpFamily::Ipv4) => f.write_str("meta nfproto ipv4"),
            Match::Family(IpFamily::Ipv6) => f.write_str("meta nfproto ipv6"),
            Match::Protocol(protocol) => write!(f, "meta l4proto {protocol}"),
            Match::SourcePorts(protocol, first, last) if first == last => {
                write!(f, "{protocol} sport {first}")
            }
            Match::SourcePorts(protocol, first, last) => write!(f, "{protocol} sport {first}-{last}"),
            Match::In(fields, set) => write!(f, "{} {set}", concatenation(fields)),
            Match::NotIn(field, set) => write!(f, "{field} != @{set}"),
            Match::InterfacePrefix(field, prefix) => write!(f, "{field} \"{prefix}*\""),
            Match::Limit(limit) => write!(f, "{limit}"),
            Match::LimitEach(field, set, limit) => write!(f, "update @{set} {{ {field} {limit} }}"),
            Match::NeighbourTarget(address) => write!(f, "@th,64,128 {:#x}", u128::from(*address)),
        }
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Verdict(verdict) => write!(f, "{verdict}"),
            Statement::VerdictMap(fields, map) => write!(f, "{} vmap {map}", concatenation(fields)),
            Statement::Dnat(to) if to.is_ipv4() => write!(f, "dnat ip to {to}"),
            Statement::Dnat(to) => write!(f, "dnat ip6 to {to}"),
            Statement::Masquerade => f.write_str("masquerade"),
            Statement::Log(Log { group, prefix }) => write!(f, "log prefix \"{prefix}\" group {group}"),
        }
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "limit rate {}/second burst {} packets", self.rate_per_s, self.burst)
    }
}

fn concatenation(fields: &[Field]) -> String {
    fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(" . ")
}

impl Display for SetRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SetRef::Named(name) => write!(f, "@{name}"),
            SetRef::Anonymous(set) => {
                let elements: Vec<String> =
                    set.elements.iter().map(|(key, element)| element_text(key, element)).collect();
                write!(f, "{{ {} }}", elements.join(", "))
            }
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::InputInterface => "iifname",
            Field::OutputInterface => "oifname",
            Field::SourceIpv4 => "ip saddr",
            Field::DestinationIpv4 => "ip daddr",
            Field::SourceIpv6 => "ip6 saddr",
            Field::DestinationIpv6 => "ip6 daddr",
            Field::Protocol => "meta l4proto",
            Field::DestinationPort => "th dport",
            Field::DestinationPortOf(Protocol::Tcp) => "tcp dport",
            Field::DestinationPortOf(Protocol::Udp) => "udp dport",
            Field::DestinationPortOf(Protocol::Sctp) => "sctp dport",
            Field::Icmpv6Type => "icmpv6 type",
            Field::ArpSource => "arp saddr ip",
            Field::SourceHardware => "ether saddr",
        })
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept => f.write_str("accept"),
            Verdict::Drop => f.write_str("drop"),
            Verdict::Return => f.write_str("return"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl CtState {
    fn name(self) -> &'static str {
        match self {
            CtState::Established => "established",
            CtState::Related => "related",
        }
    }
}

impl Display for Protocol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

impl Display for ValueType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueType::Interface => "ifname",
            ValueType::Ipv4 => "ipv4_addr",
            ValueType::Ipv6 => "ipv6_addr",
            ValueType::Protocol => "inet_proto",
            ValueType::Port => "inet_service",
            ValueType::Icmpv6Type => "icmpv6_type",
            ValueType::Hardware => "ether_addr",
        })
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Key::Exact(values) => {
                let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(" . "))
            }
            Key::Range(first, last) if first == last => write!(f, "{first}"),
            Key::Range(Value::Ipv4(first), Value::Ipv4(last)) => {
                match prefix_length(u32::from(*first).into(), u32::from(*last).into(), Ipv4Addr::BITS) {
                    Some(length) => write!(f, "{first}/{length}"),
                    None => write!(f, "{first}-{last}"),
                }
            }
            Key::Range(Value::Ipv6(first), Value::Ipv6(last)) => {
                match prefix_length(u128::from(*first), u128::from(*last), Ipv6Addr::BITS) {
                    Some(length) => write!(f, "{first}/{length}"),
                    None => write!(f, "{first}-{last}"),
                }
            }
            Key::Range(Value::Icmpv6Type(first), Value::Icmpv6Type(last)) => write!(f, "{first}-{last}"),
            Key::Range(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// The length of the prefix that covers exactly `first` to `last` of addresses of `bits` bits, if one does.
fn prefix_length(first: u128, last: u128, bits: u32) -> Option<u32> {
    let host_mask = first ^ last;
    let is_low_ones = host_mask & host_mask.wrapping_add(1) == 0;
    (is_low_ones && first & host_mask == 0).then(|| bits - host_mask.count_ones())
}

/// nft's name of a type of ICMPv6 message. The ends of ranges it prints as numbers.
fn icmpv6_type(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "destination-unreachable",
        2 => "packet-too-big",
        3 => "time-exceeded",
        4 => "parameter-problem",
        128 => "echo-request",
        129 => "echo-reply",
        130 => "mld-listener-query",
        131 => "mld-listener-report",
        132 => "mld-listener-done",
        133 => "nd-router-solicit",
        134 => "nd-router-advert",
        135 => "nd-neighbor-solicit",
        136 => "nd-neighbor-advert",
        137 => "nd-redirect",
        138 => "router-renumbering",
        141 => "ind-neighbor-solicit",
        142 => "ind-neighbor-advert",
        143 => "mld2-listener-report",
        _ => return None,
    })
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Interface(name) => write!(f, "\"{name}\""),
            Value::Ipv4(address) => write!(f, "{address}"),
            Value::Ipv6(address) => write!(f, "{address}"),
            Value::Protocol(protocol) => write!(f, "{protocol}"),
            Value::Port(port) => write!(f, "{port}"),
            Value::Hardware(HardwareAddress([a, b, c, d, e, g])) => {
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            Value::Icmpv6Type(number) => match icmpv6_type(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "{number}"),
            },
        }
    }
}
