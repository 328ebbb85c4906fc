//! Connections as the kernel tracks them.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto, socket,
};
use podwall_netlink::{Conntrack, ConntrackFilter, Entry, Icmp, MarkFilter, Tuple};
use podwall_ruleset::IpFamily;

use crate::fixture::*;

/// Tracks, and translates what is for 127.0.0.77 and what comes to 127.0.0.88.
fn track() {
    run_ip("link set lo up");
    nft(
        &["-f", "-"],
        "table ip nat {
             chain tracking {
                 type filter hook output priority 0
                 ct state established accept
             }
             chain output {
                 type nat hook output priority -100
                 ip daddr 127.0.0.77 udp dport 5000 dnat to 127.0.0.9:6000
             }
             chain postrouting {
                 type nat hook postrouting priority 100
                 ip daddr 127.0.0.88 snat to 127.0.0.99
             }
         }
         table ip6 tracking {
             chain output {
                 type filter hook output priority 0
                 ct state established accept
             }
         }",
    );
}

fn all(conntrack: &mut Conntrack, filter: ConntrackFilter) -> Vec<Entry> {
    let mut entries = Vec::new();
    conntrack.list(filter, |entry| entries.push(entry)).unwrap_or_else(|error| panic!("{error}"));
    entries
}

/// The one connection whose original destination this is.
fn to<'a>(entries: &'a [Entry], address: &str, port: Option<u16>) -> &'a Entry {
    let address: IpAddr = address.parse().unwrap();
    let is_it = |it: &&Entry| (it.original.destination, it.original.destination_port) == (address, port);
    let found: Vec<&Entry> = entries.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "to {address} {port:?} in {entries:#?}");
    found[0]
}

fn ends(tuple: &Tuple) -> (String, String) {
    let end = |address: IpAddr, port: Option<u16>| format!("{address} {}", port.unwrap_or(0));
    (end(tuple.source, tuple.source_port), end(tuple.destination, tuple.destination_port))
}

pub fn connections_are_listed_as_they_are() {
    track();
    let udp = UdpSocket::bind("127.0.0.1:4000").unwrap();
    udp.send_to(b"x", "127.0.0.77:5000").unwrap();
    let _ = udp.send_to(b"x", "127.0.0.88:5001");
    let answering = UdpSocket::bind("127.0.0.3:5002").unwrap();
    let _ = udp.send_to(b"x", "127.0.0.3:5002");
    answering.send_to(b"y", "127.0.0.1:4000").unwrap();
    UdpSocket::bind("[::1]:4000").unwrap().send_to(b"x", "[::1]:5003").unwrap();
    let listener = TcpListener::bind("127.0.0.1:5004").unwrap();
    let _stream = TcpStream::connect("127.0.0.1:5004").unwrap();
    let _accepted = listener.accept().unwrap();
    send_echoes();

    let mut conntrack = Conntrack::open().unwrap();
    let entries = all(&mut conntrack, ConntrackFilter::default());
    let owned = |(source, destination): (&str, &str)| (source.to_owned(), destination.to_owned());
    for (address, port, protocol, reply, seen_reply) in [
        ("127.0.0.77", 5000, 17, ("127.0.0.9 6000", "127.0.0.1 4000"), true),
        ("127.0.0.88", 5001, 17, ("127.0.0.88 5001", "127.0.0.99 4000"), true),
        ("127.0.0.3", 5002, 17, ("127.0.0.3 5002", "127.0.0.1 4000"), true),
        ("::1", 5003, 17, ("::1 5003", "::1 4000"), true),
    ] {
        let entry = to(&entries, address, Some(port));
        assert_eq!(entry.original.protocol, protocol);
        assert_eq!(ends(&entry.reply), owned(reply), "{address}");
        assert_eq!((entry.original.source_port, entry.mark, entry.zone), (Some(4000), 0, None));
        // Where nobody listens there is an ICMP error, which is no reply.
        assert_eq!(entry.seen_reply, seen_reply && port == 5002, "{entry:?}");
        assert!(entry.id != 0 && entry.original.icmp.is_none());
    }
    let tcp = to(&entries, "127.0.0.1", Some(5004));
    assert!(tcp.seen_reply && tcp.assured && tcp.original.protocol == 6);
    let echo = to(&entries, "127.0.0.5", None);
    assert_eq!(echo.original.icmp, Some(Icmp { id: 0x1234, message_type: 8, code: 0 }));
    assert_eq!((echo.original.source_port, echo.original.protocol), (None, 1));
    let echo6 = to(&entries, "::1", None);
    assert_eq!(echo6.original.icmp, Some(Icmp { id: 0x1234, message_type: 128, code: 0 }));

    let of_family = |family| ConntrackFilter { family: Some(family), mark: None };
    let six = all(&mut conntrack, of_family(IpFamily::Ipv6));
    let four = all(&mut conntrack, of_family(IpFamily::Ipv4));
    assert!(six.len() == 2 && six.iter().all(|entry| entry.original.source.is_ipv6()));
    assert_eq!(four.len() + six.len(), entries.len());
}

/// One echo request of each family.
fn send_echoes() {
    let open = |family, protocol| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    let mut request = [8, 0, 0, 0, 0x12, 0x34, 0, 1];
    let sum: u32 = request.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    request[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    let four = open(AddressFamily::Inet, SockProtocol::Icmp);
    sendto(four.as_raw_fd(), &request, &SockaddrIn::new(127, 0, 0, 5, 0), MsgFlags::empty()).unwrap();
    // Of ICMPv6 the kernel makes the checksum.
    let six = open(AddressFamily::Inet6, SockProtocol::IcmpV6);
    let loopback: SockaddrIn6 = "[::1]:0".parse().unwrap();
    sendto(six.as_raw_fd(), &[128, 0, 0, 0, 0x12, 0x34, 0, 1], &loopback, MsgFlags::empty()).unwrap();
}

pub fn only_the_bits_of_the_mask_change() {
    track();
    let udp = UdpSocket::bind("127.0.0.1:4000").unwrap();
    for destination in ["127.0.0.77:5000", "127.0.0.88:5001"] {
        let _ = udp.send_to(b"x", destination);
    }
    UdpSocket::bind("[::1]:4000").unwrap().send_to(b"x", "[::1]:5003").unwrap();
    send_echoes();
    let mut conntrack = Conntrack::open().unwrap();
    let before = all(&mut conntrack, ConntrackFilter::default());
    assert_eq!(before.len(), 5);
    for (value, mask, expected) in [
        (0xabcd_0000, u32::MAX, 0xabcd_0000),
        (0x1000_0000, 0x1000_0000, 0xbbcd_0000),
        // What is not in the mask is not asked for.
        (u32::MAX, 0x0000_0001, 0xbbcd_0001),
        (0, 0x1000_0000, 0xabcd_0001),
        (5, 0, 0xabcd_0001),
    ] {
        // The list is that of the beginning: what marks were then does not count.
        assert_eq!(conntrack.set_mark(&before, value, mask).unwrap(), 5);
        let after = all(&mut conntrack, ConntrackFilter::default());
        assert!(after.iter().all(|entry| entry.mark == expected), "{expected:#x}: {after:#?}");
        let unmarked = |entries: &[Entry]| -> std::collections::HashSet<Entry> {
            entries.iter().map(|entry| Entry { mark: 0, ..entry.clone() }).collect()
        };
        assert_eq!(unmarked(&after), unmarked(&before), "something else was touched");
    }

    // Those that are gone are skipped, wherever they are, and not made.
    let mut gone = before[0].clone();
    gone.original.source = IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9));
    for entries in [
        vec![gone.clone(), before[0].clone(), gone.clone()],
        vec![before[0].clone(), gone.clone(), gone.clone()],
        vec![gone.clone(), gone.clone(), before[0].clone()],
    ] {
        assert_eq!(conntrack.set_mark(&entries, 2, 2).unwrap(), 1);
    }
    assert_eq!(conntrack.set_mark(&[gone], 2, 2).unwrap(), 0);
    assert_eq!(conntrack.set_mark(&[], 2, 2).unwrap(), 0);
    let marked = |value| ConntrackFilter { mark: Some(MarkFilter { value, mask: 2 }), family: None };
    assert_eq!(all(&mut conntrack, marked(2)).len(), 1);
    assert_eq!(all(&mut conntrack, marked(0)).len(), 4);
}

/// The same ends in the usual zone and in another, and others in a zone of the original direction only.
pub fn connections_in_zones_are_marked() {
    run_ip("link set lo up");
    nft(
        &["-f", "-"],
        "table ip t {
             chain raw {
                 type filter hook output priority -300
                 meta mark 5 ct zone set 5
                 udp dport 5001 ct original zone set 6
             }
             chain output {
                 type filter hook output priority 0
                 ct state established accept
             }
         }",
    );
    let udp = UdpSocket::bind("127.0.0.1:4000").unwrap();
    for (mark, port) in [(0, 5000), (5, 5000), (0, 5001)] {
        nix::sys::socket::setsockopt(&udp, nix::sys::socket::sockopt::Mark, &mark).unwrap();
        // The answer that nobody listens is an error of the next sending.
        if udp.send_to(b"x", ("127.0.0.9", port)).is_err() {
            udp.send_to(b"x", ("127.0.0.9", port)).unwrap();
        }
    }
    let mut conntrack = Conntrack::open().unwrap();
    let mut entries = all(&mut conntrack, ConntrackFilter::default());
    entries.sort_by_key(|entry| (entry.original.zone, entry.zone));
    let zones: Vec<_> = entries.iter().map(|entry| (entry.original.zone, entry.zone)).collect();
    assert_eq!(zones, [(None, None), (None, Some(5)), (Some(6), None)]);
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(conntrack.set_mark(std::slice::from_ref(entry), 1, 1).unwrap(), 1);
        let filter = ConntrackFilter { mark: Some(MarkFilter { value: 1, mask: 1 }), family: None };
        assert_eq!(all(&mut conntrack, filter).len(), index + 1);
    }
}

pub fn many_connections_are_marked() {
    const CONNECTIONS: usize = 5_000;
    track();
    let udp = UdpSocket::bind("127.0.0.1:4000").unwrap();
    for number in 0..CONNECTIONS {
        // Nobody listens there, and the answer to that is for the next sending.
        let to = (Ipv4Addr::from(0x7f01_0000 + number as u32), 9);
        if udp.send_to(b"x", to).is_err() {
            udp.send_to(b"x", to).unwrap();
        }
    }
    let mut conntrack = Conntrack::open().unwrap();
    let entries = all(&mut conntrack, ConntrackFilter::default());
    assert_eq!(entries.len(), CONNECTIONS);
    assert_eq!(conntrack.set_mark(&entries, 1, 1).unwrap(), CONNECTIONS);
    let filter = ConntrackFilter { mark: Some(MarkFilter { value: 1, mask: 1 }), family: None };
    assert_eq!(all(&mut conntrack, filter).len(), CONNECTIONS);
}
