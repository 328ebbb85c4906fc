//! Addresses and blocks as the API server reads them: sloppily.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Reads an address. Leading zeros do not count (S132), and an IPv4-mapped address is the IPv4 address.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    without_leading_zeros(text)?.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Reads a block, host bits masked (S131). Leading zeros do not count, and an IPv4-mapped block of at least 96 bits
/// is the IPv4 block it stands for (S132).
pub(super) fn parse_block(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let address = without_leading_zeros(address)?.parse::<IpAddr>().ok()?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length = number(length).parse::<u8>().ok()?;
    let mapped = |address: Ipv6Addr| address.to_ipv4_mapped().filter(|_| length >= 96);
    match address {
        IpAddr::V6(address) if length <= 128 && mapped(address).is_some() => {
            Ipv4Net::new(mapped(address)?, length - 96).ok().map(|block| block.trunc().into())
        }
        address => IpNet::new(address, length).ok().map(|block| block.trunc()),
    }
}

fn without_leading_zeros(text: &str) -> Option<String> {
    // No valid address is longer; what is, need not be copied.
    if text.len() > 300 {
        return None;
    }
    let octets = |text: &str| text.split('.').map(number).collect::<Vec<_>>().join(".");
    if !text.contains(':') {
        return Some(octets(text));
    }
    let groups = text
        .split(':')
        .map(|group| if group.contains('.') { octets(group) } else { number(group).to_owned() });
    Some(groups.collect::<Vec<_>>().join(":"))
}

/// Digits without leading zeros; of nothing but zeros, one.
fn number(digits: &str) -> &str {
    let trimmed = digits.trim_start_matches('0');
    if trimmed.is_empty() && !digits.is_empty() { "0" } else { trimmed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Option<String> {
        parse_block(text).map(|block| block.to_string())
    }

    #[test]
    fn blocks_s131_s132_s135() {
        let cases = [
            ("10.10.1.12/24", "10.10.1.0/24"),
            ("010.000.008.1/8", "10.0.0.0/8"),
            ("10.0.0.0/08", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("1.2.3.4/32", "1.2.3.4/32"),
            ("0.0.0.0/31", "0.0.0.0/31"),
            ("::/0", "::/0"),
            ("fd00::1/128", "fd00::1/128"),
            ("2001:0db8::ff/64", "2001:db8::/64"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3/96", "0.0.0.0/0"),
            ("::ffff:010.0.0.1/128", "10.0.0.1/32"),
            ("::ffff:0:0/90", "::ffc0:0:0/90"),
        ];
        for (text, expected) in cases {
            assert_eq!(block(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_block() {
        for text in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.256/8",
            "::/129",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "a/8",
            "::ffff:10.0.0.0/129",
            "fe80::1%eth0/64",
            "10..0.0/8",
            "1.2.3.0x4/32",
        ] {
            assert_eq!(block(text), None, "{text}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(parse_address("010.0.0.08").unwrap().to_string(), "10.0.0.8");
        assert_eq!(parse_address("::ffff:10.0.0.1").unwrap().to_string(), "10.0.0.1");
        assert_eq!(parse_address("10.0.0.1/32"), None);
    }
}
