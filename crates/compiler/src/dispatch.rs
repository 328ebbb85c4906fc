//! Base chains, and the maps that lead from a pod's interface to its group.
//!
//! ```text
//! forward   established and related; on bridges, neighbour discovery     accept
//!           a pod to itself through its Service              accept
//!           from an isolated pod                             jump egress/...
//!           to an isolated pod                               jump ingress/...
//! input     the same, for what a pod sends to its own node: egress only
//! output    nothing of ours: what the node sends is allowed, by origin and not by address (S60, S61)
//! ```
//!
//! Egress is judged first and returns when it allows, so that a pod on the same node is still asked for its
//! ingress (S152); the chains are jumped to, because a goto from a base chain never comes back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podwall_policy::{Consequence, Mode, ObjectKey, Problem};
use podwall_ruleset::{
    BaseChain, Chain, ChainType, Comment, CtState, Element, Field, Hook, InterfaceName, IpFamily, Key, Match,
    Name, Protocol, Rule, Set, SetRef, Statement, Value, ValueType, Verdict,
};

use crate::NodeOptions;
use crate::flow_log;
use crate::frame::{Frame, Shape};
use crate::local::{Contribution, LocalPod, LocalSet, TableKind};
use crate::name;
use crate::program::Direction;
use crate::unknown;
use crate::value::{FAMILIES, address_value, family_of, peer_field};

/// A little before `filter`, where iptables, Calico and kube-router are, and after kube-proxy's translation and
/// filters: no base chain that we know of has this priority, so the order on a hook is never left to chance.
const PRIORITY: i32 = -5;

const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];
/// What is behind an interface or address that is closed.
const CLOSED: &str = "closed: no known pod";

/// Adds the base chains, and the maps and sets that they look up.
pub fn add_frame(options: &NodeOptions, shape: Shape, frame: &mut Frame) {
    let mut forward = first_rules(options);
    if shape.by_address || options.unknown_pods.is_of_bridges() {
        forward.push(neighbour_rule());
    }
    let mut input = first_rules(options);
    input.push(neighbour_rule());
    input.extend(dhcp_rules(frame));
    forward.extend(hairpin_rules(shape));
    forward.extend(unknown::add_frame(options, frame));
    // What is denied is gone before policies in audit mode are asked.
    let modes = if shape.audits { &[Mode::Enforce, Mode::Audit][..] } else { &[Mode::Enforce] };
    for mode in modes {
        let egress = dispatch_rules(*mode, Direction::Egress, shape);
        forward.extend(egress.iter().cloned());
        input.extend(egress);
        forward.extend(dispatch_rules(*mode, Direction::Ingress, shape));
        let sets = DIRECTIONS.into_iter().flat_map(|it| dispatch_sets(*mode, it, shape));
        frame.local_sets.extend(sets.map(|(_, set)| set));
    }
    let passed = flow_log::add_frame(options, shape, frame);
    forward.extend(passed.clone());
    input.extend(passed);
    frame.local_sets.insert(LocalSet::Hairpin);
    if shape.by_address {
        frame.local_sets.extend(FAMILIES.map(LocalSet::HairpinByAddress));
    }
    let mut base_chains = vec![(Hook::Input, "input", input), (Hook::Forward, "forward", forward)];
    let output = options.revoked_mark.map(|bit| vec![drop_revoked(bit)]);
    base_chains.extend(output.map(|rules| (Hook::Output, "output", rules)));
    for (hook, word, rules) in base_chains {
        let base = BaseChain { chain_type: ChainType::Filter, hook, priority: PRIORITY };
        let chain = Chain { base: Some(base), comment: None, rules };
        frame.add_chain(TableKind::Packets, name::base_chain(word), chain);
    }
}

/// Adds what an interface leads to. Two pods behind one cannot be told apart, so it is closed; and so is one that
/// is to be closed, whoever is behind it (S83).
pub fn add_interface(
    interface: &InterfaceName,
    pods: &[&LocalPod],
    closed: bool,
    contribution: &mut Contribution,
) {
    let names = || pods.iter().map(|pod| pod.key.to_string()).collect::<Vec<_>>().join(", ");
    let interface = Value::Interface(interface.clone());
    for direction in DIRECTIONS {
        let (verdict, comment) = match pods {
            _ if closed => (Verdict::Drop, CLOSED.to_owned()),
            [] => continue,
            [pod] => match pod.enforced.chain(direction) {
                Some(chain) => (Verdict::Jump(chain.clone()), names()),
                None => continue,
            },
            _ => (Verdict::Drop, names()),
        };
        let element = Element { verdict: Some(verdict), comment: Some(Comment::new(&comment)) };
        contribution.add(LocalSet::Dispatch(direction), Key::one(interface.clone()), element);
    }
    let [pod] = pods else { return };
    if closed {
        return;
    }
    for direction in DIRECTIONS {
        if let Some(element) = audit_element(pod, direction) {
            contribution.add(LocalSet::Audit(direction), Key::one(interface.clone()), element);
        }
    }
    if pod.enforced.any() || pod.audited.any() {
        let pair = Key::Exact([interface.clone(), interface].into_iter().collect());
        contribution.add(LocalSet::Hairpin, pair, Element::default());
    }
}

fn audit_element(pod: &LocalPod, direction: Direction) -> Option<Element> {
    let verdict = Verdict::Jump(pod.audited.chain(direction)?.clone());
    Some(Element { verdict: Some(verdict), comment: Some(Comment::new(&pod.key.to_string())) })
}

/// Adds what an address leads to: the group of the pod that owns it, if that pod has no interface of its own. One
/// that is to be closed is closed unless a pod of this node owns it (S83, S84).
pub fn add_address(address: IpAddr, owner: Option<&LocalPod>, closed: bool, contribution: &mut Contribution) {
    let (family, value) = (family_of(&address), address_value(address));
    for direction in DIRECTIONS {
        let (verdict, comment) = match owner {
            Some(pod) if pod.routed_interface().is_some() => continue,
            Some(pod) => match pod.enforced.chain(direction) {
                Some(chain) => (Verdict::Jump(chain.clone()), pod.key.to_string()),
                None => continue,
            },
            None if closed => (Verdict::Drop, CLOSED.to_owned()),
            None => continue,
        };
        let element = Element { verdict: Some(verdict), comment: Some(Comment::new(&comment)) };
        contribution.add(LocalSet::DispatchByAddress(direction, family), Key::one(value.clone()), element);
    }
    let Some(pod) = owner.filter(|pod| pod.routed_interface().is_none()) else { return };
    for direction in DIRECTIONS {
        if let Some(element) = audit_element(pod, direction) {
            contribution.add(LocalSet::AuditByAddress(direction, family), Key::one(value.clone()), element);
        }
    }
    if pod.enforced.any() || pod.audited.any() {
        let pair = Key::Exact([value.clone(), value].into_iter().collect());
        contribution.add(LocalSet::HairpinByAddress(family), pair, Element::default());
    }
}

/// What to say of an interface that several pods are behind.
pub fn conflict(interface: &InterfaceName, pods: [&ObjectKey; 2]) -> Problem {
    Problem {
        file: None,
        line: None,
        object: Some(format!("Pod {}", pods[0])),
        field: None,
        message: format!(
            "interface {interface} is also that of pod {}: both are closed until each pod has one of its own",
            pods[1]
        ),
        consequence: Consequence::Closed,
    }
}

/// S73. By interface, the pair cannot be forged: the packet goes back to where it came from. A pod's packet to its own
/// address never leaves the pod, so that what comes here was translated; and asking for that first spares everybody
/// else the lookup.
fn hairpin_rules(shape: Shape) -> Vec<Rule> {
    let found = |fields: [Field; 2], set: Name| {
        let pair = Match::In(fields.into_iter().collect(), SetRef::Named(set));
        Rule::verdict([Match::CtStatusDnat, pair], Verdict::Accept)
    };
    let mut rules = vec![found([Field::InputInterface, Field::OutputInterface], name::hairpin())];
    if shape.by_address {
        rules.extend(FAMILIES.map(|family| {
            let fields = [Direction::Ingress, Direction::Egress].map(|it| peer_field(it, family));
            found(fields, name::hairpin_by_address(family))
        }));
    }
    rules
}

fn dispatch_rules(mode: Mode, direction: Direction, shape: Shape) -> Vec<Rule> {
    let look_up = |(field, map): (Field, LocalSet)| {
        Rule::new([], Statement::VerdictMap([field].into_iter().collect(), SetRef::Named(map.name())))
    };
    dispatch_sets(mode, direction, shape).into_iter().map(look_up).collect()
}

/// What is looked up where.
fn dispatch_sets(mode: Mode, direction: Direction, shape: Shape) -> Vec<(Field, LocalSet)> {
    let interface = match direction {
        Direction::Egress => Field::InputInterface,
        Direction::Ingress => Field::OutputInterface,
    };
    let by_interface = match mode {
        Mode::Enforce => LocalSet::Dispatch(direction),
        Mode::Audit => LocalSet::Audit(direction),
    };
    let mut sets = vec![(interface, by_interface)];
    if shape.by_address {
        // The pod's own address: the source of what it sends, which is the peer's field of the other direction.
        let other = if direction == Direction::Egress { Direction::Ingress } else { Direction::Egress };
        sets.extend(FAMILIES.map(|family| {
            let by_address = match mode {
                Mode::Enforce => LocalSet::DispatchByAddress(direction, family),
                Mode::Audit => LocalSet::AuditByAddress(direction, family),
            };
            (peer_field(other, family), by_address)
        }));
    }
    sets
}
/// S50: replies and ICMP errors of what was allowed, unless it was revoked since.
fn first_rules(options: &NodeOptions) -> Vec<Rule> {
    let mut established =
        vec![Match::CtState([CtState::Established, CtState::Related].into_iter().collect())];
    established.extend(options.revoked_mark.map(|bit| Match::CtMark { mask: bit, value: 0 }));
    let mut rules = vec![Rule::verdict(established, Verdict::Accept)];
    rules.extend(options.revoked_mark.map(drop_revoked));
    rules
}

/// S121: neighbour discovery and multicast listeners, without which IPv6 does not work. They are spoken on one link: the
/// node hears them in input, and what a bridge passes on is seen in forward. They are never routed, so where pods are
/// not on a bridge nobody's new connection pays for the question.
fn neighbour_rule() -> Rule {
    let mut types = Set::new(&[ValueType::Icmpv6Type]).of_ranges();
    for (first, last) in [(130, 137), (143, 143)] {
        let key = Key::Range(Value::Icmpv6Type(first), Value::Icmpv6Type(last));
        types.elements.insert(key, Element::default());
    }
    Rule::verdict([anonymous(Field::Icmpv6Type, types)], Verdict::Accept)
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

fn dhcp_rules(frame: &mut Frame) -> Vec<Rule> {
    let rule = |(field, servers, port, name): (Field, Value, u16, Name)| {
        let mut set = Set::new(&[servers.value_type(), ValueType::Port]);
        let key = Key::Exact([servers, Value::Port(port)].into_iter().collect());
        set.elements.insert(key, Element::default());
        frame.constants.insert((TableKind::Packets, name.clone()), set);
        let fields = [field, Field::DestinationPortOf(Protocol::Udp)].into_iter().collect();
        Rule::verdict([Match::In(fields, SetRef::Named(name))], Verdict::Accept)
    };
    dhcp_servers().map(rule).to_vec()
}

fn anonymous(field: Field, set: Set) -> Match {
    Match::In([field].into_iter().collect(), SetRef::Anonymous(Box::new(set)))
}
