//! Closed at birth: what is there before anybody told us of it.
//!
//! A pod's interface or address exists before the API server says whose it is, and a policy may select its pod.
//! Until we know, nothing is forwarded from it or to it (S9). Its own node reaches it all the same: what the node
//! sends leaves through output, and the answer arrives in input.

use std::net::IpAddr;

use ipnet::IpNet;
use podwall_policy::IpBlock;
use podwall_ruleset::{Element, Field, InterfaceName, IpFamily, Key, Match, Rule, Value, Verdict};

use crate::frame::Frame;
use crate::intervals::AddressRanges;
use crate::local::{Contribution, LocalSet, TableKind};
use crate::name;
use crate::program::Direction;
use crate::value::{address_value, family_of, peer_field, range_set};
use crate::{NodeOptions, UnknownPods};

/// Adds the sets of what is known. Returns the rules that drop what is not.
pub fn add_frame(options: &NodeOptions, frame: &mut Frame) -> Vec<Rule> {
    let UnknownPods::Drop { interface_prefixes, bridge_ranges } = &options.unknown_pods else {
        return Vec::new();
    };
    let mut rules = close_interfaces(interface_prefixes, frame);
    rules.extend(close_addresses(bridge_ranges, frame));
    rules
}

/// Adds the interface of a known pod.
pub fn add_interface(interface: &InterfaceName, options: &NodeOptions, contribution: &mut Contribution) {
    if let UnknownPods::Drop { interface_prefixes, .. } = &options.unknown_pods
        && !interface_prefixes.is_empty()
    {
        let key = Key::one(Value::Interface(interface.clone()));
        contribution.add(LocalSet::Known, key, Element::default());
    }
}

/// Adds an address of a known pod.
pub fn add_address(address: IpAddr, options: &NodeOptions, contribution: &mut Contribution) {
    if let UnknownPods::Drop { bridge_ranges, .. } = &options.unknown_pods
        && bridge_ranges.iter().any(|range| range.addr().is_ipv4() == address.is_ipv4())
    {
        let set = LocalSet::KnownAddresses(family_of(&address));
        contribution.add(set, Key::one(address_value(address)), Element::default());
    }
}

fn close_interfaces(prefixes: &[InterfaceName], frame: &mut Frame) -> Vec<Rule> {
    if !prefixes.is_empty() {
        frame.local_sets.insert(LocalSet::Known);
    }
    let both = [Field::InputInterface, Field::OutputInterface];
    let closed = |prefix: &InterfaceName| {
        let prefix = prefix.clone();
        both.map(|field| {
            let unknown = [Match::InterfacePrefix(field, prefix.clone()), Match::NotIn(field, name::known())];
            Rule::verdict(unknown, Verdict::Drop).counted()
        })
    };
    prefixes.iter().flat_map(closed).collect()
}

fn close_addresses(bridge_ranges: &[IpNet], frame: &mut Frame) -> Vec<Rule> {
    let blocks: Vec<IpBlock> =
        bridge_ranges.iter().map(|cidr| IpBlock { cidr: *cidr, except: Vec::new() }).collect();
    let ranges = AddressRanges::of(blocks.iter());
    let mut rules = Vec::new();
    for (family, ranges) in [(IpFamily::Ipv4, &ranges.ipv4), (IpFamily::Ipv6, &ranges.ipv6)] {
        if ranges.is_empty() {
            continue;
        }
        let name = (TableKind::Packets, name::bridge_range(family));
        frame.constants.insert(name, range_set(ranges, family));
        frame.local_sets.insert(LocalSet::KnownAddresses(family));
        rules.extend([Direction::Ingress, Direction::Egress].map(|direction| {
            let field = peer_field(direction, family);
            let unknown = [
                Match::in_set(field, &name::bridge_range(family)),
                Match::NotIn(field, name::known_addresses(family)),
            ];
            Rule::verdict(unknown, Verdict::Drop).counted()
        }));
    }
    rules
}
