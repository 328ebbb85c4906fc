//! Anti-spoofing: what enters from a pod's interface has a source address of the pod, or is dropped and counted.
//!
//! ```text
//! prerouting   iifname @bound                       jump hardware   (bridge) whose frames are whose
//!              iifname . ip saddr @sources.v4       accept     the pod's own address
//!              iifname . arp saddr ip @sources.v4   accept     (bridge) and what its ARP says of itself
//!              iifname @checked                     jump spoofed
//! spoofed      what duplicate address detection, neighbour discovery, MLD and DHCP need
//!              counter drop
//! ```
//!
//! Policy that is keyed by address trusts the address, and a pod's identity is its addresses to everyone else: so
//! all pods are checked, isolated or not. A routed pod is checked in the table of packets, before conntrack; a
//! bridged one on its port, in a table of frames, where ARP and neighbour advertisements are seen too.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podwall_policy::{ObjectKey, Pod};
use podwall_ruleset::{
    BaseChain, Chain, ChainType, Comment, Element, Field, Hook, InterfaceName, IpFamily, Key, Match, Rule,
    Set, SetRef, Statement, Table, Value, ValueType, Verdict,
};

use crate::name;
use crate::table::{TableBuilder, address_type, address_value, family_of};
use crate::{Attachment, NodeState};

/// Before conntrack (-200), so that what is dropped costs no entry, and a little after `raw`, which others use.
const PRIORITY: i32 = -295;
/// Before br_netfilter (0) hands the frame's packet to the hooks of IP, and before the bridge learns from it.
const BRIDGE_PRIORITY: i32 = -250;

const FAMILIES: [IpFamily; 2] = [IpFamily::Ipv4, IpFamily::Ipv6];

/// Adds the check of pods with an interface of their own; nothing when there is none to check.
pub fn check_routed<'a>(state: NodeState<'a>, table: &mut TableBuilder<'a>) {
    let mut sources = Sources::new();
    for (key, pod) in state.local_pods().filter(|(_, pod)| is_checked(state, pod)) {
        if let Some(interface) = state.routed_interface(key) {
            sources.add(interface, &table.addresses(key, pod));
        }
    }
    if sources.is_empty() {
        return;
    }
    let rules = sources.rules();
    sources.into_sets().into_iter().for_each(|(name, set)| table.add_set(name, set));
    table.add_chain(name::base_chain("prerouting"), base_chain(PRIORITY, rules));
    table.add_chain(name::spoofed(), spoofed());
}

/// The table of frames, when there are pods on a bridge to check.
pub fn check_bridged(state: NodeState<'_>) -> Option<Table> {
    let owners = state.cluster.address_owners();
    let mut sources = Sources::new();
    let mut table = Table::default();
    let mut neighbours = Set::new(&[ValueType::Interface]).to_verdicts();
    let mut bound = Set::new(&[ValueType::Interface]);
    let mut hardware = Set::new(&[ValueType::Interface, ValueType::Hardware]);
    for (key, pod) in state.local_pods().filter(|(_, pod)| is_checked(state, pod)) {
        let Some(Attachment::Bridged { port, hardware_address }) = state.attachments.get(key) else {
            continue;
        };
        if let Some(address) = hardware_address {
            let port = Value::Interface(port.clone());
            bound.elements.insert(Key::one(port.clone()), Element::default());
            let pair = Key::Exact([port, Value::Hardware(*address)].into_iter().collect());
            hardware.elements.insert(pair, Element::default());
        }
        let own = pod.addresses.iter().filter(|address| owners.get(*address) == Some(&key));
        let own: Vec<IpAddr> = own.copied().collect();
        sources.add(port, &own);
        let chain = advertisements(&own);
        let chain_name = name::neighbour_chain(&own);
        table.chains.insert(chain_name.clone(), chain);
        let element = Element { verdict: Some(Verdict::Jump(chain_name)), comment: Some(comment(key)) };
        neighbours.elements.insert(Key::one(Value::Interface(port.clone())), element);
    }
    if sources.is_empty() {
        return None;
    }
    let is_bound = Match::in_set(Field::InputInterface, &name::bound());
    let mut rules =
        vec![Rule::verdict([is_bound], Verdict::Jump(name::hardware_chain())), advertisement_rule()];
    rules.extend(sources.rules());
    let arp = Match::In(
        [Field::InputInterface, Field::ArpSource].into_iter().collect(),
        SetRef::Named(name::sources(IpFamily::Ipv4)),
    );
    rules.insert(rules.len() - 1, Rule::verdict([arp], Verdict::Accept));
    table.sets.extend(sources.into_sets());
    table.sets.insert(name::bound(), bound);
    table.sets.insert(name::hardware(), hardware);
    table.chains.insert(name::hardware_chain(), hardware_chain());
    table.sets.insert(name::neighbours(), neighbours);
    let mut advertisement = Set::new(&[ValueType::Icmpv6Type]);
    advertisement.elements.insert(Key::one(Value::Icmpv6Type(136)), Element::default());
    table.sets.insert(name::advertisement(), advertisement);
    table.chains.insert(name::base_chain("prerouting"), base_chain(BRIDGE_PRIORITY, rules));
    table.chains.insert(name::spoofed(), spoofed());
    Some(table)
}

fn is_checked(state: NodeState<'_>, pod: &Pod) -> bool {
    pod.anti_spoofing.unwrap_or(state.options.anti_spoofing) && !pod.addresses.is_empty()
}

fn comment(key: &ObjectKey) -> Comment {
    Comment::new(&key.to_string())
}

/// Which interfaces are checked, and what each may send from.
struct Sources {
    checked: Set,
    addresses: BTreeMap<IpFamily, Set>,
}

impl Sources {
    fn new() -> Self {
        let pairs = |family| (family, Set::new(&[ValueType::Interface, address_type(family)]));
        Self { checked: Set::new(&[ValueType::Interface]), addresses: FAMILIES.map(pairs).into() }
    }

    fn is_empty(&self) -> bool {
        self.checked.elements.is_empty()
    }

    /// The unspecified addresses are everybody's: DHCP and ARP probes come from 0.0.0.0, duplicate address
    /// detection and the first MLD report from ::.
    fn add(&mut self, interface: &InterfaceName, addresses: &[IpAddr]) {
        let interface = Value::Interface(interface.clone());
        self.checked.elements.insert(Key::one(interface.clone()), Element::default());
        let unspecified = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        for address in addresses.iter().copied().chain(unspecified) {
            let pair = Key::Exact([interface.clone(), address_value(address)].into_iter().collect());
            let set = self.addresses.get_mut(&family_of(&address)).expect("made for both families");
            set.elements.insert(pair, Element::default());
        }
    }

    /// An own address is the common case and is looked up first.
    fn rules(&self) -> Vec<Rule> {
        let own = |family| {
            let source = if family == IpFamily::Ipv4 { Field::SourceIpv4 } else { Field::SourceIpv6 };
            let pair = [Field::InputInterface, source].into_iter().collect();
            Rule::verdict([Match::In(pair, SetRef::Named(name::sources(family)))], Verdict::Accept)
        };
        let mut rules = FAMILIES.map(own).to_vec();
        let checked = Match::in_set(Field::InputInterface, &name::checked());
        rules.push(Rule::verdict([checked], Verdict::Jump(name::spoofed())));
        rules
    }

    fn into_sets(self) -> Vec<(podwall_ruleset::Name, Set)> {
        let mut sets = vec![(name::checked(), self.checked), (name::link_local(), link_local())];
        sets.extend(self.addresses.into_iter().map(|(family, set)| (name::sources(family), set)));
        sets
    }
}

fn base_chain(priority: i32, rules: Vec<Rule>) -> Chain {
    let base = BaseChain { chain_type: ChainType::Filter, hook: Hook::Prerouting, priority };
    Chain { base: Some(base), comment: None, rules }
}

/// Link-local addresses are a pod's own business, but only for what makes IPv6 work: soliciting routers and
/// neighbours, answering them, MLD and DHCPv6. Never advertising a router or redirecting, which is a router's.
fn spoofed() -> Chain {
    let link_local = || Match::in_set(Field::SourceIpv6, &name::link_local());
    let types = [(130, 133), (135, 136), (143, 143)]
        .map(|(first, last)| (Value::Icmpv6Type(first), Value::Icmpv6Type(last)));
    let neighbours = anonymous_ranges(Field::Icmpv6Type, ValueType::Icmpv6Type, types);
    let mut ports = Set::new(&[ValueType::Port]);
    ports.elements.extend([546, 547].map(|port| (Key::one(Value::Port(port)), Element::default())));
    let field = Field::DestinationPortOf(podwall_ruleset::Protocol::Udp);
    let dhcp = Match::In([field].into_iter().collect(), SetRef::Anonymous(Box::new(ports)));
    let rules = vec![
        Rule::verdict([link_local(), neighbours], Verdict::Return),
        Rule::verdict([link_local(), dhcp], Verdict::Return),
        Rule::verdict([], Verdict::Drop).counted(),
    ];
    Chain { base: None, comment: Some(Comment::new("the source address is not the pod's")), rules }
}

fn link_local() -> Set {
    let mut set = Set::new(&[ValueType::Ipv6]).of_ranges();
    let (first, last) = (0xfe80 << 112, (0xfec0 << 112) - 1);
    let key = Key::Range(Value::Ipv6(Ipv6Addr::from(first)), Value::Ipv6(Ipv6Addr::from(last)));
    set.elements.insert(key, Element::default());
    set
}

fn anonymous_ranges<const N: usize>(field: Field, of: ValueType, ranges: [(Value, Value); N]) -> Match {
    let mut set = Set::new(&[of]).of_ranges();
    set.elements.extend(ranges.map(|(first, last)| (Key::Range(first, last), Element::default())));
    Match::In([field].into_iter().collect(), SetRef::Anonymous(Box::new(set)))
}

/// Before the bridge learns from the frame.
fn hardware_chain() -> Chain {
    let pair = [Field::InputInterface, Field::SourceHardware].into_iter().collect();
    let own = Match::In(pair, SetRef::Named(name::hardware()));
    let rules = vec![Rule::verdict([own], Verdict::Return), Rule::verdict([], Verdict::Drop).counted()];
    Chain { base: None, comment: Some(Comment::new("the hardware address is not the pod's")), rules }
}

/// A neighbour advertisement, by the port it comes from.
fn advertisement_rule() -> Rule {
    let advertisement = Match::in_set(Field::Icmpv6Type, &name::advertisement());
    let ports = [Field::InputInterface].into_iter().collect();
    Rule::new([advertisement], Statement::VerdictMap(ports, SetRef::Named(name::neighbours())))
}

/// A port may advertise its pod's addresses. A link-local one it may not: we cannot know which is whose, and one of
/// them may be the gateway's.
fn advertisements(own: &[IpAddr]) -> Chain {
    let targets = own.iter().filter_map(|address| match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(Match::NeighbourTarget(*address)),
    });
    let mut rules: Vec<Rule> = targets.map(|target| Rule::verdict([target], Verdict::Return)).collect();
    rules.push(Rule::verdict([], Verdict::Drop).counted());
    Chain { base: None, comment: None, rules }
}
