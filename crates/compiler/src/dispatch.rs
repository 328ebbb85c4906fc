//! Base chains, and the maps that lead from a pod's interface to its group.
//!
//! ```text
//! forward   established and related, neighbour discovery     accept
//!           a pod to itself through its Service              accept
//!           from an isolated pod                             jump egress/...
//!           to an isolated pod                               jump ingress/...
//! input     the same, for what a pod sends to its own node: egress only
//! output    nothing of ours: what the node sends is allowed, by origin and not by address (S60, S61)
//! ```
//!
//! With revocation, a connection that carries the mark of it is dropped and counted before all else, in output too.
//!
//! Egress is judged first and returns when it allows, so that a pod on the same node is still asked for its
//! ingress (S152); the chains are jumped to, because a goto from a base chain never comes back.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use podwall_policy::{Consequence, ObjectKey, Pod, Problem};
use podwall_ruleset::{
    BaseChain, Chain, ChainType, Comment, CtState, Element, Field, Hook, InterfaceName, IpFamily, Key, Match,
    Name, Protocol, Rule, Set, SetRef, Statement, Value, ValueType, Verdict,
};

use crate::group::Group;
use crate::name;
use crate::program::Direction;
use crate::table::{TableBuilder, address_type, address_value, family_of, peer_field};
use crate::unknown;
use crate::{NodeOptions, NodeState};

/// A little before `filter`, where iptables, Calico and kube-router are, and after kube-proxy's translation and
/// filters: no base chain that we know of has this priority, so the order on a hook is never left to chance.
const PRIORITY: i32 = -5;

const FAMILIES: [IpFamily; 2] = [IpFamily::Ipv4, IpFamily::Ipv6];
const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];

/// Adds the base chains, the dispatch maps and what they lead to. Returns what could not be honoured.
pub fn dispatch<'a>(state: NodeState<'a>, table: &mut TableBuilder<'a>) -> Vec<Problem> {
    let mut maps = Maps::new();
    let (owners, problems) = interface_owners(state);
    for (key, pod) in state.local_pods() {
        let interface = state.routed_interface(key);
        if interface.is_none() {
            maps.by_address |= !pod.addresses.is_empty();
        }
        for direction in DIRECTIONS {
            let verdict = match interface {
                Some(interface) if owners[interface].len() > 1 => Some(Verdict::Drop),
                _ => Group::of(state.cluster, direction, key, pod)
                    .map(|group| Verdict::Jump(entrance(state, group, table))),
            };
            let Some(verdict) = verdict else { continue };
            match interface {
                Some(interface) => maps.add_interface(direction, interface, &owners[interface], verdict),
                None => maps.add_addresses(direction, key, pod, table, &verdict),
            }
        }
    }
    maps.finish(state, table);
    problems
}

/// Where a group's packets enter: its chain, or the one before it that counts.
fn entrance<'a>(state: NodeState<'a>, group: Group, table: &mut TableBuilder<'a>) -> Name {
    let chain = table.group_chain(group);
    if state.options.counters { table.counted_chain(&chain) } else { chain }
}

/// The local pods of each interface: one, unless somebody is wrong. Two pods behind one interface cannot be told
/// apart, so the interface is closed.
fn interface_owners(state: NodeState<'_>) -> (BTreeMap<&InterfaceName, Vec<&ObjectKey>>, Vec<Problem>) {
    let mut owners: BTreeMap<&InterfaceName, Vec<&ObjectKey>> = BTreeMap::new();
    for (key, _) in state.local_pods() {
        if let Some(interface) = state.routed_interface(key) {
            owners.entry(interface).or_default().push(key);
        }
    }
    let shared = owners.iter().filter(|(_, pods)| pods.len() > 1);
    let problems = shared.map(|(interface, pods)| Problem {
        file: None,
        line: None,
        object: Some(format!("Pod {}", pods[0])),
        field: None,
        message: format!(
            "interface {interface} is also that of pod {}: both are closed until each pod has one of its own",
            pods[1]
        ),
        consequence: Consequence::Closed,
    });
    let problems = problems.collect();
    (owners, problems)
}

/// The dispatch maps and the pairs that lead a pod back to itself.
struct Maps {
    by_interface: BTreeMap<Direction, Set>,
    addresses: BTreeMap<(Direction, IpFamily), Set>,
    hairpin: Set,
    hairpin_addresses: BTreeMap<IpFamily, Set>,
    /// True when some local pod has addresses and no interface: only then are packets looked up by address.
    by_address: bool,
}

impl Maps {
    fn new() -> Self {
        let by_interface = || Set::new(&[ValueType::Interface]).to_verdicts();
        let by_address = |family| Set::new(&[address_type(family)]).to_verdicts();
        let families = |direction| FAMILIES.map(|family| ((direction, family), by_address(family)));
        let pair = |family| (family, Set::new(&[address_type(family), address_type(family)]));
        Self {
            by_interface: DIRECTIONS.map(|direction| (direction, by_interface())).into(),
            addresses: DIRECTIONS.into_iter().flat_map(families).collect(),
            hairpin: Set::new(&[ValueType::Interface, ValueType::Interface]),
            hairpin_addresses: FAMILIES.map(pair).into(),
            by_address: false,
        }
    }

    fn add_interface(
        &mut self,
        direction: Direction,
        interface: &InterfaceName,
        pods: &[&ObjectKey],
        verdict: Verdict,
    ) {
        let interface = Value::Interface(interface.clone());
        if verdict != Verdict::Drop {
            let pair = Key::Exact([interface.clone(), interface.clone()].into_iter().collect());
            self.hairpin.elements.insert(pair, Element::default());
        }
        let names: Vec<String> = pods.iter().map(ToString::to_string).collect();
        let element = Element { verdict: Some(verdict), comment: Some(Comment::new(&names.join(", "))) };
        let map = self.by_interface.get_mut(&direction).expect("made for both directions");
        map.elements.insert(Key::one(interface), element);
    }

    fn add_addresses(
        &mut self,
        direction: Direction,
        key: &ObjectKey,
        pod: &Pod,
        table: &TableBuilder<'_>,
        verdict: &Verdict,
    ) {
        for address in table.addresses(key, pod) {
            let (family, value) = (family_of(&address), address_value(address));
            let pair = Key::Exact([value.clone(), value.clone()].into_iter().collect());
            let pairs = self.hairpin_addresses.get_mut(&family).expect("made for both families");
            pairs.elements.insert(pair, Element::default());
            let comment = Some(Comment::new(&key.to_string()));
            let map = self.addresses.get_mut(&(direction, family)).expect("made for both families");
            map.elements.insert(Key::one(value), Element { verdict: Some(verdict.clone()), comment });
        }
    }

    fn finish(self, state: NodeState<'_>, table: &mut TableBuilder<'_>) {
        let mut forward = first_rules(state.options);
        let mut input = first_rules(state.options);
        input.extend(dhcp_rules(table));
        forward.extend(self.hairpin_rules());
        forward.extend(unknown::close(state, table));
        let egress = self.dispatch_rules(Direction::Egress);
        forward.extend(egress.iter().cloned());
        input.extend(egress);
        forward.extend(self.dispatch_rules(Direction::Ingress));
        for (direction, map) in self.by_interface {
            table.add_set(name::dispatch(direction), map);
        }
        table.add_set(name::hairpin(), self.hairpin);
        if self.by_address {
            for ((direction, family), map) in self.addresses {
                table.add_set(name::dispatch_by_address(direction, family), map);
            }
            for (family, pairs) in self.hairpin_addresses {
                table.add_set(name::hairpin_by_address(family), pairs);
            }
        }
        let mut base_chains = vec![(Hook::Input, "input", input), (Hook::Forward, "forward", forward)];
        let output = state.options.revoked_mark.map(|bit| vec![drop_revoked(bit)]);
        base_chains.extend(output.map(|rules| (Hook::Output, "output", rules)));
        for (hook, word, rules) in base_chains {
            let base = BaseChain { chain_type: ChainType::Filter, hook, priority: PRIORITY };
            table.add_chain(
                Name::new(word).expect("a word"),
                Chain { base: Some(base), comment: None, rules },
            );
        }
    }

    /// S73. By interface, the pair cannot be forged: the packet goes back to where it came from.
    fn hairpin_rules(&self) -> Vec<Rule> {
        let found = |fields: [Field; 2], set: Name| {
            let pair = Match::In(fields.into_iter().collect(), SetRef::Named(set));
            Rule::verdict([pair], Verdict::Accept)
        };
        let mut rules = vec![found([Field::InputInterface, Field::OutputInterface], name::hairpin())];
        if self.by_address {
            rules.extend(FAMILIES.map(|family| {
                let fields = [Direction::Ingress, Direction::Egress].map(|it| peer_field(it, family));
                found(fields, name::hairpin_by_address(family))
            }));
        }
        rules
    }

    fn dispatch_rules(&self, direction: Direction) -> Vec<Rule> {
        let look_up = |field: Field, map: Name| {
            Rule::new([], Statement::VerdictMap([field].into_iter().collect(), SetRef::Named(map)))
        };
        let interface = match direction {
            Direction::Egress => Field::InputInterface,
            Direction::Ingress => Field::OutputInterface,
        };
        let mut rules = vec![look_up(interface, name::dispatch(direction))];
        if self.by_address {
            // The pod's own address: the source of what it sends, which is the peer's field of the other direction.
            let other = if direction == Direction::Egress { Direction::Ingress } else { Direction::Egress };
            let own =
                |family| look_up(peer_field(other, family), name::dispatch_by_address(direction, family));
            rules.extend(FAMILIES.map(own));
        }
        rules
    }
}

/// S50: replies and ICMP errors of what was allowed, unless it was revoked since. S121: neighbour discovery and
/// multicast listeners, without which IPv6 does not work.
fn first_rules(options: &NodeOptions) -> Vec<Rule> {
    let mut established =
        vec![Match::CtState([CtState::Established, CtState::Related].into_iter().collect())];
    established.extend(options.revoked_mark.map(|bit| Match::CtMark { mask: bit, value: 0 }));
    let mut types = Set::new(&[ValueType::Icmpv6Type]).of_ranges();
    for (first, last) in [(130, 137), (143, 143)] {
        let key = Key::Range(Value::Icmpv6Type(first), Value::Icmpv6Type(last));
        types.elements.insert(key, Element::default());
    }
    let neighbours = anonymous(Field::Icmpv6Type, types);
    let mut rules = vec![Rule::verdict(established, Verdict::Accept)];
    rules.extend(options.revoked_mark.map(drop_revoked));
    rules.push(Rule::verdict([neighbours], Verdict::Accept));
    rules
}

/// In both directions: judged again, a reply would be a new connection of the one who answers, and might pass.
/// Behind the shortcut, so that established packets pay for one test only.
fn drop_revoked(bit: u32) -> Rule {
    let revoked = Match::CtMark { mask: bit, value: bit };
    let comment = Some(Comment::new("the connection was revoked"));
    Rule { comment, ..Rule::verdict([revoked], Verdict::Drop).counted() }
}

/// S122: a pod that asks for an address has none to be judged by. It asks all servers on its link; to one server,
/// by its address, it speaks like anyone else.
fn dhcp_servers() -> [(Field, Value, u16, Name); 2] {
    let all_servers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
    [
        (Field::DestinationIpv4, Value::Ipv4(Ipv4Addr::BROADCAST), 67, name::dhcp(IpFamily::Ipv4)),
        (Field::DestinationIpv6, Value::Ipv6(all_servers), 547, name::dhcp(IpFamily::Ipv6)),
    ]
}

fn dhcp_rules(table: &mut TableBuilder<'_>) -> Vec<Rule> {
    let rule = |(field, servers, port, name): (Field, Value, u16, Name)| {
        let mut set = Set::new(&[servers.value_type(), ValueType::Port]);
        let key = Key::Exact([servers, Value::Port(port)].into_iter().collect());
        set.elements.insert(key, Element::default());
        table.add_set(name.clone(), set);
        let fields = [field, Field::DestinationPortOf(Protocol::Udp)].into_iter().collect();
        Rule::verdict([Match::In(fields, SetRef::Named(name))], Verdict::Accept)
    };
    dhcp_servers().map(rule).to_vec()
}

fn anonymous(field: Field, set: Set) -> Match {
    Match::In([field].into_iter().collect(), SetRef::Anonymous(Box::new(set)))
}
