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

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use podwall_policy::ObjectKey;
use podwall_ruleset::{
    BaseChain, Chain, ChainType, Comment, Element, Field, Hook, InterfaceName, IpFamily, Key, Match, Rule,
    Set, SetRef, Statement, Value, ValueType, Verdict,
};

use crate::frame::Frame;
use crate::local::{Contribution, LocalPod, LocalSet, TableKind};
use crate::name;
use crate::value::{FAMILIES, address_value, family_of};
use crate::{Attachment, NodeOptions};

/// Before conntrack (-200), so that what is dropped costs no entry, and a little after `raw`, which others use.
const PRIORITY: i32 = -295;
/// Before br_netfilter (0) hands the frame's packet to the hooks of IP, and before the bridge learns from it.
const BRIDGE_PRIORITY: i32 = -250;

/// True when what a pod sends is to come from its own addresses: an annotation decides for its pod. A pod that
/// reports no address yet is not checked, because it may be asking for one.
pub fn is_checked(options: &NodeOptions, anti_spoofing: Option<bool>, has_addresses: bool) -> bool {
    anti_spoofing.unwrap_or(options.anti_spoofing) && has_addresses
}

/// Adds the check of pods with an interface of their own.
pub fn add_routed_frame(frame: &mut Frame) {
    let table = TableKind::Packets;
    add_common(table, frame);
    frame.add_chain(table, name::base_chain("prerouting"), base_chain(PRIORITY, rules()));
}

/// Adds the check of pods on a bridge.
pub fn add_bridged_frame(frame: &mut Frame) {
    let table = TableKind::Frames;
    add_common(table, frame);
    let is_bound = Match::in_set(Field::InputInterface, &name::bound());
    let mut all =
        vec![Rule::verdict([is_bound], Verdict::Jump(name::hardware_chain())), advertisement_rule()];
    all.extend(rules());
    let arp = Match::In(
        [Field::InputInterface, Field::ArpSource].into_iter().collect(),
        SetRef::Named(name::sources(IpFamily::Ipv4)),
    );
    all.insert(all.len() - 1, Rule::verdict([arp], Verdict::Accept));
    let mut advertisement = Set::new(&[ValueType::Icmpv6Type]);
    advertisement.elements.insert(Key::one(Value::Icmpv6Type(136)), Element::default());
    frame.local_sets.extend([LocalSet::Bound, LocalSet::Hardware, LocalSet::Neighbours]);
    frame.constants.insert((table, name::advertisement()), advertisement);
    frame.add_chain(table, name::hardware_chain(), hardware_chain());
    frame.add_chain(table, name::base_chain("prerouting"), base_chain(BRIDGE_PRIORITY, all));
}

/// Adds what the pods on an interface of their own may send from.
pub fn add_interface(interface: &InterfaceName, pods: &[&LocalPod], contribution: &mut Contribution) {
    for pod in pods.iter().filter(|pod| pod.checked) {
        add_sources(TableKind::Packets, interface, &pod.addresses, contribution);
    }
}

/// Adds what the pods on a port of a bridge may send from and advertise.
pub fn add_port(port: &InterfaceName, pods: &[&LocalPod], contribution: &mut Contribution) {
    for pod in pods.iter().filter(|pod| pod.checked) {
        let value = Value::Interface(port.clone());
        if let Some(Attachment::Bridged { hardware_address: Some(address), .. }) = pod.attachment {
            contribution.add(LocalSet::Bound, Key::one(value.clone()), Element::default());
            let pair = Key::Exact([value.clone(), Value::Hardware(address)].into_iter().collect());
            contribution.add(LocalSet::Hardware, pair, Element::default());
        }
        add_sources(TableKind::Frames, port, &pod.addresses, contribution);
        let chain = name::neighbour_chain(&pod.addresses);
        contribution.chains.insert(chain.clone(), Arc::new(advertisements(&pod.addresses)));
        let element = Element { verdict: Some(Verdict::Jump(chain)), comment: Some(comment(&pod.key)) };
        contribution.add(LocalSet::Neighbours, Key::one(value), element);
    }
}

fn comment(key: &ObjectKey) -> Comment {
    Comment::new(&key.to_string())
}

/// What both tables have.
fn add_common(table: TableKind, frame: &mut Frame) {
    frame.local_sets.insert(LocalSet::Checked(table));
    frame.local_sets.extend(FAMILIES.map(|family| LocalSet::Sources(table, family)));
    frame.constants.insert((table, name::link_local()), link_local());
    frame.add_chain(table, name::spoofed(), spoofed());
}

/// The unspecified addresses are everybody's: DHCP and ARP probes come from 0.0.0.0, duplicate address detection and
/// the first MLD report from ::.
fn add_sources(
    table: TableKind,
    interface: &InterfaceName,
    addresses: &[IpAddr],
    contribution: &mut Contribution,
) {
    let interface = Value::Interface(interface.clone());
    contribution.add(LocalSet::Checked(table), Key::one(interface.clone()), Element::default());
    let unspecified = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    for address in addresses.iter().copied().chain(unspecified) {
        let pair = Key::Exact([interface.clone(), address_value(address)].into_iter().collect());
        contribution.add(LocalSet::Sources(table, family_of(&address)), pair, Element::default());
    }
}

/// An own address is the common case and is looked up first.
fn rules() -> Vec<Rule> {
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
