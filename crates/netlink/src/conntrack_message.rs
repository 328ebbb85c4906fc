//! Connections as ctnetlink's messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podwall_ruleset::IpFamily;

use crate::conntrack::{ConntrackFilter, Entry, Icmp, Tuple};
use crate::consts::*;
use crate::wire::{Message, attributes_in, begin, finish, nest, put};

const ICMP: u8 = 1;
const FAMILY_ANY: u8 = 0;

/// Appends a request for the connections that the filter lets through.
pub(crate) fn put_list_request(bytes: &mut Vec<u8>, sequence: u32, filter: ConntrackFilter) {
    let family = filter.family.map_or(FAMILY_ANY, |family| match family {
        IpFamily::Ipv4 => FAMILY_IPV4,
        IpFamily::Ipv6 => FAMILY_IPV6,
    });
    let start = begin(bytes, SUBSYSTEM_CONNTRACK << 8 | CONNTRACK_GET, REQUEST | DUMP, sequence, family);
    if let Some(mark) = filter.mark {
        put(bytes, ENTRY_MARK, &mark.value.to_be_bytes());
        put(bytes, ENTRY_MARK_MASK, &mark.mask.to_be_bytes());
    }
    finish(bytes, start);
}

/// Appends a message that sets the bits of `mask` in the mark of a connection. Made as the message of a new one, but
/// without leave to make one: if it is gone, nothing is made.
pub(crate) fn put_mark(
    bytes: &mut Vec<u8>,
    sequence: u32,
    entry: &Entry,
    value: u32,
    mask: u32,
    acknowledge: bool,
) {
    let flags = if acknowledge { REQUEST | ACKNOWLEDGE } else { REQUEST };
    let family = if entry.original.source.is_ipv4() { FAMILY_IPV4 } else { FAMILY_IPV6 };
    let start = begin(bytes, SUBSYSTEM_CONNTRACK << 8 | CONNTRACK_NEW, flags, sequence, family);
    nest(bytes, ENTRY_ORIGINAL, |bytes| put_tuple(bytes, &entry.original));
    if let Some(zone) = entry.zone {
        put(bytes, ENTRY_ZONE, &zone.to_be_bytes());
    }
    put(bytes, ENTRY_MARK, &value.to_be_bytes());
    put(bytes, ENTRY_MARK_MASK, &mask.to_be_bytes());
    finish(bytes, start);
}

fn put_tuple(bytes: &mut Vec<u8>, tuple: &Tuple) {
    nest(bytes, TUPLE_ADDRESSES, |bytes| {
        let kinds = match tuple.source {
            IpAddr::V4(_) => [ADDRESS_IPV4_SOURCE, ADDRESS_IPV4_DESTINATION],
            IpAddr::V6(_) => [ADDRESS_IPV6_SOURCE, ADDRESS_IPV6_DESTINATION],
        };
        for (kind, address) in kinds.into_iter().zip([tuple.source, tuple.destination]) {
            match address {
                IpAddr::V4(address) => put(bytes, kind, &address.octets()),
                IpAddr::V6(address) => put(bytes, kind, &address.octets()),
            }
        }
    });
    nest(bytes, TUPLE_PROTOCOL, |bytes| {
        put(bytes, PROTOCOL_NUMBER, &[tuple.protocol]);
        if let Some(port) = tuple.source_port {
            put(bytes, PROTOCOL_SOURCE_PORT, &port.to_be_bytes());
        }
        if let Some(port) = tuple.destination_port {
            put(bytes, PROTOCOL_DESTINATION_PORT, &port.to_be_bytes());
        }
        if let Some(icmp) = tuple.icmp {
            let offset = icmp_offset(tuple.protocol);
            put(bytes, PROTOCOL_ICMP_ID + offset, &icmp.id.to_be_bytes());
            put(bytes, PROTOCOL_ICMP_TYPE + offset, &[icmp.message_type]);
            put(bytes, PROTOCOL_ICMP_CODE + offset, &[icmp.code]);
        }
    });
    if let Some(zone) = tuple.zone {
        put(bytes, TUPLE_ZONE, &zone.to_be_bytes());
    }
}

fn icmp_offset(protocol: u8) -> u16 {
    if protocol == ICMP { 0 } else { PROTOCOL_ICMPV6_OFFSET }
}

/// The connection that a message of a list is about; `None` if it has no two ends, as all have.
pub(crate) fn parse(message: &Message<'_>) -> Option<Entry> {
    let (mut original, mut reply, mut zone) = (None, None, None);
    let (mut status, mut mark, mut id) = (0, 0, 0);
    for (kind, value) in message.attributes() {
        match kind {
            ENTRY_ORIGINAL => original = tuple(value),
            ENTRY_REPLY => reply = tuple(value),
            ENTRY_STATUS => status = u32::from_be_bytes(value.try_into().ok()?),
            ENTRY_MARK => mark = u32::from_be_bytes(value.try_into().ok()?),
            ENTRY_ID => id = u32::from_be_bytes(value.try_into().ok()?),
            ENTRY_ZONE => zone = Some(u16::from_be_bytes(value.try_into().ok()?)),
            _ => {}
        }
    }
    Some(Entry {
        original: original?,
        reply: reply?,
        mark,
        id,
        zone,
        seen_reply: status & STATUS_SEEN_REPLY != 0,
        assured: status & STATUS_ASSURED != 0,
    })
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (mut addresses, mut protocol, mut zone) = (None, None, None);
    for (kind, value) in attributes_in(bytes) {
        match kind {
            TUPLE_ADDRESSES => addresses = ends(value),
            TUPLE_PROTOCOL => protocol = Some(value),
            TUPLE_ZONE => zone = Some(u16::from_be_bytes(value.try_into().ok()?)),
            _ => {}
        }
    }
    let (source, destination) = addresses?;
    let protocol = protocol?;
    let find =
        |wanted: u16| attributes_in(protocol).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let byte = |wanted| find(wanted)?.first().copied();
    let word = |wanted| find(wanted)?.try_into().ok().map(u16::from_be_bytes);
    let number = byte(PROTOCOL_NUMBER)?;
    let offset = icmp_offset(number);
    let icmp = word(PROTOCOL_ICMP_ID + offset).and_then(|id| {
        let message_type = byte(PROTOCOL_ICMP_TYPE + offset)?;
        Some(Icmp { id, message_type, code: byte(PROTOCOL_ICMP_CODE + offset)? })
    });
    Some(Tuple {
        source,
        destination,
        protocol: number,
        source_port: word(PROTOCOL_SOURCE_PORT),
        destination_port: word(PROTOCOL_DESTINATION_PORT),
        icmp,
        zone,
    })
}

fn ends(bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let (mut source, mut destination) = (None, None);
    for (kind, value) in attributes_in(bytes) {
        let address = match value.len() {
            4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?)),
            16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?)),
            _ => return None,
        };
        match kind {
            ADDRESS_IPV4_SOURCE | ADDRESS_IPV6_SOURCE => source = Some(address),
            ADDRESS_IPV4_DESTINATION | ADDRESS_IPV6_DESTINATION => destination = Some(address),
            _ => {}
        }
    }
    Some((source?, destination?))
}
