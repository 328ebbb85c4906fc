//! Follows a packet through a ruleset, as the kernel would. The property tests hold a compiled ruleset against the
//! reading of the specification by it, without a kernel; and the agent finds the connections that a change of policy
//! now forbids. No packet is ever passed or dropped by it.

use std::net::IpAddr;
use std::slice::Iter;

use smallvec::SmallVec;

use crate::name::{InterfaceName, Name};
use crate::object::{ChainType, Family, HardwareAddress, Hook, Key, Ruleset, Set, Table, Value};
use crate::rule::{CtState, Field, IpFamily, Match, Protocol, Rule, SetRef, Statement, Verdict};

/// A packet at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Where it is seen.
    pub hook: Hook,
    /// The interface it came in by; `None` when this host made it.
    pub input_interface: Option<InterfaceName>,
    /// The interface it leaves by; `None` when it is for this host.
    pub output_interface: Option<InterfaceName>,
    /// The source address.
    pub source: IpAddr,
    /// The destination address, of the same family.
    pub destination: IpAddr,
    /// The number of the transport protocol.
    pub protocol: u8,
    /// The source port, if the protocol has ports.
    pub source_port: Option<u16>,
    /// The destination port, if the protocol has ports.
    pub destination_port: Option<u16>,
    /// The type, if the protocol is ICMPv6.
    pub icmpv6_type: Option<u8>,
    /// What conntrack says of the connection; `None` for a new one.
    pub state: Option<CtState>,
    /// The mark of the packet's connection.
    pub mark: u32,
    /// The destination of the packet's connection was translated.
    pub translated: bool,
}

/// How deep the kernel lets jumps nest (`NFT_JUMP_STACK_SIZE`).
const JUMPS_MAX: usize = 16;

/// True when no base chain of type filter at the packet's hook drops it; tables of the bridge family are not asked.
///
/// # Panics
/// When the ruleset is one that the kernel would refuse: a verdict or a lookup names what is not there, jumps
/// nest too deep, or chains lead in a circle.
pub fn judge(ruleset: &Ruleset, packet: &Packet) -> bool {
    let inet = ruleset.tables.iter().filter(|(id, _)| id.family == Family::Inet);
    inet.map(|(_, table)| table).all(|table| {
        table
            .chains_in_order()
            .filter(|(_, chain)| {
                chain
                    .base
                    .is_some_and(|base| base.chain_type == ChainType::Filter && base.hook == packet.hook)
            })
            .all(|(_, chain)| follow(table, &chain.rules, packet))
    })
}

/// Where the chains and sets of a table are looked up: a [`Table`], or what can answer for one without making it.
pub trait Lookup {
    /// The rules of a chain; `None` when it is not there.
    fn rules(&self, chain: &Name) -> Option<&[Rule]>;

    /// The element of a named set that these values select: `None` when there is none, `Some(None)` when it has no
    /// verdict.
    ///
    /// # Panics
    /// When there is no such set.
    fn element(&self, set: &Name, values: &[Value]) -> Option<Option<&Verdict>>;
}

impl Lookup for Table {
    fn rules(&self, chain: &Name) -> Option<&[Rule]> {
        self.chains.get(chain).map(|chain| &chain.rules[..])
    }

    fn element(&self, set: &Name, values: &[Value]) -> Option<Option<&Verdict>> {
        self.sets.get(set).unwrap_or_else(|| panic!("no set {set}")).element(values)
    }
}

/// True when a base chain of type filter with these rules does not drop the packet.
///
/// # Panics
/// As [`judge`].
pub fn follow(table: &impl Lookup, rules: &[Rule], packet: &Packet) -> bool {
    Walk { table, packet }.base_chain(rules)
}

struct Walk<'a, T> {
    table: &'a T,
    packet: &'a Packet,
}

impl<'a, T: Lookup> Walk<'a, T> {
    /// True when the chain does not drop the packet.
    fn base_chain(&self, rules: &'a [Rule]) -> bool {
        let mut here = rules.iter();
        let mut back = Vec::new();
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 1_000_000, "the chains lead in a circle");
            let verdict = match here.next() {
                Some(rule) => match self.apply(rule) {
                    Some(verdict) => verdict,
                    None => continue,
                },
                None => Verdict::Return,
            };
            match verdict {
                Verdict::Accept => return true,
                Verdict::Drop => return false,
                Verdict::Return => match back.pop() {
                    Some(rest) => here = rest,
                    None => return true,
                },
                Verdict::Jump(chain) => {
                    back.push(std::mem::replace(&mut here, self.rules_of(&chain)));
                    assert!(back.len() <= JUMPS_MAX, "jumps nest too deep");
                }
                Verdict::Goto(chain) => here = self.rules_of(&chain),
            }
        }
    }

    fn rules_of(&self, chain: &Name) -> Iter<'a, Rule> {
        self.table.rules(chain).unwrap_or_else(|| panic!("no chain {chain}")).iter()
    }

    /// The verdict of a rule whose matches hold.
    fn apply(&self, rule: &'a Rule) -> Option<Verdict> {
        if !rule.matches.iter().all(|condition| self.holds(condition)) {
            return None;
        }
        match &rule.statement {
            Statement::Verdict(verdict) => Some(verdict.clone()),
            Statement::VerdictMap(fields, map) => {
                let element = self.look_up(fields, map)?;
                Some(element.expect("every element of a map has a verdict").clone())
            }
            Statement::Log(_) => None,
            Statement::Dnat(_) | Statement::Masquerade => panic!("only chains of type nat translate"),
        }
    }

    fn holds(&self, condition: &'a Match) -> bool {
        match condition {
            Match::CtState(states) => self.packet.state.is_some_and(|state| states.contains(&state)),
            Match::CtMark { mask, value } => self.packet.mark & mask == *value,
            Match::CtStatusDnat => self.packet.translated,
            Match::Family(IpFamily::Ipv4) => self.packet.source.is_ipv4(),
            Match::Family(IpFamily::Ipv6) => self.packet.source.is_ipv6(),
            Match::Protocol(protocol) => self.packet.protocol == protocol.number(),
            Match::SourcePorts(protocol, first, last) => {
                self.packet.protocol == protocol.number()
                    && self.packet.source_port.is_some_and(|port| (*first..=*last).contains(&port))
            }
            Match::In(fields, set) => self.look_up(fields, set).is_some(),
            Match::NotIn(field, set) => {
                let Some(value) = self.field(*field) else { return false };
                self.table.element(set, &[value]).is_none()
            }
            Match::InterfacePrefix(field, prefix) => match self.field(*field) {
                Some(Value::Interface(name)) => name.as_str().starts_with(prefix.as_str()),
                _ => false,
            },
            // Nothing but a log depends on how often it happens.
            Match::Limit(_) | Match::LimitEach(..) => true,
            Match::NeighbourTarget(_) => panic!("frames are not judged"),
        }
    }

    /// The element that the fields select: outer `None` when there is none, inner `None` when it has no verdict.
    fn look_up(&self, fields: &[Field], set: &'a SetRef) -> Option<Option<&'a Verdict>> {
        let values: Option<SmallVec<[Value; 3]>> = fields.iter().map(|field| self.field(*field)).collect();
        match set {
            SetRef::Named(name) => self.table.element(name, &values?),
            SetRef::Anonymous(set) => set.element(&values?),
        }
    }

    /// What the packet has in this field; `None` when it has no such field, and then the rule does not match.
    fn field(&self, field: Field) -> Option<Value> {
        let packet = self.packet;
        let ipv4 = |address| match address {
            IpAddr::V4(address) => Some(Value::Ipv4(address)),
            IpAddr::V6(_) => None,
        };
        let ipv6 = |address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(Value::Ipv6(address)),
        };
        match field {
            Field::InputInterface => packet.input_interface.clone().map(Value::Interface),
            Field::OutputInterface => packet.output_interface.clone().map(Value::Interface),
            Field::SourceIpv4 => ipv4(packet.source),
            Field::DestinationIpv4 => ipv4(packet.destination),
            Field::SourceIpv6 => ipv6(packet.source),
            Field::DestinationIpv6 => ipv6(packet.destination),
            Field::Protocol => Protocol::from_number(packet.protocol).map(Value::Protocol),
            Field::DestinationPort => packet.destination_port.map(Value::Port),
            Field::DestinationPortOf(protocol) if packet.protocol == protocol.number() => {
                packet.destination_port.map(Value::Port)
            }
            Field::DestinationPortOf(_) => None,
            Field::Icmpv6Type => packet.icmpv6_type.map(Value::Icmpv6Type),
            Field::ArpSource | Field::SourceHardware => None,
        }
    }
}

impl Set {
    /// The element that these values select: `None` when there is none, `Some(None)` when it has no verdict.
    pub fn element(&self, values: &[Value]) -> Option<Option<&Verdict>> {
        if !self.interval {
            let key = Key::Exact(values.iter().cloned().collect());
            return self.elements.get(&key).map(|element| element.verdict.as_ref());
        }
        let [value] = values else { panic!("a concatenation of ranges") };
        // Ranges are disjoint and sorted: only the last that starts at or before the value can hold it.
        let up_to = Key::Range(value.clone(), Value::Hardware(HardwareAddress([u8::MAX; 6])));
        let (key, element) = self.elements.range(..=up_to).next_back()?;
        matches!(key, Key::Range(_, last) if value <= last).then_some(element.verdict.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{BaseChain, Chain, Element, TableId, ValueType};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn packet(destination_port: u16) -> Packet {
        Packet {
            hook: Hook::Forward,
            input_interface: None,
            output_interface: None,
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            protocol: 6,
            source_port: Some(40_000),
            destination_port: Some(destination_port),
            icmpv6_type: None,
            state: None,
            mark: 0,
            translated: false,
        }
    }

    /// A base chain with the first rules, and other chains with theirs.
    fn passes(packet: &Packet, base: Vec<Rule>, chains: &[(&str, Vec<Rule>)]) -> bool {
        let hook = BaseChain { chain_type: ChainType::Filter, hook: Hook::Forward, priority: 0 };
        let mut table = Table::default();
        table.chains.insert(name("forward"), Chain { base: Some(hook), comment: None, rules: base });
        for (chain, rules) in chains {
            table.chains.insert(name(chain), Chain { rules: rules.clone(), ..Chain::default() });
        }
        let id = TableId { family: Family::Inet, name: name("t") };
        judge(&Ruleset { tables: [(id, table)].into() }, packet)
    }

    fn rule(verdict: Verdict) -> Rule {
        Rule::verdict([], verdict)
    }

    #[test]
    fn a_return_after_a_goto_goes_back_to_the_last_jump() {
        let jump = vec![rule(Verdict::Jump(name("group"))), rule(Verdict::Drop)];
        let group = vec![rule(Verdict::Goto(name("peer"))), rule(Verdict::Accept)];
        assert!(!passes(
            &packet(80),
            jump.clone(),
            &[("group", group.clone()), ("peer", vec![rule(Verdict::Return)])]
        ));
        assert!(
            !passes(&packet(80), jump.clone(), &[("group", group.clone()), ("peer", vec![])]),
            "so does its end"
        );
        assert!(passes(&packet(80), jump, &[("group", group), ("peer", vec![rule(Verdict::Accept)])]));
    }

    #[test]
    fn a_goto_from_a_base_chain_never_comes_back() {
        let base = vec![rule(Verdict::Goto(name("group"))), rule(Verdict::Drop)];
        assert!(passes(&packet(80), base, &[("group", vec![])]));
    }

    #[test]
    fn a_range_holds_both_of_its_ends() {
        let mut ports = Set::new(&[ValueType::Port]).of_ranges();
        for (first, last) in [(10, 20), (21, 21), (65_535, 65_535)] {
            ports.elements.insert(Key::Range(Value::Port(first), Value::Port(last)), Element::default());
        }
        let fields = [Field::DestinationPortOf(Protocol::Tcp)].into_iter().collect();
        let dropped = Rule::verdict([Match::In(fields, SetRef::Anonymous(Box::new(ports)))], Verdict::Drop);
        for (port, expected) in
            [(9, true), (10, false), (20, false), (21, false), (22, true), (65_535, false)]
        {
            assert_eq!(passes(&packet(port), vec![dropped.clone()], &[]), expected, "port {port}");
        }
    }

    #[test]
    fn an_interface_is_known_by_how_its_name_begins() {
        let interface = |text: &str| Some(InterfaceName::new(text).unwrap());
        let begins = |field| Match::InterfacePrefix(field, InterfaceName::new("veth").unwrap());
        let dropped = |field| vec![Rule::verdict([begins(field)], Verdict::Drop)];
        let between = |from: Option<&str>, to: Option<&str>| Packet {
            input_interface: from.and_then(interface),
            output_interface: to.and_then(interface),
            ..packet(80)
        };
        let (from, to) = (Field::InputInterface, Field::OutputInterface);
        assert!(!passes(&between(Some("veth1"), Some("eth0")), dropped(from), &[]));
        assert!(!passes(&between(None, Some("veth")), dropped(to), &[]));
        assert!(passes(&between(Some("eth0"), Some("veth1")), dropped(from), &[]));
        assert!(passes(&between(Some("vet"), None), dropped(from), &[]), "all of the prefix");
        assert!(passes(&between(None, None), dropped(from), &[]), "no interface begins with nothing");
    }

    #[test]
    fn source_ports_are_of_their_protocol_and_include_both_ends() {
        let dropped = vec![Rule::verdict([Match::SourcePorts(Protocol::Tcp, 40_000, 40_001)], Verdict::Drop)];
        let from = |protocol, port| Packet { protocol, source_port: port, ..packet(80) };
        assert!(!passes(&from(6, Some(40_000)), dropped.clone(), &[]));
        assert!(!passes(&from(6, Some(40_001)), dropped.clone(), &[]));
        for (protocol, port) in [(6, Some(39_999)), (6, Some(40_002)), (17, Some(40_000)), (6, None)] {
            assert!(passes(&from(protocol, port), dropped.clone(), &[]), "{protocol} {port:?}");
        }
    }

    #[test]
    #[should_panic(expected = "the chains lead in a circle")]
    fn a_circle_of_gotos_ends() {
        passes(
            &packet(80),
            vec![rule(Verdict::Goto(name("a")))],
            &[("a", vec![rule(Verdict::Goto(name("a")))])],
        );
    }

    #[test]
    #[should_panic(expected = "no chain nowhere")]
    fn what_the_kernel_would_refuse_is_not_judged() {
        passes(&packet(80), vec![rule(Verdict::Jump(name("nowhere")))], &[]);
    }
}
