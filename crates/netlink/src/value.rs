//! Values, keys and verdicts as the kernel and nft keep them.

use std::net::{Ipv4Addr, Ipv6Addr};

use podwall_ruleset::{
    Family, Field, HardwareAddress, InterfaceName, Name, Protocol, Value, ValueType, Verdict,
};

use crate::consts::{
    FAMILY_BRIDGE, FAMILY_INET, VERDICT_ACCEPT, VERDICT_DROP, VERDICT_GOTO, VERDICT_JUMP, VERDICT_RETURN,
};

const INTERFACE_BYTES: usize = 16;
/// nft packs the types of a concatenation into one number, six bits each.
const TYPE_BITS: u32 = 6;
const TYPES: [ValueType; 7] = [
    ValueType::Interface,
    ValueType::Ipv4,
    ValueType::Ipv6,
    ValueType::Protocol,
    ValueType::Port,
    ValueType::Icmpv6Type,
    ValueType::Hardware,
];

/// nft's number of a type. The kernel keeps it without a look.
fn code(value_type: ValueType) -> u32 {
    match value_type {
        ValueType::Ipv4 => 7,
        ValueType::Ipv6 => 8,
        ValueType::Hardware => 9,
        ValueType::Protocol => 12,
        ValueType::Port => 13,
        ValueType::Icmpv6Type => 29,
        ValueType::Interface => 41,
    }
}

/// The bytes of a value of this type.
pub(crate) fn length(value_type: ValueType) -> usize {
    match value_type {
        ValueType::Protocol | ValueType::Icmpv6Type => 1,
        ValueType::Port => 2,
        ValueType::Ipv4 => 4,
        ValueType::Hardware => 6,
        ValueType::Ipv6 | ValueType::Interface => INTERFACE_BYTES,
    }
}

/// The key type of a set for nft, or `None` if there is none: no parts, or too many for 32 bits.
pub(crate) fn key_code(parts: &[ValueType]) -> Option<u32> {
    let fits = (1..=5).contains(&parts.len());
    fits.then(|| parts.iter().fold(0, |sum, part| sum << TYPE_BITS | code(*part)))
}

/// The parts of a key type, if all are known to us.
pub(crate) fn key_parts(mut key_code: u32) -> Option<Vec<ValueType>> {
    let mut parts = Vec::new();
    while key_code != 0 {
        let low = key_code & ((1 << TYPE_BITS) - 1);
        parts.insert(0, TYPES.into_iter().find(|part| code(*part) == low)?);
        key_code >>= TYPE_BITS;
    }
    (!parts.is_empty()).then_some(parts)
}

/// The bytes of a key: in a concatenation every part starts at a multiple of four.
pub(crate) fn key_length(parts: &[ValueType]) -> usize {
    match parts {
        [one] => length(*one),
        several => several.iter().map(|part| length(*part).next_multiple_of(4)).sum(),
    }
}

/// nft's byte order of keys: 1 is the host's, 2 is big-endian, 0 is for concatenations.
pub(crate) fn key_byte_order(parts: &[ValueType]) -> u32 {
    match parts {
        [ValueType::Interface] => 1,
        [_] => 2,
        _ => 0,
    }
}

/// The bytes of one value.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Interface(name) => {
            let mut bytes = name.as_str().as_bytes().to_vec();
            bytes.resize(INTERFACE_BYTES, 0);
            bytes
        }
        Value::Ipv4(address) => address.octets().to_vec(),
        Value::Ipv6(address) => address.octets().to_vec(),
        Value::Protocol(protocol) => vec![protocol.number()],
        Value::Port(port) => port.to_be_bytes().to_vec(),
        Value::Icmpv6Type(number) => vec![*number],
        Value::Hardware(HardwareAddress(bytes)) => bytes.to_vec(),
    }
}

/// The bytes of an exact key.
pub(crate) fn key_bytes(values: &[Value]) -> Vec<u8> {
    if let [one] = values {
        return bytes(one);
    }
    let mut key = Vec::new();
    for value in values {
        key.extend(bytes(value));
        key.resize(key.len().next_multiple_of(4), 0);
    }
    key
}

/// The value of these bytes, if it is one of ours.
pub(crate) fn from_bytes(value_type: ValueType, bytes: &[u8]) -> Option<Value> {
    Some(match value_type {
        ValueType::Interface if bytes.len() == INTERFACE_BYTES => {
            let end = bytes.iter().position(|byte| *byte == 0)?;
            if bytes[end..].iter().any(|byte| *byte != 0) {
                return None;
            }
            Value::Interface(InterfaceName::new(std::str::from_utf8(&bytes[..end]).ok()?).ok()?)
        }
        ValueType::Interface => return None,
        ValueType::Ipv4 => Value::Ipv4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        ValueType::Ipv6 => Value::Ipv6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        ValueType::Protocol => Value::Protocol(protocol(<[u8; 1]>::try_from(bytes).ok()?[0])?),
        ValueType::Port => Value::Port(u16::from_be_bytes(bytes.try_into().ok()?)),
        ValueType::Icmpv6Type => Value::Icmpv6Type(<[u8; 1]>::try_from(bytes).ok()?[0]),
        ValueType::Hardware => Value::Hardware(HardwareAddress(bytes.try_into().ok()?)),
    })
}

/// The values of an exact key.
pub(crate) fn key_from_bytes(parts: &[ValueType], key: &[u8]) -> Option<Vec<Value>> {
    if key.len() != key_length(parts) {
        return None;
    }
    if let [one] = parts {
        return Some(vec![from_bytes(*one, key)?]);
    }
    let mut rest = key;
    parts
        .iter()
        .map(|part| {
            let (value, after) = rest.split_at(length(*part).next_multiple_of(4));
            rest = after;
            from_bytes(*part, &value[..length(*part)])
        })
        .collect()
}

/// The key after this one in byte order; `None` after the last.
pub(crate) fn after(key: &[u8]) -> Option<Vec<u8>> {
    let mut next = key.to_vec();
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(next);
        }
    }
    None
}

/// The key before this one in byte order; `None` before the first.
pub(crate) fn before(key: &[u8]) -> Option<Vec<u8>> {
    let mut previous = key.to_vec();
    for byte in previous.iter_mut().rev() {
        *byte = byte.wrapping_sub(1);
        if *byte != 255 {
            return Some(previous);
        }
    }
    None
}

/// The protocol of this number, if it is one that policies name.
pub(crate) fn protocol(number: u8) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|protocol| protocol.number() == number)
}

/// The kernel's number of a table's family.
pub(crate) fn family(family: Family) -> u8 {
    match family {
        Family::Inet => FAMILY_INET,
        Family::Bridge => FAMILY_BRIDGE,
    }
}

/// The type of what a field has.
pub(crate) fn field_type(field: Field) -> ValueType {
    match field {
        Field::InputInterface | Field::OutputInterface => ValueType::Interface,
        Field::SourceIpv4 | Field::DestinationIpv4 | Field::ArpSource => ValueType::Ipv4,
        Field::SourceIpv6 | Field::DestinationIpv6 => ValueType::Ipv6,
        Field::Protocol => ValueType::Protocol,
        Field::DestinationPort | Field::DestinationPortOf(_) => ValueType::Port,
        Field::Icmpv6Type => ValueType::Icmpv6Type,
        Field::SourceHardware => ValueType::Hardware,
    }
}

/// A verdict's number and chain.
pub(crate) fn verdict_code(verdict: &Verdict) -> (u32, Option<&Name>) {
    match verdict {
        Verdict::Accept => (VERDICT_ACCEPT, None),
        Verdict::Drop => (VERDICT_DROP, None),
        Verdict::Return => (VERDICT_RETURN, None),
        Verdict::Jump(chain) => (VERDICT_JUMP, Some(chain)),
        Verdict::Goto(chain) => (VERDICT_GOTO, Some(chain)),
    }
}

/// The verdict of a number and a chain.
pub(crate) fn verdict(code: u32, chain: Option<&str>) -> Option<Verdict> {
    let chain = |make: fn(Name) -> Verdict| Name::new(chain?).ok().map(make);
    match code {
        VERDICT_ACCEPT => Some(Verdict::Accept),
        VERDICT_DROP => Some(Verdict::Drop),
        VERDICT_RETURN => Some(Verdict::Return),
        VERDICT_JUMP => chain(Verdict::Jump),
        VERDICT_GOTO => chain(Verdict::Goto),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_packed_as_nft_packs_them() {
        let parts = [ValueType::Ipv4, ValueType::Protocol, ValueType::Port];
        assert_eq!(key_code(&parts), Some(0x730d));
        assert_eq!(key_parts(0x730d).unwrap(), parts);
        assert_eq!(key_code(&[ValueType::Interface, ValueType::Interface]), Some(0xa69));
        assert_eq!(key_length(&parts), 12);
        assert_eq!(key_length(&[ValueType::Port]), 2);
        assert_eq!(key_code(&[]), None);
        assert_eq!(key_parts(3), None);
        assert_eq!(key_parts(0), None);
    }

    #[test]
    fn keys_have_neighbours() {
        assert_eq!(after(&[1, 255, 255]).unwrap(), [2, 0, 0]);
        assert_eq!(before(&[2, 0, 0]).unwrap(), [1, 255, 255]);
        assert_eq!(after(&[255, 255]), None);
        assert_eq!(before(&[0, 0]), None);
    }
}
