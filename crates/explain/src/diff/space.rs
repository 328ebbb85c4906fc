//! The addresses outside the cluster, cut at every bound of a block that a policy names.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::class::Asked;
use crate::snapshot::Snapshot;

/// Addresses of one family that no block tells apart, both ends included. As numbers: those of IPv4 in the low bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRange {
    pub ipv4: bool,
    pub first: u128,
    pub last: u128,
    /// One of them that is no pod's.
    pub example: IpAddr,
}

fn highest(ipv4: bool) -> u128 {
    if ipv4 { u32::MAX.into() } else { u128::MAX }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn address(ipv4: bool, number: u128) -> IpAddr {
    match ipv4 {
        true => IpAddr::V4(Ipv4Addr::from(number as u32)),
        false => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

/// All addresses of both families, in pieces. Pieces that are all pods' are left out.
pub fn ranges(before: &Snapshot, after: &Snapshot) -> Vec<AddressRange> {
    let blocks = Asked::of(before, after).blocks;
    let pods: BTreeSet<IpAddr> = [before, after]
        .into_iter()
        .flat_map(|state| state.cluster.pods.values())
        .filter(|pod| pod.takes_part())
        .flat_map(|pod| pod.addresses.iter().copied())
        .collect();
    let mut found = Vec::new();
    for ipv4 in [true, false] {
        for (first, last) in cut(&blocks, ipv4) {
            // Not the first and last addresses of all, which are nobody's.
            let mut candidates = (first..=last).map(|it| address(ipv4, it)).take(pods.len() + 2);
            if let Some(example) = candidates.find(|it| !pods.contains(it)) {
                found.push(AddressRange { ipv4, first, last, example });
            }
        }
    }
    found
}

fn cut(blocks: &BTreeSet<IpNet>, ipv4: bool) -> Vec<(u128, u128)> {
    let of_family = blocks.iter().filter(|block| block.addr().is_ipv4() == ipv4);
    // Where pieces begin: a block's first address, and the one after its last.
    let mut begins = BTreeSet::from([0]);
    for block in of_family {
        begins.insert(number(block.network()));
        begins.extend(number(block.broadcast()).checked_add(1).filter(|next| *next <= highest(ipv4)));
    }
    let begins: Vec<u128> = begins.into_iter().collect();
    let ends = begins.iter().skip(1).map(|next| next - 1).chain([highest(ipv4)]);
    begins.iter().copied().zip(ends).collect()
}

/// Pieces in words: as blocks, or by what is left out where that is shorter; of that, the first `most`.
pub fn names(pieces: &[&AddressRange], most: usize) -> Vec<String> {
    let mut names = Vec::new();
    for ipv4 in [true, false] {
        let mut merged: Vec<(u128, u128)> = Vec::new();
        for piece in pieces.iter().filter(|piece| piece.ipv4 == ipv4) {
            match merged.last_mut() {
                Some((_, end)) if end.checked_add(1) == Some(piece.first) => *end = piece.last,
                _ => merged.push((piece.first, piece.last)),
            }
        }
        if merged.is_empty() {
            continue;
        }
        let family = if ipv4 { "IPv4" } else { "IPv6" };
        let (own, rest) = (blocks(ipv4, &merged), blocks(ipv4, &complement(ipv4, &merged)));
        match rest.is_empty() {
            true => names.push(format!("all of {family} outside")),
            false if rest.len() < own.len() => {
                names.push(format!("all of {family} outside except {}", crate::page::listed(&rest, most)));
            }
            false => names.extend(own),
        }
    }
    names
}

fn complement(ipv4: bool, ranges: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let mut rest = Vec::new();
    let mut next = Some(0);
    for (first, last) in ranges {
        if let Some(next) = next.filter(|next| next < first) {
            rest.push((next, first - 1));
        }
        next = last.checked_add(1);
    }
    rest.extend(next.filter(|next| *next <= highest(ipv4)).map(|next| (next, highest(ipv4))));
    rest
}

fn blocks(ipv4: bool, ranges: &[(u128, u128)]) -> Vec<String> {
    let of = |(first, last): &(u128, u128)| -> Vec<String> {
        match (address(ipv4, *first), address(ipv4, *last)) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Ipv4Subnets::new(first, last, 0).map(|block| block.to_string()).collect()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Ipv6Subnets::new(first, last, 0).map(|block| block.to_string()).collect()
            }
            _ => Vec::new(),
        }
    };
    ranges.iter().flat_map(of).collect()
}
