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

/// A reach of ports with the peers of the rule that names it.
type Claim<'a> = (u16, u16, &'a PeerUnion);

impl Program {
    /// Merges rules; each comes with the namespace of its policy. Names are looked up in `resolved` for ingress,
    /// and kept as names for egress, where the peer decides what they mean.
    pub fn merge<'a>(
        direction: Direction,
        rules: impl Iterator<Item = (&'a Arc<str>, &'a Rule)>,
        resolved: &ResolvedPorts,
    ) -> Self {
        let mut program = Self::default();
        let mut claims: BTreeMap<Protocol, Vec<(u16, u16, PeerUnion)>> = BTreeMap::new();
        for (namespace, rule) in rules {
            let peers = PeerUnion::of(&rule.peers, namespace);
            let Ports::Only(ports) = &rule.ports else {
                program.rest.add(&peers);
                continue;
            };
            for port in ports {
                match port {
                    PortMatch::Unreadable => {}
                    PortMatch::Range { protocol, first, last } => {
                        claims.entry(*protocol).or_default().push((*first, *last, peers.clone()));
                    }
                    PortMatch::Named { protocol, name } if direction == Direction::Egress => {
                        let name = name.clone();
                        program.named.insert(NamedPort { peers: peers.clone(), protocol: *protocol, name });
                    }
                    PortMatch::Named { protocol, name } => {
                        for number in resolved.get(&(*protocol, name.clone())).into_iter().flatten() {
                            claims.entry(*protocol).or_default().push((*number, *number, peers.clone()));
                        }
                    }
                }
            }
        }
        program.named.retain(|it| !it.peers.is_empty());
        for (protocol, claims) in claims {
            let claims: Vec<Claim> =
                claims.iter().map(|(first, last, peers)| (*first, *last, peers)).collect();
            let segments = cut(&claims, &program.rest);
            if !segments.is_empty() {
                program.segments.insert(protocol, segments);
            }
        }
        program
    }
}

/// Cuts the port space at every claim's lower bound and behind every upper bound: between two cuts the same
/// claims hold.
fn cut(claims: &[Claim], rest: &PeerUnion) -> Vec<Segment> {
    let bounds = claims.iter().flat_map(|(first, last, _)| [u32::from(*first), u32::from(*last) + 1]);
    let bounds: Vec<u32> = bounds.collect::<BTreeSet<u32>>().into_iter().collect();
    let mut segments: Vec<Segment> = Vec::new();
    for pair in bounds.windows(2) {
        let [first, last] =
            [pair[0], pair[1] - 1].map(|port| u16::try_from(port).expect("a bound of u16 ports"));
        let mut peers = rest.clone();
        for (_, _, of_claim) in claims.iter().filter(|(from, to, _)| *from <= first && last <= *to) {
            peers.add(of_claim);
        }
        if peers == *rest {
            continue;
        }
        match segments.last_mut() {
            Some(before) if before.last + 1 == first && before.peers == peers => before.last = last,
            _ => segments.push(Segment { first, last, peers }),
        }
    }
    segments
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

    #[test]
    fn any_peer_absorbs_the_others_s97() {
        assert_eq!(
            merged(&[rule("any", &[(0, u16::MAX)]), rule("10.0.0.0/8", &[(80, 80)])]),
            ["0-65535:any"]
        );
        assert!(merged(&[rule("any", &[]), rule("10.0.0.0/8", &[(80, 80)])]).is_empty());
    }
}
