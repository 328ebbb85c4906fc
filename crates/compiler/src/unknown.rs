//! Closed at birth: what is there before anybody told us of it.
//!
//! A pod's interface or address exists before the API server says whose it is, and a policy may select its pod.
//! Until we know, nothing is forwarded from it or to it (S9). Its own node reaches it all the same: what the node
//! sends leaves through output, and the answer arrives in input.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podwall_policy::IpBlock;
use podwall_ruleset::{
    Element, Field, InterfaceName, IpFamily, Key, Match, Rule, Set, Value, ValueType, Verdict,
};

use crate::intervals::AddressRanges;
use crate::name;
use crate::program::Direction;
use crate::table::{TableBuilder, address_type, address_value, family_of, peer_field, range_set};
use crate::{NodeState, UnknownPods};

/// Adds the sets of what is known. Returns the rules that drop what is not.
pub fn close(state: NodeState<'_>, table: &mut TableBuilder<'_>) -> Vec<Rule> {
    let UnknownPods::Drop { interface_prefixes, bridge_ranges } = &state.options.unknown_pods else {
        return Vec::new();
    };
    let mut rules = close_interfaces(state, interface_prefixes, table);
    let blocks: Vec<IpBlock> =
        bridge_ranges.iter().map(|cidr| IpBlock { cidr: *cidr, except: Vec::new() }).collect();
    rules.extend(close_addresses(state, &AddressRanges::of(blocks.iter()), table));
    rules
}

fn close_interfaces(
    state: NodeState<'_>,
    prefixes: &[InterfaceName],
    table: &mut TableBuilder<'_>,
) -> Vec<Rule> {
    if prefixes.is_empty() {
        return Vec::new();
    }
    let mut known = Set::new(&[ValueType::Interface]);
    let interfaces = state.local_pods().filter_map(|(key, _)| state.routed_interface(key));
    let keys = interfaces.map(|interface| Key::one(Value::Interface(interface.clone())));
    known.elements.extend(keys.map(|key| (key, Element::default())));
    table.add_set(name::known(), known);
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

fn close_addresses(state: NodeState<'_>, ranges: &AddressRanges, table: &mut TableBuilder<'_>) -> Vec<Rule> {
    let mut known: BTreeMap<IpFamily, Set> = BTreeMap::new();
    for (family, ranges) in [(IpFamily::Ipv4, &ranges.ipv4), (IpFamily::Ipv6, &ranges.ipv6)] {
        if !ranges.is_empty() {
            known.insert(family, Set::new(&[address_type(family)]));
            table.add_set(name::bridge_range(family), range_set(ranges, family));
        }
    }
    let addresses: Vec<IpAddr> =
        state.local_pods().flat_map(|(key, pod)| table.addresses(key, pod)).collect();
    for address in addresses {
        if let Some(set) = known.get_mut(&family_of(&address)) {
            set.elements.insert(Key::one(address_value(address)), Element::default());
        }
    }
    let mut rules = Vec::new();
    for (family, set) in known {
        table.add_set(name::known_addresses(family), set);
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
