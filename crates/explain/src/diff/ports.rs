//! The ports, cut at every bound that a policy names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use podwall_policy::{Protocol, Transport};

/// Ports of one protocol, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    pub protocol: Protocol,
    pub first: u16,
    pub last: u16,
}

/// What rules cannot tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    Ports(Range),
    /// Every protocol that has no ports.
    Other,
}

impl Piece {
    /// One of the piece.
    pub fn transport(self) -> Transport {
        match self {
            Piece::Ports(range) => Transport::Port(range.protocol, range.first),
            Piece::Other => Transport::Other,
        }
    }
}

/// All that may be spoken, cut at the bounds of these ranges.
pub fn pieces(named: [&[Range]; 3]) -> Vec<Piece> {
    let mut pieces = vec![Piece::Other];
    for protocol in Protocol::ALL {
        let ranges = named.into_iter().flatten().filter(|range| range.protocol == protocol);
        let bounds = ranges.flat_map(|range| [u32::from(range.first), u32::from(range.last) + 1]);
        let cuts: BTreeSet<u32> = bounds.chain([0, 65_536]).collect();
        let cuts: Vec<u32> = cuts.into_iter().collect();
        pieces.extend(
            cuts.windows(2).map(|pair| {
                Piece::Ports(Range { protocol, first: pair[0] as u16, last: (pair[1] - 1) as u16 })
            }),
        );
    }
    pieces
}

/// A set of what may be spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet {
    /// Sorted, disjoint, never adjacent.
    ports: BTreeMap<Protocol, Vec<(u16, u16)>>,
    other: bool,
}

impl PortSet {
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && !self.other
    }

    /// Adds a piece; those of one protocol come in their order.
    pub fn add(&mut self, piece: Piece) {
        let Piece::Ports(Range { protocol, first, last }) = piece else {
            self.other = true;
            return;
        };
        let ranges = self.ports.entry(protocol).or_default();
        match ranges.last_mut() {
            Some((_, end)) if u32::from(*end) + 1 == u32::from(first) => *end = last,
            _ => ranges.push((first, last)),
        }
    }

    /// All that may be spoken.
    pub fn everything() -> Self {
        Self::default().complement()
    }

    /// What is in both.
    pub fn intersection(&self, other: &PortSet) -> PortSet {
        let mut ports = BTreeMap::new();
        for (protocol, own) in &self.ports {
            let Some(theirs) = other.ports.get(protocol) else { continue };
            let mut both = Vec::new();
            let (mut mine, mut yours) = (own.iter().peekable(), theirs.iter().peekable());
            while let (Some((a, b)), Some((c, d))) = (mine.peek(), yours.peek()) {
                let (first, last) = (*a.max(c), *b.min(d));
                if first <= last {
                    both.push((first, last));
                }
                if b < d {
                    mine.next()
                } else {
                    yours.next()
                };
            }
            if !both.is_empty() {
                ports.insert(*protocol, both);
            }
        }
        PortSet { ports, other: self.other && other.other }
    }

    /// What is in it and not in the other.
    pub fn without(&self, other: &PortSet) -> PortSet {
        match self == other {
            true => PortSet::default(),
            false => self.intersection(&other.complement()),
        }
    }

    #[cfg(test)]
    pub fn contains(&self, transport: Transport) -> bool {
        match transport {
            Transport::Other => self.other,
            Transport::Port(protocol, port) => {
                let ranges = self.ports.get(&protocol).map(Vec::as_slice).unwrap_or_default();
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&port))
            }
        }
    }

    /// Everything that is not in it.
    pub fn complement(&self) -> PortSet {
        let mut ports = BTreeMap::new();
        for protocol in Protocol::ALL {
            let mut rest = Vec::new();
            let mut next = 0_u32;
            for (first, last) in self.ports.get(&protocol).into_iter().flatten() {
                if next < u32::from(*first) {
                    rest.push((next as u16, first - 1));
                }
                next = u32::from(*last) + 1;
            }
            if next < 65_536 {
                rest.push((next as u16, u16::MAX));
            }
            if !rest.is_empty() {
                ports.insert(protocol, rest);
            }
        }
        PortSet { ports, other: !self.other }
    }

    fn parts(&self) -> Vec<String> {
        let mut parts = Vec::new();
        for (protocol, ranges) in &self.ports {
            parts.extend(ranges.iter().map(|range| match range {
                (0, u16::MAX) => protocol.to_string(),
                (first, last) if first == last => format!("{protocol}/{first}"),
                (first, last) => format!("{protocol}/{}-{last}", (*first).max(1)),
            }));
        }
        parts.extend(self.other.then(|| "ICMP and other protocols".to_owned()));
        parts
    }
}

/// `TCP/80, UDP/53`, or what is left out where that is shorter: `everything except TCP/80`.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (own, rest) = (self.parts(), self.complement().parts());
        match rest.is_empty() {
            true => f.write_str("everything"),
            false if rest.len() < own.len() => write!(f, "everything except {}", rest.join(", ")),
            false => f.write_str(&own.join(", ")),
        }
    }
}

#[test]
fn sets_of_ports_in_words() {
    let range = |first, last| Range { protocol: Protocol::Tcp, first, last };
    let text = |chosen: &dyn Fn(&Piece) -> bool| {
        let mut set = PortSet::default();
        pieces([&[range(80, 80), range(8000, 8080)], &[], &[]])
            .into_iter()
            .filter(|it| chosen(it))
            .for_each(|it| set.add(it));
        set.to_string()
    };
    let is = |port: u16| move |piece: &Piece| piece.transport() == Transport::Port(Protocol::Tcp, port);
    assert_eq!(text(&|_| true), "everything");
    assert_eq!(text(&is(80)), "TCP/80");
    assert_eq!(text(&is(8000)), "TCP/8000-8080");
    assert_eq!(text(&|piece| !is(80)(piece)), "everything except TCP/80");
    assert_eq!(text(&|piece| matches!(piece, Piece::Ports(it) if it.protocol == Protocol::Udp)), "UDP");
}
