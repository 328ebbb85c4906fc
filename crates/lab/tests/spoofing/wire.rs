//! Packets and frames, byte by byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podwall_policy::Protocol;

/// An Ethernet address.
pub type Hardware = [u8; 6];

const BROADCAST: Hardware = [0xff; 6];
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const MULTICAST_REPORT: u8 = 143;

/// A packet that opens a connection to a port: a SYN, or a datagram.
pub fn opening(source: IpAddr, destination: IpAddr, protocol: Protocol, port: u16) -> Vec<u8> {
    let ports = [40_000_u16.to_be_bytes(), port.to_be_bytes()].concat();
    let (number, mut transport, at) = match protocol {
        Protocol::Udp => (UDP, [&ports[..], &8_u16.to_be_bytes(), &[0; 2]].concat(), 6),
        _ => (TCP, [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x20, 0, 0, 0, 0, 0]].concat(), 16),
    };
    write_checksum(source, destination, number, &mut transport, at);
    packet(source, destination, number, 64, &transport)
}

/// An ARP packet that says: `address` is at `hardware`. As a request it is gratuitous, as a reply nobody asked.
pub fn arp(operation: u16, hardware: Hardware, address: Ipv4Addr) -> Vec<u8> {
    let address = address.octets();
    let header = [&BROADCAST[..], &hardware, &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4]].concat();
    [&header[..], &operation.to_be_bytes(), &hardware, &address, &BROADCAST, &address].concat()
}

/// A neighbour advertisement that says: `target` is at `hardware`, and what you knew before is wrong.
pub fn advertisement(
    hardware: Hardware,
    source: Ipv6Addr,
    destination: (Hardware, Ipv6Addr),
    target: Ipv6Addr,
) -> Vec<u8> {
    const SOLICITED: u8 = 0x40;
    const OVERRIDE: u8 = 0x20;
    let flags = if destination.1.is_multicast() { OVERRIDE } else { OVERRIDE | SOLICITED };
    let start = [NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    let mut message = [&start[..], &target.octets(), &[2, 1], &hardware].concat();
    write_checksum(source.into(), destination.1.into(), ICMPV6, &mut message, 2);
    let packet = packet(source.into(), destination.1.into(), ICMPV6, 255, &message);
    [&destination.0[..], &hardware, &[0x86, 0xdd], &packet].concat()
}

/// True for a frame with a packet from `source` to a port.
pub fn is_opening(frame: &[u8], source: IpAddr, protocol: Protocol, port: u16) -> bool {
    let number = if protocol == Protocol::Udp { UDP } else { TCP };
    let port = port.to_be_bytes();
    match source {
        IpAddr::V4(source) => {
            let fields = (frame.get(12..14), frame.get(23), frame.get(26..30), frame.get(36..38));
            fields == (Some(&[0x08, 0]), Some(&number), Some(&source.octets()), Some(&port))
        }
        IpAddr::V6(source) => {
            let fields = (frame.get(12..14), frame.get(20), frame.get(22..38), frame.get(56..58));
            fields == (Some(&[0x86, 0xdd]), Some(&number), Some(&source.octets()), Some(&port))
        }
    }
}

/// True for the question whether somebody has `target` already.
pub fn is_duplicate_detection(frame: &[u8], target: Ipv6Addr) -> bool {
    let fields = (frame.get(20), frame.get(22..38), frame.get(54), frame.get(62..78));
    fields == (Some(&ICMPV6), Some(&[0; 16]), Some(&NEIGHBOUR_SOLICITATION), Some(&target.octets()))
}

/// True for a report of the multicast groups that a host is in, which comes behind an option of IPv6.
pub fn is_multicast_report(frame: &[u8]) -> bool {
    (frame.get(12..14), frame.get(54), frame.get(62))
        == (Some(&[0x86, 0xdd]), Some(&ICMPV6), Some(&MULTICAST_REPORT))
}

fn packet(source: IpAddr, destination: IpAddr, protocol: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let (source_bytes, destination_bytes) = (bytes(source), bytes(destination));
    let header = if source.is_ipv4() {
        let length = (payload.len() as u16 + 20).to_be_bytes();
        let mut header = [&[0x45, 0], &length[..], &[0, 1, 0, 0, hops, protocol, 0, 0]].concat();
        header.extend([source_bytes, destination_bytes].concat());
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        header
    } else {
        let length = (payload.len() as u16).to_be_bytes();
        [&[0x60, 0, 0, 0], &length[..], &[protocol, hops], &source_bytes, &destination_bytes].concat()
    };
    [&header[..], payload].concat()
}

fn write_checksum(source: IpAddr, destination: IpAddr, protocol: u8, payload: &mut [u8], at: usize) {
    let pseudo = [
        &bytes(source)[..],
        &bytes(destination),
        &(payload.len() as u32).to_be_bytes(),
        &[0, 0, 0, protocol],
        payload,
    ];
    let sum = checksum(&pseudo.concat()).to_be_bytes();
    payload[at..at + 2].copy_from_slice(&sum);
}

fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from_be_bytes([0, 0, pair[0], pair.get(1).copied().unwrap_or(0)]);
    let sum: u32 = bytes.chunks(2).map(word).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
