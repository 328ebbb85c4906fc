//! What a group of pods allows in one direction, merged over all its policies.
//!
//! Policies only ever add (S5), so what they allow together is a union of (peer, port) pairs, and can be turned
//! inside out exactly: ports first, and for each range of ports the peers. A packet then finds its answer in one
//! lookup of its port and a few of its peer, however many policies there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podwall_policy::{PortMatch, Ports, Protocol, Rule};

use crate::peers::PeerUnion;

/// Ingress or egress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the pod; the peer is the source.
    Ingress,
    /// From the pod; the peer is the destination.
    Egress,
}

impl Direction {
    /// The field's word.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }
}

/// What is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Program {
    /// Per protocol, disjoint ranges of destination ports, sorted, each with all who may use it: those of rules
    /// without ports included. No two neighbours have equal peers, and none has the peers of `rest`.
    pub segments: BTreeMap<Protocol, Vec<Segment>>,
    /// Who may use everything else: the peers of rules without ports. Other protocols, ICMP among them, are here
    /// and only here (S120).
    pub rest: PeerUnion,
    /// Egress only: what destination pods call by name. Which port that is differs from pod to pod (S102).
    pub named: BTreeSet<NamedPort>,
    /// The rules make more than [`PAIRS_MAX`] pairs: nothing is allowed, and everything else is empty.
    pub excessive: bool,
}

/// A range of ports and who may use it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
    /// Who may use it.
    pub peers: PeerUnion,
}

/// A port by name, on any of some peers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// The pods that may be meant.
    pub peers: PeerUnion,
    /// The protocol.
    pub protocol: Protocol,
    /// The name.
    pub name: Arc<str>,
}

/// The numbers that an ingress rule's port name has on the pods of a group (S100, S105).
pub type ResolvedPorts = BTreeMap<(Protocol, Arc<str>), BTreeSet<u16>>;

/// As many pairs of a peer and a range of ports may a program have. What policies of ordinary size say together is far
/// below; a single object of the API can say thousands of times as much, and every pair costs memory.
pub const PAIRS_MAX: usize = 250_000;

/// A reach of ports, with the number of the peers that may use it.
type Claim = (u16, u16, usize);

impl Program {
    /// Merges rules; each comes with the namespace of its policy. Names are looked up in `resolved` for ingress,
    /// and kept as names for egress, where the peer decides what they mean.
    pub fn merge<'a>(
        direction: Direction,
        rules: impl Iterator<Item = (&'a Arc<str>, &'a Rule)>,
        resolved: &ResolvedPorts,
    ) -> Self {
        Self::merge_within(direction, rules, resolved, PAIRS_MAX)
            .unwrap_or_else(|| Self { excessive: true, ..Self::default() })
    }

    /// `None` when there are more pairs of a peer and a range of ports than that.
    fn merge_within<'a>(
        direction: Direction,
        rules: impl Iterator<Item = (&'a Arc<str>, &'a Rule)>,
        resolved: &ResolvedPorts,
        mut pairs: usize,
    ) -> Option<Self> {
        let mut program = Self::default();
        let mut unions: Vec<PeerUnion> = Vec::new();
        let mut claims: BTreeMap<Protocol, Vec<Claim>> = BTreeMap::new();
        for (namespace, rule) in rules {
            let peers = PeerUnion::of(&rule.peers, namespace);
            let Ports::Only(ports) = &rule.ports else {
                pairs = pairs.checked_sub(peers.weight())?;
                program.rest.add(&peers);
                continue;
            };
            let index = unions.len();
            for port in ports {
                match port {
                    PortMatch::Unreadable => {}
                    PortMatch::Range { protocol, first, last } => {
                        claims.entry(*protocol).or_default().push((*first, *last, index));
                    }
                    PortMatch::Named { protocol, name } if direction == Direction::Egress => {
                        pairs = pairs.checked_sub(peers.weight())?;
                        let name = name.clone();
                        program.named.insert(NamedPort { peers: peers.clone(), protocol: *protocol, name });
                    }
                    PortMatch::Named { protocol, name } => {
                        let numbers = resolved.get(&(*protocol, name.clone())).into_iter().flatten();
                        claims
                            .entry(*protocol)
                            .or_default()
                            .extend(numbers.map(|number| (*number, *number, index)));
                    }
                }
            }
            unions.push(peers);
        }
        program.named.retain(|it| !it.peers.is_empty());
        for (protocol, claims) in claims {
            let segments = cut(&claims, &unions, &program.rest, &mut pairs)?;
            if !segments.is_empty() {
                program.segments.insert(protocol, segments);
            }
        }
        Some(program)
    }
}

/// Cuts the port space at every claim's lower bound and behind every upper bound: between two cuts the same claims
/// hold. `None` when there are not so many pairs left.
fn cut(claims: &[Claim], unions: &[PeerUnion], rest: &PeerUnion, pairs: &mut usize) -> Option<Vec<Segment>> {
    // What begins (true) and ends at a bound.
    let mut turns: Vec<(u32, bool, usize)> = Vec::with_capacity(2 * claims.len());
    for (first, last, union) in claims {
        turns.extend([(u32::from(*first), true, *union), (u32::from(*last) + 1, false, *union)]);
    }
    turns.sort_unstable();
    // The peers of the claims that hold, each with how many claims are theirs.
    let mut holding: BTreeMap<usize, usize> = BTreeMap::new();
    let mut segments: Vec<Segment> = Vec::new();
    let mut turns = turns.into_iter().peekable();
    while let Some((bound, begins, union)) = turns.next() {
        let count = holding.entry(union).or_default();
        if begins {
            *count += 1;
        } else if *count > 1 {
            *count -= 1;
        } else {
            holding.remove(&union);
        }
        let Some((next, ..)) = turns.peek().filter(|(next, ..)| *next > bound && !holding.is_empty()) else {
            continue;
        };
        let weight: usize = holding.keys().map(|union| unions[*union].weight()).sum();
        *pairs = pairs.checked_sub(weight + rest.weight())?;
        let [first, last] = [bound, next - 1].map(|port| u16::try_from(port).expect("a bound of u16 ports"));
        let mut peers = rest.clone();
        holding.keys().for_each(|union| peers.add(&unions[*union]));
        if peers == *rest {
            continue;
        }
        match segments.last_mut() {
            Some(before) if before.last + 1 == first && before.peers == peers => before.last = last,
            _ => segments.push(Segment { first, last, peers }),
        }
    }
    Some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use podwall_policy::{IpBlock, Peer, Peers};

    fn rule(block: &str, ports: &[(u16, u16)]) -> Rule {
        let peers = match block {
            "any" => Peers::Any,
            cidr => Peers::Only(vec![Peer::Block(IpBlock { cidr: cidr.parse().unwrap(), except: vec![] })]),
        };
        let port = |(first, last): &(u16, u16)| PortMatch::Range {
            protocol: Protocol::Tcp,
            first: *first,
            last: *last,
        };
        let ports = if ports.is_empty() { Ports::Any } else { Ports::Only(ports.iter().map(port).collect()) };
        Rule { peers, ports }
    }

    /// The segments as `first-last:blocks`.
    fn merged(rules: &[Rule]) -> Vec<String> {
        let namespace: Arc<str> = "default".into();
        let rules = rules.iter().map(|rule| (&namespace, rule));
        let program = Program::merge(Direction::Ingress, rules, &ResolvedPorts::new());
        let text = |it: &Segment| {
            let blocks: Vec<String> = it.peers.blocks.iter().map(|block| block.cidr.to_string()).collect();
            let peers = if it.peers.any { "any".to_owned() } else { blocks.join("+") };
            format!("{}-{}:{peers}", it.first, it.last)
        };
        program.segments.values().flatten().map(text).collect()
    }

    #[test]
    fn overlapping_ranges_are_cut_where_peers_differ() {
        let rules = [rule("10.0.0.0/8", &[(80, 90)]), rule("11.0.0.0/8", &[(85, 100), (85, 100)])];
        assert_eq!(merged(&rules), ["80-84:10.0.0.0/8", "85-90:10.0.0.0/8+11.0.0.0/8", "91-100:11.0.0.0/8"]);
    }

    #[test]
    fn neighbours_with_equal_peers_are_joined() {
        assert_eq!(
            merged(&[rule("10.0.0.0/8", &[(80, 80), (81, 81), (83, 83)])]),
            ["80-81:10.0.0.0/8", "83-83:10.0.0.0/8"]
        );
    }

    #[test]
    fn the_ends_of_the_port_space_s96() {
        assert_eq!(merged(&[rule("10.0.0.0/8", &[(0, u16::MAX)])]), ["0-65535:10.0.0.0/8"]);
        assert_eq!(merged(&[rule("any", &[(u16::MAX, u16::MAX), (0, 0)])]), ["0-0:any", "65535-65535:any"]);
    }

    #[test]
    fn rules_without_ports_are_in_every_segment_and_add_none_of_their_own() {
        let rules =
            [rule("12.0.0.0/8", &[]), rule("10.0.0.0/8", &[(80, 80)]), rule("12.0.0.0/8", &[(443, 443)])];
        assert_eq!(merged(&rules), ["80-80:10.0.0.0/8+12.0.0.0/8"]);
    }

    /// A rule of one block each, whose ranges all overlap: n rules make n² pairs.
    fn overlapping(count: u16) -> Program {
        let rules: Vec<Rule> = (0..count)
            .map(|number| {
                rule(&format!("10.{}.{}.0/24", number >> 8, number & 255), &[(number, u16::MAX - number)])
            })
            .collect();
        let namespace: Arc<str> = "default".into();
        let rules = rules.iter().map(|rule| (&namespace, rule));
        Program::merge(Direction::Ingress, rules, &ResolvedPorts::new())
    }

    #[test]
    fn what_says_too_much_allows_nothing() {
        let within = overlapping(300);
        assert!(!within.excessive);
        assert_eq!(within.segments[&Protocol::Tcp].len(), 599);
        assert_eq!(overlapping(700), Program { excessive: true, ..Program::default() });
    }

    #[test]
    fn every_pair_of_a_peer_and_a_range_is_counted() {
        let holed = |ports: &[(u16, u16)]| {
            let except = ["10.1.0.0/16", "10.2.0.0/16"].map(|net| net.parse().unwrap()).to_vec();
            let block = IpBlock { cidr: "10.0.0.0/8".parse().unwrap(), except };
            Rule { peers: Peers::Only(vec![Peer::Block(block)]), ..rule("any", ports) }
        };
        let named = Ports::Only(vec![PortMatch::Named { protocol: Protocol::Tcp, name: "http".into() }]);
        let cases = [
            (Direction::Ingress, vec![rule("any", &[])], 1),
            (Direction::Ingress, vec![rule("10.0.0.0/8", &[])], 2),
            (Direction::Ingress, vec![holed(&[])], 4),
            (Direction::Ingress, vec![holed(&[(80, 80), (90, 90)])], 2 * (4 + 1)),
            // What is allowed at all ports is in every range.
            (
                Direction::Ingress,
                vec![rule("11.0.0.0/8", &[]), holed(&[(80, 80), (90, 90)])],
                2 + 2 * (4 + 2),
            ),
            (Direction::Egress, vec![Rule { ports: named, ..holed(&[]) }], 4),
        ];
        for (direction, rules, pairs) in cases {
            let namespace: Arc<str> = "default".into();
            let within = |most| {
                let rules = rules.iter().map(|rule| (&namespace, rule));
                Program::merge_within(direction, rules, &ResolvedPorts::new(), most).is_some()
            };
            assert!(within(pairs) && !within(pairs - 1), "{rules:?}: {pairs}");
        }
    }

    #[test]
    fn any_peer_absorbs_the_others_s97() {
        assert_eq!(
            merged(&[rule("any", &[(0, u16::MAX)]), rule("10.0.0.0/8", &[(80, 80)])]),
            ["0-65535:any"]
        );
        assert!(merged(&[rule("any", &[]), rule("10.0.0.0/8", &[(80, 80)])]).is_empty());
    }
}
