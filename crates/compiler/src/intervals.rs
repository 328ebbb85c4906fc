//! Addresses as disjoint ranges: blocks less what they except, in canonical form.
//!
//! The kernel refuses overlapping ranges in one set, and an `except` takes away from its own block only (S130,
//! S139): so each block is cut first, and then all are merged.

use ipnet::IpNet;
use podwall_policy::IpBlock;

/// Disjoint ranges of the addresses of each family, sorted, neighbours merged; both ends included. Addresses are
/// numbers: `u32` widened for IPv4.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRanges {
    /// IPv4
    pub ipv4: Vec<(u128, u128)>,
    /// IPv6
    pub ipv6: Vec<(u128, u128)>,
}

impl AddressRanges {
    /// What the blocks hold, together.
    pub fn of<'a>(blocks: impl Iterator<Item = &'a IpBlock>) -> Self {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for block in blocks {
            let ranges = if block.cidr.addr().is_ipv4() { &mut ipv4 } else { &mut ipv6 };
            let same_family = |net: &&IpNet| net.addr().is_ipv4() == block.cidr.addr().is_ipv4();
            let except = block.except.iter().filter(same_family).map(range_of).collect();
            ranges.extend(subtract(range_of(&block.cidr), merge(except)));
        }
        Self { ipv4: merge(ipv4), ipv6: merge(ipv6) }
    }
}

fn range_of(net: &IpNet) -> (u128, u128) {
    match net {
        IpNet::V4(net) => (u32::from(net.network()).into(), u32::from(net.broadcast()).into()),
        IpNet::V6(net) => (net.network().into(), net.broadcast().into()),
    }
}

/// `from` less the disjoint, sorted `holes`.
fn subtract(from: (u128, u128), holes: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    let (mut first, last) = from;
    let mut rest = Vec::new();
    for (hole_first, hole_last) in holes {
        if hole_last < first || hole_first > last {
            continue;
        }
        if hole_first > first {
            rest.push((first, hole_first - 1));
        }
        match hole_last.checked_add(1) {
            Some(next) if next <= last => first = next,
            _ => return rest,
        }
    }
    rest.push((first, last));
    rest
}

/// Sorts, and joins what overlaps or touches.
pub fn merge(mut ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(cidr: &str, except: &[&str]) -> IpBlock {
        IpBlock { cidr: cidr.parse().unwrap(), except: except.iter().map(|it| it.parse().unwrap()).collect() }
    }

    fn of(blocks: &[IpBlock]) -> AddressRanges {
        AddressRanges::of(blocks.iter())
    }

    #[test]
    fn an_except_takes_from_its_own_block_only_s139() {
        let ranges = of(&[block("10.0.0.0/24", &["10.0.0.0/25"]), block("10.0.0.64/26", &[])]);
        assert_eq!(ranges.ipv4, [(0x0a00_0040, 0x0a00_00ff)]);
    }

    #[test]
    fn whole_families_and_their_ends_s134() {
        assert_eq!(of(&[block("0.0.0.0/0", &[])]).ipv4, [(0, u32::MAX.into())]);
        assert_eq!(of(&[block("::/0", &[])]).ipv6, [(0, u128::MAX)]);
        assert_eq!(of(&[block("0.0.0.0/0", &["0.0.0.0/1", "128.0.0.0/1"])]), AddressRanges::default());
        assert_eq!(of(&[block("::/0", &["8000::/1"])]).ipv6, [(0, u128::MAX >> 1)]);
    }

    #[test]
    fn a_single_address_is_taken_from_either_end_s139() {
        let (first, last) = (0x0a00_0000, 0x0a00_00ff);
        for (except, left) in [
            ("10.0.0.0/32", vec![(first + 1, last)]),
            ("10.0.0.1/32", vec![(first, first), (first + 2, last)]),
            ("10.0.0.255/32", vec![(first, last - 1)]),
        ] {
            assert_eq!(of(&[block("10.0.0.0/24", &[except])]).ipv4, left, "{except}");
        }
        assert_eq!(of(&[block("10.0.0.0/32", &["10.0.0.0/32"])]).ipv4, []);
        assert_eq!(of(&[block("::/0", &["::/128"])]).ipv6, [(1, u128::MAX)]);
    }

    #[test]
    fn neighbours_are_one_range() {
        let ranges = of(&[block("10.0.1.0/24", &[]), block("10.0.0.0/24", &[]), block("10.0.0.7/32", &[])]);
        assert_eq!(ranges.ipv4, [(0x0a00_0000, 0x0a00_01ff)]);
    }

    proptest! {
        /// Whatever the blocks, an address is in the ranges exactly when some block holds it and none of that
        /// block's excepts does; and the ranges are disjoint and do not touch.
        #[test]
        fn ranges_hold_what_blocks_hold(
            blocks in prop::collection::vec((any::<u8>(), 0u8..=8, prop::collection::vec((any::<u8>(), 0u8..=8), 0..3)), 0..5)
        ) {
            // An address space of 8 bits, so that every address can be tried.
            let net = |bits: u8, length: u8| format!("{bits}.0.0.0/{length}").parse::<IpNet>().unwrap().trunc();
            let blocks: Vec<IpBlock> = blocks
                .into_iter()
                .map(|(bits, length, except)| IpBlock {
                    cidr: net(bits, length),
                    except: except.into_iter().map(|(bits, length)| net(bits, length)).collect(),
                })
                .collect();
            let ranges = of(&blocks).ipv4;
            for first in 0..=u8::MAX {
                let address = u128::from(first) << 24 | 0x1234;
                let ip = std::net::IpAddr::from(std::net::Ipv4Addr::from(address as u32));
                let expected =
                    blocks.iter().any(|it| it.cidr.contains(&ip) && !it.except.iter().any(|net| net.contains(&ip)));
                prop_assert_eq!(ranges.iter().any(|(from, to)| (*from..=*to).contains(&address)), expected);
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
