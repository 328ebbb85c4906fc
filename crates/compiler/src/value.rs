//! Addresses and protocols as nftables sees them: by family, as values of keys, as ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podwall_ruleset::{Element, Field, IpFamily, Key, Protocol, Set, Value, ValueType};

use crate::program::Direction;

/// Both families.
pub const FAMILIES: [IpFamily; 2] = [IpFamily::Ipv4, IpFamily::Ipv6];

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

/// The address of a packet that a set of this family is asked for.
pub fn peer_field(direction: Direction, family: IpFamily) -> Field {
    match (direction, family) {
        (Direction::Ingress, IpFamily::Ipv4) => Field::SourceIpv4,
        (Direction::Ingress, IpFamily::Ipv6) => Field::SourceIpv6,
        (Direction::Egress, IpFamily::Ipv4) => Field::DestinationIpv4,
        (Direction::Egress, IpFamily::Ipv6) => Field::DestinationIpv6,
    }
}

/// The last address of a family.
pub fn last_address(family: IpFamily) -> u128 {
    match family {
        IpFamily::Ipv4 => u32::MAX.into(),
        IpFamily::Ipv6 => u128::MAX,
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

/// A protocol as part of a key.
pub fn protocol_of(protocol: podwall_policy::Protocol) -> Protocol {
    match protocol {
        podwall_policy::Protocol::Tcp => Protocol::Tcp,
        podwall_policy::Protocol::Udp => Protocol::Udp,
        podwall_policy::Protocol::Sctp => Protocol::Sctp,
    }
}
