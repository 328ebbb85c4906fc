//! The addresses that may still be given out.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::PlacementOptions;
use crate::cluster::Cluster;

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Range {
    /// Nodes, from the address of this index on.
    Nodes { first: usize },
    /// The pods of the node with this index.
    Pods { node: usize },
    /// Services.
    Services,
}

/// What is in use, and by what right.
pub(super) struct Pool {
    /// True for IPv4; the families that are enabled.
    families: Vec<bool>,
    /// Given by manifests.
    pinned: HashSet<IpAddr>,
    /// In use now, `pinned` included.
    used: HashSet<IpAddr>,
    /// In use before: kept by its owner, and given to nobody else.
    reserved: HashSet<IpAddr>,
    /// How many addresses of a range were given out or passed over.
    next: BTreeMap<(Range, bool), u64>,
}

impl Pool {
    pub fn new(options: &PlacementOptions, previous: &Cluster) -> Self {
        let nodes = previous.nodes.values().flat_map(|node| &node.addresses);
        let pods = previous.pods.values().flat_map(|pod| &pod.addresses);
        let services = previous.services.values().flat_map(|service| &service.cluster_addresses);
        Self {
            families: [(true, options.ipv4), (false, options.ipv6)]
                .into_iter()
                .filter_map(|(family, enabled)| enabled.then_some(family))
                .collect(),
            pinned: HashSet::new(),
            used: HashSet::new(),
            reserved: nodes.chain(pods).chain(services).copied().collect(),
            next: BTreeMap::new(),
        }
    }

    /// Takes what manifests give.
    pub fn take<'a>(&mut self, addresses: impl IntoIterator<Item = &'a IpAddr>) {
        for address in addresses {
            self.pinned.insert(*address);
            self.used.insert(*address);
        }
    }

    /// True when manifests give one of these.
    pub fn is_pinned(&self, addresses: &[IpAddr]) -> bool {
        addresses.iter().any(|address| self.pinned.contains(address))
    }

    /// Of the addresses that something had before, those it may keep.
    pub fn keep(&mut self, before: &[IpAddr]) -> Vec<IpAddr> {
        let families = self.families.clone();
        let enabled = before.iter().filter(|address| families.contains(&address.is_ipv4()));
        enabled.filter(|address| self.used.insert(**address)).copied().collect()
    }

    /// Adds an address of each enabled family that is missing.
    pub fn complete(&mut self, addresses: &mut Vec<IpAddr>, range: Range) {
        for ipv4 in self.families.clone() {
            if !addresses.iter().any(|address| address.is_ipv4() == ipv4) {
                addresses.push(self.assign(range, ipv4));
            }
        }
        // IPv4 first, as a cluster with both usually has it.
        addresses.sort();
    }

    fn assign(&mut self, range: Range, ipv4: bool) -> IpAddr {
        let next = self.next.entry((range, ipv4)).or_default();
        loop {
            let address = range.address(*next, ipv4);
            *next += 1;
            if !self.reserved.contains(&address) && self.used.insert(address) {
                return address;
            }
        }
    }
}

impl Range {
    /// The address of this index: distinct for distinct indices of one range, as far as the family reaches.
    fn address(self, index: u64, ipv4: bool) -> IpAddr {
        match self {
            Range::Nodes { first } if ipv4 => sequence([172, 18, 0, 10], first as u64 + index),
            Range::Nodes { first } => sequence6([0xfc00, 0xf853, 0xccd, 0xe793], 0x10 + first as u64 + index),
            Range::Services if ipv4 => sequence([10, 96, 0, 10], index),
            Range::Services => sequence6([0xfd00, 0x10, 0x96, 0], 0x10 + index),
            Range::Pods { node } if ipv4 => {
                // 250 pods in each block; the blocks of a node are 10.244.n, 10.245.n, ..., then 10.243.n down.
                let block = index / 250 + node as u64 / 256;
                let second = if block % 128 < 12 { 244 + block % 128 } else { 255 - block % 128 };
                let first = (10 + block / 128) as u8;
                IpAddr::V4(Ipv4Addr::new(first, second as u8, node as u8, (2 + index % 250) as u8))
            }
            Range::Pods { node } => sequence6([0xfd00, 0x10, 0x244, node as u16], 2 + index),
        }
    }
}

/// The addresses from this one on, without those that end in 0 or 255, which some tools refuse.
fn sequence(start: [u8; 4], index: u64) -> IpAddr {
    let offset = index + u64::from(start[3]) - 1;
    let base = u32::from_be_bytes([start[0], start[1], start[2], 0]);
    IpAddr::V4(Ipv4Addr::from_bits(base.wrapping_add((offset / 254 * 256 + offset % 254 + 1) as u32)))
}

fn sequence6(network: [u16; 4], index: u64) -> IpAddr {
    let [a, b, c, d] = network;
    IpAddr::V6(Ipv6Addr::from_bits(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_bits() | u128::from(index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let text = |range: Range, index, ipv4| range.address(index, ipv4).to_string();
        assert_eq!(text(Range::Nodes { first: 0 }, 0, true), "172.18.0.10");
        assert_eq!(text(Range::Nodes { first: 244 }, 0, true), "172.18.0.254");
        assert_eq!(text(Range::Nodes { first: 245 }, 0, true), "172.18.1.1");
        assert_eq!(text(Range::Nodes { first: 1 }, 0, false), "fc00:f853:ccd:e793::11");
        assert_eq!(text(Range::Nodes { first: 1 }, 2, false), "fc00:f853:ccd:e793::13");
        assert_eq!(text(Range::Services, 0, true), "10.96.0.10");
        assert_eq!(text(Range::Services, 1, false), "fd00:10:96::11");
        assert_eq!(text(Range::Pods { node: 1 }, 0, true), "10.244.1.2");
        assert_eq!(text(Range::Pods { node: 1 }, 249, true), "10.244.1.251");
        assert_eq!(text(Range::Pods { node: 1 }, 250, true), "10.245.1.2");
        assert_eq!(text(Range::Pods { node: 1 }, 3000, true), "10.243.1.2");
        assert_eq!(text(Range::Pods { node: 3 }, 0, false), "fd00:10:244:3::2");
        assert_eq!(text(Range::Pods { node: 256 }, 0, true), "10.245.0.2");
        for node in [0, 255, 256, 70_000, usize::MAX] {
            for index in [0, 10_000, u32::MAX.into()] {
                text(Range::Pods { node }, index, true);
                text(Range::Pods { node }, index, false);
            }
        }
    }
}
