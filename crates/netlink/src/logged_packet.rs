//! What of a logged packet matters: who, to whom, what is spoken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::consts::{LOGGED_PAYLOAD, LOGGED_PREFIX};
use crate::wire::Message;

/// A packet as the rule that logged it saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedPacket {
    /// The rule's prefix.
    pub prefix: String,
    /// The source address, before it is masqueraded.
    pub source: IpAddr,
    /// The destination address, after a Service was translated.
    pub destination: IpAddr,
    /// The number of the transport protocol.
    pub protocol: u8,
    /// The destination port, if the protocol has ports and this packet says them: of fragments only the first does.
    pub destination_port: Option<u16>,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// `None` when the message has no packet of IP.
pub(crate) fn parse(message: &Message<'_>) -> Option<LoggedPacket> {
    let prefix = message.text_attribute(LOGGED_PREFIX).unwrap_or_default();
    let bytes = message.attribute(LOGGED_PAYLOAD)?;
    let (source, destination, transport) = match bytes.first()? >> 4 {
        4 => ipv4(bytes)?,
        6 => ipv6(bytes)?,
        _ => return None,
    };
    let destination_port = match transport.protocol {
        TCP | UDP | SCTP => transport.bytes.and_then(|bytes| number_at(bytes, 2)),
        _ => None,
    };
    Some(LoggedPacket { prefix, source, destination, protocol: transport.protocol, destination_port })
}

struct Transport<'a> {
    protocol: u8,
    /// `None` in a fragment that is not the first.
    bytes: Option<&'a [u8]>,
}

fn ipv4(bytes: &[u8]) -> Option<(IpAddr, IpAddr, Transport<'_>)> {
    let address =
        |at: usize| Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?)));
    let header = usize::from(bytes[0] & 0xf) * 4;
    let is_first = number_at(bytes, 6)? & 0x1fff == 0;
    let transport = bytes.get(header..).filter(|_| is_first);
    Some((address(12)?, address(16)?, Transport { protocol: *bytes.get(9)?, bytes: transport }))
}

fn ipv6(bytes: &[u8]) -> Option<(IpAddr, IpAddr, Transport<'_>)> {
    let address =
        |at: usize| Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?)));
    let (source, destination) = (address(8)?, address(24)?);
    let mut protocol = *bytes.get(6)?;
    let mut rest = bytes.get(40..);
    // Hop-by-hop options, routing, destination options; a fragment; an authentication header. More than a few are
    // beyond what is copied.
    for _ in 0..8 {
        let Some(header) = rest else { break };
        let length = match (protocol, header) {
            (0 | 43 | 60, [_, length, ..]) => (usize::from(*length) + 1) * 8,
            (44, [_, _, high, low, ..]) if u16::from_be_bytes([*high, *low]) & 0xfff8 == 0 => 8,
            (44, _) => {
                protocol = *header.first().unwrap_or(&protocol);
                rest = None;
                break;
            }
            (51, [_, length, ..]) => (usize::from(*length) + 2) * 4,
            _ => break,
        };
        protocol = header[0];
        rest = header.get(length..);
    }
    Some((source, destination, Transport { protocol, bytes: rest }))
}

fn number_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consts::{LOG_PACKET, LOGGED_NUMBER, SUBSYSTEM_LOG};
    use crate::packet_log::{Logged, hear};
    use crate::wire::{begin, finish, messages, put};

    fn message(number: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let start = begin(&mut bytes, SUBSYSTEM_LOG << 8 | LOG_PACKET, 0, 0, 2);
        put(&mut bytes, LOGGED_PREFIX, b"denied\0");
        put(&mut bytes, LOGGED_PAYLOAD, payload);
        put(&mut bytes, LOGGED_NUMBER, &number.to_be_bytes());
        finish(&mut bytes, start);
        bytes
    }

    fn of(payload: &[u8]) -> Option<LoggedPacket> {
        let bytes = message(0, payload);
        parse(&messages(&bytes).next().unwrap())
    }

    fn ipv4_packet(protocol: u8, fragment: u16, options: usize, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45 + options as u8, 0, 0, 0, 0, 0];
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.resize(20 + options * 4, 1);
        bytes.extend(rest);
        bytes
    }

    fn ipv6_packet(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        bytes.extend("fd00::1".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend(rest);
        bytes
    }

    const PORTS: [u8; 8] = [0x12, 0x34, 0x1f, 0x90, 0, 8, 0, 0];

    #[test]
    fn ends_and_ports_are_found() {
        let found = of(&ipv4_packet(UDP, 0x4000, 3, &PORTS)).unwrap();
        assert_eq!(
            (found.source, found.destination),
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap())
        );
        assert_eq!((found.protocol, found.destination_port, &*found.prefix), (UDP, Some(8080), "denied"));
        // The second of several fragments says no ports.
        assert_eq!(of(&ipv4_packet(UDP, 0x2001, 0, &PORTS)).unwrap().destination_port, None);
        assert_eq!(of(&ipv4_packet(1, 0, 0, &PORTS)).unwrap().destination_port, None);

        let plain = of(&ipv6_packet(TCP, &PORTS)).unwrap();
        assert_eq!((plain.destination, plain.destination_port), ("fd00::2".parse().unwrap(), Some(8080)));
        let options = [&[60, 0, 0, 0, 0, 0, 0, 0][..], &[SCTP, 0, 0, 0, 0, 0, 0, 0], &PORTS].concat();
        let behind = of(&ipv6_packet(0, &options)).unwrap();
        assert_eq!((behind.protocol, behind.destination_port), (SCTP, Some(8080)));
        let first = [&[UDP, 0, 0, 1, 0, 0, 0, 9][..], &PORTS].concat();
        assert_eq!(of(&ipv6_packet(44, &first)).unwrap().destination_port, Some(8080));
        let second = [&[UDP, 0, 0, 9, 0, 0, 0, 9][..], &PORTS].concat();
        let second = of(&ipv6_packet(44, &second)).unwrap();
        assert_eq!((second.protocol, second.destination_port), (UDP, None));
    }

    #[test]
    fn what_is_cut_short_is_no_end() {
        for whole in [ipv4_packet(TCP, 0, 2, &PORTS), ipv6_packet(0, &[44, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0])]
        {
            for length in 0..whole.len() {
                let _ = of(&whole[..length]);
            }
        }
        assert_eq!(of(&[0x75; 60]), None);
    }

    #[test]
    fn what_the_kernel_could_not_keep_is_counted() {
        let mut expected = None;
        let mut logged = Logged::default();
        let packet = ipv4_packet(TCP, 0, 0, &PORTS);
        for number in [7, 8, 12, 13] {
            hear(&message(number, &packet), &mut expected, &mut logged);
        }
        assert_eq!((logged.packets.len(), logged.lost), (4, 3));
        // The group was taken anew.
        hear(&message(0, &packet), &mut expected, &mut logged);
        hear(&message(1, b"x"), &mut expected, &mut logged);
        assert_eq!((logged.packets.len(), logged.lost), (5, 4));
    }
}
