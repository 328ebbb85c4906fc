//! Programs as chains, and peers as sets.
//!
//! ```text
//! counted chain  with counters: what the group is asked     jump ingress/...   then what it allowed
//! group chain    egress only: ports by name      ip daddr . meta l4proto . th dport @ports/...  return
//!                the port's verdict              meta l4proto . th dport vmap { tcp . 80 : goto from/... }
//!                everything else                 goto from/...     or drop
//! peer chain     pods by selector                ip saddr @pods/... return
//!                addresses by block              ip saddr @blocks/... return
//!                nobody else                     drop
//! ```
//!
//! Everything is named by content and made once. What is allowed returns to the base chain, which goes on with
//! the other direction (S152); it is never accepted here. Both families' lookups are always there: the layout
//! depends on policies and never on which pods exist, so that pods coming and going move elements only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use podwall_policy::{Cluster, ObjectKey, Pod};
use podwall_ruleset::{
    Chain, Element, Field, IpFamily, Key, Match, Name, Protocol, Rule, Set, SetRef, Statement, Table, Value,
    ValueType, Verdict,
};

use crate::group::Group;
use crate::name;
use crate::peers::{PeerUnion, PodPeer};
use crate::program::{Direction, NamedPort, Program, Segment};

/// More selectors than this in one peer chain are looked up as one union: every lookup costs some 40 ns and the
/// union's elements cost memory.
const POD_SETS_MAX: usize = 4;

/// Builds the table of one node.
pub struct TableBuilder<'a> {
    cluster: &'a Cluster,
    /// Every address of a pod that takes part, with its pod (S36, S84).
    owners: BTreeMap<IpAddr, &'a ObjectKey>,
    chain_of_group: BTreeMap<Group, Name>,
    table: Table,
}

impl<'a> TableBuilder<'a> {
    /// An empty table.
    pub fn new(cluster: &'a Cluster) -> Self {
        let owners = cluster.address_owners();
        Self { cluster, owners, chain_of_group: BTreeMap::new(), table: Table::default() }
    }

    /// The table.
    pub fn finish(self) -> Table {
        self.table
    }

    /// The addresses that a pod owns.
    pub fn addresses(&self, key: &ObjectKey, pod: &Pod) -> Vec<IpAddr> {
        pod.addresses.iter().copied().filter(|address| self.owners.get(address) == Some(&key)).collect()
    }

    /// Adds a chain; the name is not taken.
    pub fn add_chain(&mut self, name: Name, chain: Chain) {
        let before = self.table.chains.insert(name, chain);
        assert!(before.is_none(), "two chains of one name");
    }

    /// Adds a set or map; the name is not taken.
    pub fn add_set(&mut self, name: Name, set: Set) {
        let before = self.table.sets.insert(name, set);
        assert!(before.is_none(), "two sets of one name");
    }

    /// The chain that judges the pods of a group.
    pub fn group_chain(&mut self, group: Group) -> Name {
        if let Some(name) = self.chain_of_group.get(&group) {
            return name.clone();
        }
        let program = group.program(self.cluster);
        let name = name::group_chain(group.direction, &group.namespace, &(&group.policies, &program));
        if !self.table.chains.contains_key(&name) {
            let comment = Some(name::policies_comment(group.policies.iter()));
            let rules = self.port_rules(group.direction, &program);
            self.add_chain(name.clone(), Chain { base: None, comment, rules });
        }
        self.chain_of_group.insert(group, name.clone());
        name
    }

    /// The chain that counts what a group is asked, and what it allows: what comes back from its chain. What it
    /// drops is the rest, and is not counted where it happens: groups share the chains of their peers.
    pub fn counted_chain(&mut self, group_chain: &Name) -> Name {
        let name = name::counted_chain(group_chain);
        if !self.table.chains.contains_key(&name) {
            let rule = |verdict, comment| Rule {
                comment: Some(podwall_ruleset::Comment::new(comment)),
                ..Rule::verdict([], verdict).counted()
            };
            let rules =
                vec![rule(Verdict::Jump(group_chain.clone()), "asked"), rule(Verdict::Return, "allowed")];
            let comment = self.table.chains[group_chain].comment.clone();
            self.add_chain(name.clone(), Chain { base: None, comment, rules });
        }
        name
    }

    /// The rules of a group chain. Single ports share one hash map; a protocol with ranges has a map of
    /// intervals of its own.
    fn port_rules(&mut self, direction: Direction, program: &Program) -> Vec<Rule> {
        let mut rules = self.named_port_rules(&program.named);
        let mut single_ports = Set::new(&[ValueType::Protocol, ValueType::Port]).to_verdicts();
        let mut range_rules = Vec::new();
        for (protocol, segments) in &program.segments {
            let protocol = protocol_of(*protocol);
            if let [Segment { first: 0, last: u16::MAX, peers }] = &segments[..] {
                let verdict = self.peer_verdict(direction, peers);
                range_rules.push(Rule::verdict([Match::Protocol(protocol)], verdict));
            } else if segments.iter().all(|segment| segment.first == segment.last) {
                for segment in segments {
                    let key = [Value::Protocol(protocol), Value::Port(segment.first)];
                    let verdict = self.peer_verdict(direction, &segment.peers);
                    single_ports
                        .elements
                        .insert(Key::Exact(key.into_iter().collect()), Element::verdict(verdict));
                }
            } else {
                let mut ranges = Set::new(&[ValueType::Port]).to_verdicts().of_ranges();
                for segment in segments {
                    let key = Key::Range(Value::Port(segment.first), Value::Port(segment.last));
                    let verdict = self.peer_verdict(direction, &segment.peers);
                    ranges.elements.insert(key, Element::verdict(verdict));
                }
                range_rules.push(verdict_map([Field::DestinationPortOf(protocol)], ranges));
            }
        }
        if !single_ports.elements.is_empty() {
            rules.push(verdict_map([Field::Protocol, Field::DestinationPort], single_ports));
        }
        rules.extend(range_rules);
        rules.push(Rule::verdict([], self.peer_verdict(direction, &program.rest)));
        rules
    }

    fn peer_verdict(&mut self, direction: Direction, peers: &PeerUnion) -> Verdict {
        if peers.any {
            return Verdict::Return;
        }
        if peers.is_empty() {
            return Verdict::Drop;
        }
        let name = name::peer_chain(direction, peers);
        if !self.table.chains.contains_key(&name) {
            let rules = self.peer_rules(direction, peers);
            self.add_chain(name.clone(), Chain { base: None, comment: None, rules });
        }
        Verdict::Goto(name)
    }

    fn peer_rules(&mut self, direction: Direction, peers: &PeerUnion) -> Vec<Rule> {
        let ranges = peers.block_ranges();
        let mut rules = Vec::new();
        for (family, ranges) in [(IpFamily::Ipv4, ranges.ipv4), (IpFamily::Ipv6, ranges.ipv6)] {
            let field = peer_field(direction, family);
            for set in self.pod_sets(&peers.pods, family) {
                rules.push(Rule::verdict([Match::in_set(field, &set)], Verdict::Return));
            }
            if ranges == [(0, last_address(family))] {
                rules.push(Rule::verdict([Match::Family(family)], Verdict::Return));
            } else if !ranges.is_empty() {
                let set = self.block_set(&ranges, family);
                rules.push(Rule::verdict([Match::in_set(field, &set)], Verdict::Return));
            }
        }
        rules.push(Rule::verdict([], Verdict::Drop));
        rules
    }

    /// The sets that hold the addresses of the pods that any of the peers selects.
    fn pod_sets(&mut self, peers: &BTreeSet<PodPeer>, family: IpFamily) -> Vec<Name> {
        if peers.len() <= POD_SETS_MAX {
            return peers.iter().map(|peer| self.pod_set(peer, family)).collect();
        }
        let name = name::union_set(peers, family);
        if !self.table.sets.contains_key(&name) {
            let comment = podwall_ruleset::Comment::new(&format!("{} selectors together", peers.len()));
            let select = |key: &ObjectKey, pod: &Pod| {
                peers.iter().any(|peer| peer.selects(self.cluster, &key.namespace, &pod.labels))
            };
            let set = self.address_set(family, select).with_comment(comment);
            self.add_set(name.clone(), set);
        }
        vec![name]
    }

    fn pod_set(&mut self, peer: &PodPeer, family: IpFamily) -> Name {
        let name = name::pod_set(peer, family);
        if !self.table.sets.contains_key(&name) {
            let namespaces = self.namespaces_in(peer);
            let select = |key: &ObjectKey, pod: &Pod| {
                namespaces.contains(&key.namespace) && peer.pods.matches(&pod.labels)
            };
            let set = self.address_set(family, select).with_comment(name::pod_set_comment(peer));
            self.add_set(name.clone(), set);
        }
        name
    }

    /// The namespaces with pods that the peer looks into: asked once for each, not once for each pod.
    fn namespaces_in(&self, peer: &PodPeer) -> BTreeSet<Arc<str>> {
        let all: BTreeSet<&Arc<str>> = self.owners.values().map(|key| &key.namespace).collect();
        all.into_iter().filter(|it| peer.scope.holds(self.cluster, it)).cloned().collect()
    }

    fn address_set(&self, family: IpFamily, select: impl Fn(&ObjectKey, &Pod) -> bool) -> Set {
        let mut set = Set::new(&[address_type(family)]);
        for (address, key) in self.owners.iter().filter(|(address, _)| family_of(address) == family) {
            if select(key, &self.cluster.pods[*key]) {
                set.elements.insert(Key::one(address_value(*address)), Element::default());
            }
        }
        set
    }

    fn block_set(&mut self, ranges: &[(u128, u128)], family: IpFamily) -> Name {
        let name = name::block_set(&ranges, family);
        if !self.table.sets.contains_key(&name) {
            let set = range_set(ranges, family);
            self.add_set(name.clone(), set);
        }
        name
    }

    /// One lookup per family finds the address, protocol and number of everything that any rule calls by name.
    fn named_port_rules(&mut self, named: &BTreeSet<NamedPort>) -> Vec<Rule> {
        if named.is_empty() {
            return Vec::new();
        }
        [IpFamily::Ipv4, IpFamily::Ipv6]
            .into_iter()
            .map(|family| {
                let name = name::named_port_set(named, family);
                if !self.table.sets.contains_key(&name) {
                    let set = self.named_port_set(named, family);
                    self.add_set(name.clone(), set);
                }
                let fields = [peer_field(Direction::Egress, family), Field::Protocol, Field::DestinationPort];
                let found = Match::In(fields.into_iter().collect(), SetRef::Named(name));
                Rule::verdict([found], Verdict::Return)
            })
            .collect()
    }

    /// S102: each pod's own numbers, never the product of all pods and all numbers. S104: of a block, the pods
    /// in it; of any peer, all pods; never an address that is no pod's.
    fn named_port_set(&self, named: &BTreeSet<NamedPort>, family: IpFamily) -> Set {
        let mut set = Set::new(&[address_type(family), ValueType::Protocol, ValueType::Port]);
        for it in named {
            let ranges = it.peers.block_ranges();
            let ranges = if family == IpFamily::Ipv4 { ranges.ipv4 } else { ranges.ipv6 };
            for (address, key) in self.owners.iter().filter(|(address, _)| family_of(address) == family) {
                let pod = &self.cluster.pods[*key];
                let in_block =
                    || ranges.iter().any(|(first, last)| (*first..=*last).contains(&number(address)));
                let selected = || {
                    it.peers.pods.iter().any(|peer| peer.selects(self.cluster, &key.namespace, &pod.labels))
                };
                if !(it.peers.any || selected() || in_block()) {
                    continue;
                }
                let declares = |name: &Option<Arc<str>>| name.as_ref() == Some(&it.name);
                for port in
                    pod.ports.iter().filter(|port| declares(&port.name) && port.protocol == it.protocol)
                {
                    let protocol = Value::Protocol(protocol_of(port.protocol));
                    let key = [address_value(*address), protocol, Value::Port(port.port)];
                    set.elements.insert(Key::Exact(key.into_iter().collect()), Element::default());
                }
            }
        }
        let names: BTreeSet<String> = named.iter().map(|it| format!("{} {}", it.protocol, it.name)).collect();
        let names: Vec<String> = names.into_iter().collect();
        set.with_comment(podwall_ruleset::Comment::new(&format!("ports by name: {}", names.join(", "))))
    }
}

/// A set of ranges of addresses.
pub fn range_set(ranges: &[(u128, u128)], family: IpFamily) -> Set {
    let value = |number: u128| match family {
        IpFamily::Ipv4 => Value::Ipv4(Ipv4Addr::from(u32::try_from(number).expect("an IPv4 address"))),
        IpFamily::Ipv6 => Value::Ipv6(Ipv6Addr::from(number)),
    };
    let mut set = Set::new(&[address_type(family)]).of_ranges();
    let keys = ranges.iter().map(|(first, last)| Key::Range(value(*first), value(*last)));
    set.elements.extend(keys.map(|key| (key, Element::default())));
    set
}

/// The address of a packet that a set of this family is asked for.
pub fn peer_field(direction: Direction, family: IpFamily) -> Field {
    match (direction, family) {
        (Direction::Ingress, IpFamily::Ipv4) => Field::SourceIpv4,
        (Direction::Ingress, IpFamily::Ipv6) => Field::SourceIpv6,
        (Direction::Egress, IpFamily::Ipv4) => Field::DestinationIpv4,
        (Direction::Egress, IpFamily::Ipv6) => Field::DestinationIpv6,
    }
}

/// The family of an address.
pub fn family_of(address: &IpAddr) -> IpFamily {
    if address.is_ipv4() { IpFamily::Ipv4 } else { IpFamily::Ipv6 }
}

/// The type of a family's addresses in keys.
pub fn address_type(family: IpFamily) -> ValueType {
    match family {
        IpFamily::Ipv4 => ValueType::Ipv4,
        IpFamily::Ipv6 => ValueType::Ipv6,
    }
}

/// An address as part of a key.
pub fn address_value(address: IpAddr) -> Value {
    match address {
        IpAddr::V4(address) => Value::Ipv4(address),
        IpAddr::V6(address) => Value::Ipv6(address),
    }
}

fn number(address: &IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(*address).into(),
        IpAddr::V6(address) => (*address).into(),
    }
}

fn last_address(family: IpFamily) -> u128 {
    match family {
        IpFamily::Ipv4 => u32::MAX.into(),
        IpFamily::Ipv6 => u128::MAX,
    }
}

fn protocol_of(protocol: podwall_policy::Protocol) -> Protocol {
    match protocol {
        podwall_policy::Protocol::Tcp => Protocol::Tcp,
        podwall_policy::Protocol::Udp => Protocol::Udp,
        podwall_policy::Protocol::Sctp => Protocol::Sctp,
    }
}

fn verdict_map<const N: usize>(fields: [Field; N], map: Set) -> Rule {
    Rule::new([], Statement::VerdictMap(fields.into_iter().collect(), SetRef::Anonymous(Box::new(map))))
}
