//! Rules of tables of the bridge family meet the frames that they should.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, send, socket};
use podwall_netlink::Kernel;
use podwall_ruleset::*;

use crate::families::bridge_id;
use crate::fixture::*;

const PATIENCE: Duration = Duration::from_secs(10);
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
const VLAN: [u8; 2] = [0x81, 0x00];

/// Waits until it holds.
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not after {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A bridge with the ports veth0 and veth1; what is sent on peer0 arrives at veth0. Nothing there speaks on its own.
fn make_bridge() {
    run_ip("link add br0 type bridge mcast_snooping 0");
    run_ip("link set br0 addrgenmode none up");
    for number in [0, 1] {
        run_ip(&format!("link add veth{number} type veth peer name peer{number}"));
        run_ip(&format!("link set peer{number} addrgenmode none up"));
        run_ip(&format!("link set veth{number} addrgenmode none up master br0"));
    }
    for number in [0, 1] {
        wait_for("a port that forwards", || is_forwarding(&format!("veth{number}")));
    }
}

fn is_forwarding(port: &str) -> bool {
    let output = std::process::Command::new("ip").args(["-d", "link", "show", "dev", port]).output();
    String::from_utf8_lossy(&output.unwrap().stdout).contains("state forwarding")
}

fn send_frame(from: &str, ethertype: [u8; 2], payload: &[u8]) {
    let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let address = getifaddrs()
        .unwrap()
        .filter(|found| found.interface_name == from)
        .find_map(|found| found.address?.as_link_addr().copied())
        .unwrap();
    bind(raw.as_raw_fd(), &address).unwrap();
    let frame = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &ethertype, payload].concat();
    assert_eq!(send(raw.as_raw_fd(), &frame, MsgFlags::empty()).unwrap(), frame.len());
}

fn octets(address: &str) -> Vec<u8> {
    match ip(address) {
        Value::Ipv4(address) => address.octets().to_vec(),
        Value::Ipv6(address) => address.octets().to_vec(),
        other => panic!("{other}"),
    }
}

fn ipv4(source: &str) -> Vec<u8> {
    // Version and lengths; no fragment; 64 hops, UDP. No checksum: nobody on the bridge looks at it.
    let header = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    [&header[..], &octets(source), &octets("10.0.0.9"), &[0, 1, 0, 2, 0, 8, 0, 0]].concat()
}

fn arp(sender: &str) -> Vec<u8> {
    let request = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2];
    [&request[..], &octets(sender), &[0; 6], &octets("10.0.0.9")].concat()
}

fn icmpv6(source: &str, number: u8, target: &str) -> Vec<u8> {
    let header = [0x60, 0, 0, 0, 0, 24, 58, 255];
    let message = [number, 0, 0, 0, 0, 0, 0, 0];
    [&header[..], &octets(source), &octets("ff02::1"), &message, &octets(target)].concat()
}

/// Every rule counts what it matches, and ends there.
fn made() -> Ruleset {
    let from = |text: &str| exact(&[interface("veth0"), ip(text)]);
    let input = Field::InputInterface;
    let sets = [
        ("known", with(Set::new(&[ValueType::Interface]), [exact(&[interface("veth0")])])),
        ("sources.v4", with(Set::new(&[ValueType::Interface, ValueType::Ipv4]), [from("10.0.0.2")])),
        ("sources.v6", with(Set::new(&[ValueType::Interface, ValueType::Ipv6]), [from("fd00::2")])),
        (
            "types",
            with(Set::new(&[ValueType::Icmpv6Type]), [135, 136].map(|it| exact(&[Value::Icmpv6Type(it)]))),
        ),
        ("third.v4", with(Set::new(&[ValueType::Ipv4]), [exact(&[ip("10.0.0.3")])])),
    ];
    let target = Match::NeighbourTarget("fd00::9".parse().unwrap());
    let rules = [
        vec![
            Match::InterfacePrefix(input, InterfaceName::new("veth").unwrap()),
            Match::NotIn(input, name("known")),
        ],
        vec![is_in(&[input, Field::SourceIpv4], named("sources.v4"))],
        vec![is_in(&[input, Field::SourceIpv6], named("sources.v6"))],
        vec![is_in(&[input, Field::ArpSource], named("sources.v4"))],
        vec![Match::in_set(Field::Icmpv6Type, &name("types")), target],
        vec![Match::NotIn(Field::Icmpv6Type, name("types"))],
        vec![Match::NotIn(Field::ArpSource, name("third.v4"))],
        vec![Match::NotIn(Field::SourceIpv4, name("third.v4"))],
        vec![],
    ];
    let rules = rules.map(|matches| Rule::verdict(matches, Verdict::Drop).counted());
    let chains = [(name("prerouting"), base(ChainType::Filter, Hook::Prerouting, -250, rules))];
    let sets = sets.into_iter().map(|(text, set)| (name(text), set)).collect();
    Ruleset { tables: [(bridge_id("podwall"), Table { sets, chains: chains.into() })].into() }
}

pub fn frames_meet_the_right_rules() {
    make_bridge();
    let made = made();
    let mut kernel = Kernel::open().unwrap();
    let frames = [
        (0, "peer1", IPV4, ipv4("10.0.0.2")),
        (0, "peer1", ARP, arp("10.0.0.2")),
        (1, "peer0", IPV4, ipv4("10.0.0.2")),
        (2, "peer0", IPV6, icmpv6("fd00::2", 136, "fd00::8")),
        (3, "peer0", ARP, arp("10.0.0.2")),
        (4, "peer0", IPV6, icmpv6("fe80::2", 136, "fd00::9")),
        (4, "peer0", IPV6, icmpv6("fe80::2", 135, "fd00::9")),
        // Behind the tag of VLAN 0, which the receiver ignores.
        (4, "peer0", VLAN, [&[0, 0][..], &IPV6, &icmpv6("fe80::2", 136, "fd00::9")].concat()),
        (5, "peer0", IPV6, icmpv6("fe80::2", 134, "fd00::9")),
        (6, "peer0", ARP, arp("10.0.0.4")),
        (7, "peer0", IPV4, ipv4("10.0.0.4")),
        (8, "peer0", ARP, arp("10.0.0.3")),
        (8, "peer0", IPV4, ipv4("10.0.0.3")),
        (8, "peer0", IPV6, icmpv6("fe80::2", 136, "fd00::8")),
        // Not what its bytes look like.
        (8, "peer0", [0x88, 0xb5], ipv4("10.0.0.2")),
        (8, "peer0", [0x88, 0xb5], arp("10.0.0.2")),
    ];
    for (rule, from, ethertype, payload) in frames {
        assert_comes_back(&mut kernel, &made);
        send_frame(from, ethertype, &payload);
        wait_for("a frame", || counts("bridge", "prerouting").iter().sum::<u32>() > 0);
        let counted = counts("bridge", "prerouting");
        let mut expected = vec![0; 9];
        expected[rule] = 1;
        assert_eq!(counted, expected, "from {from}: {ethertype:02x?} {payload:02x?}");
        assert_is(&mut kernel, &made);
    }
}
