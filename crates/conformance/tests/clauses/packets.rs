//! Clauses that no verdict over a connection shows, for they are about packets: what is expected of them is written by
//! hand, and asked of node-1's ruleset, interpreted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podwall_compiler::{Attachment, Closed, NodeOptions, NodeState, UnknownPods, compile};
use podwall_policy::Cluster;
use podwall_ruleset::{CtState, Hook, InterfaceName, Packet, Ruleset, judge};

use crate::table::cluster;

const DENY_BOTH: &[(&str, &str)] = &[("x", "podSelector: {}\npolicyTypes: [Ingress, Egress]")];
const REVOKED: u32 = 0x1000_0000;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// a of x, which is on node-1, behind its interface.
const A: (&str, &str, &str) = ("v-x-a", "10.244.0.10", "fd00:0::10");
/// Somebody behind the node's uplink.
const OUTSIDE: (&str, &str, &str) = ("eth0", "203.0.113.98", "2001:db8::98");

fn interface(name: &str) -> InterfaceName {
    InterfaceName::new(name).expect("a short name")
}

fn ruleset(cluster: &Cluster, options: &NodeOptions, closed: &Closed) -> Ruleset {
    let local = cluster.pods.keys().filter(|key| cluster.pods[*key].node.as_deref() == Some("node-1"));
    let attach = |key: &podwall_policy::ObjectKey| {
        (key.clone(), Attachment::Routed(interface(&format!("v-{}-{}", key.namespace, key.name))))
    };
    let attachments: BTreeMap<_, _> = local.map(attach).collect();
    compile(NodeState { cluster, node: "node-1", attachments: &attachments, closed, options }).ruleset
}

fn plain(policies: &[(&str, &str)]) -> Ruleset {
    ruleset(&cluster(policies, ""), &NodeOptions::default(), &Closed::default())
}

/// A packet that is forwarded from one to the other, to TCP port 80 unless it is changed.
fn packet(from: (&str, &str, &str), to: (&str, &str, &str)) -> Packet {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    Packet {
        hook: Hook::Forward,
        input_interface: Some(interface(from.0)),
        output_interface: Some(interface(to.0)),
        source: address(from.1),
        destination: address(to.1),
        protocol: TCP,
        source_port: Some(40_000),
        destination_port: Some(80),
        icmpv6_type: None,
        state: None,
        mark: 0,
        translated: false,
    }
}

fn icmpv6(from: (&str, &str, &str), to: (&str, &str, &str), icmpv6_type: u8) -> Packet {
    Packet {
        source: from.2.parse().expect("an address"),
        destination: to.2.parse().expect("an address"),
        protocol: ICMPV6,
        source_port: None,
        destination_port: None,
        icmpv6_type: Some(icmpv6_type),
        ..packet(from, to)
    }
}

/// S50: replies, and errors about them, need no rule of their own. S51: nor do those of a pod that may open nothing.
#[test]
fn s50_s51_replies_pass_where_nothing_may_be_opened() {
    let ruleset = plain(DENY_BOTH);
    for (from, to) in [(A, OUTSIDE), (OUTSIDE, A)] {
        assert!(!judge(&ruleset, &packet(from, to)), "opened");
        for state in [CtState::Established, CtState::Related] {
            assert!(judge(&ruleset, &Packet { state: Some(state), ..packet(from, to) }), "{state:?}");
        }
    }
}

/// S54: a connection that was revoked stops both ways, and only that one.
#[test]
fn s54_what_is_revoked_stops_both_ways() {
    let options = NodeOptions { revoked_mark: Some(REVOKED), ..NodeOptions::default() };
    let ruleset = ruleset(&cluster(&[], ""), &options, &Closed::default());
    let state = Some(CtState::Established);
    for (from, to) in [(A, OUTSIDE), (OUTSIDE, A)] {
        assert!(!judge(&ruleset, &Packet { state, mark: REVOKED, ..packet(from, to) }));
        assert!(!judge(&ruleset, &Packet { state, mark: REVOKED | 7, ..packet(from, to) }));
        assert!(judge(&ruleset, &Packet { state, mark: !REVOKED, ..packet(from, to) }));
    }
}

/// S57: what connection tracking cannot place is judged like what is new, and not dropped unseen.
#[test]
fn s57_no_rule_asks_whether_a_packet_is_invalid_or_new() {
    let ruleset = plain(&[("x", "podSelector: {}\ningress: [{ports: [{port: 80}]}]")]);
    let text = ruleset.to_string();
    assert!(text.contains("ct state established,related accept"), "{text}");
    assert_eq!(text.matches("ct state").count(), text.matches("ct state established,related accept").count());
    assert!(judge(&ruleset, &packet(OUTSIDE, A)));
    assert!(!judge(&ruleset, &Packet { destination_port: Some(81), ..packet(OUTSIDE, A) }));
}

/// S9: a pod that nobody has told us of is closed, but for its own node.
#[test]
fn s9_who_is_not_known_yet_is_closed() {
    let cluster = cluster(&[], "");
    let unknown = ("v-born", "10.244.0.99", "fd00:0::99");
    let with = |unknown_pods| {
        ruleset(&cluster, &NodeOptions { unknown_pods, ..NodeOptions::default() }, &Closed::default())
    };
    let drop = UnknownPods::Drop { interface_prefixes: vec![interface("v-")], bridge_ranges: Vec::new() };
    for (ruleset, passes) in [(with(UnknownPods::Accept), true), (with(drop), false)] {
        assert_eq!(judge(&ruleset, &packet(unknown, OUTSIDE)), passes);
        assert_eq!(judge(&ruleset, &packet(OUTSIDE, unknown)), passes);
        assert_eq!(judge(&ruleset, &packet(unknown, A)), passes);
        assert!(judge(&ruleset, &packet(A, OUTSIDE)), "a known one stays open");
        let own_node = Packet { hook: Hook::Output, input_interface: None, ..packet(OUTSIDE, unknown) };
        assert!(judge(&ruleset, &own_node));
    }
}

/// S83: the interface of a pod whose object is gone is closed for as long as it is there.
#[test]
fn s83_what_outlives_its_object_is_closed() {
    let gone = ("v-gone", "10.244.0.98", "fd00:0::98");
    let cluster = cluster(&[], "");
    let closed = Closed { interfaces: [interface(gone.0)].into(), addresses: Default::default() };
    for (closed, passes) in [(Closed::default(), true), (closed, false)] {
        let ruleset = ruleset(&cluster, &NodeOptions::default(), &closed);
        assert_eq!(judge(&ruleset, &packet(gone, OUTSIDE)), passes);
        assert_eq!(judge(&ruleset, &packet(OUTSIDE, gone)), passes);
        assert!(judge(&ruleset, &packet(A, OUTSIDE)));
    }
}

/// S93: where a packet is sent from, of its ports, changes nothing.
#[test]
fn s93_source_ports_do_not_matter() {
    let ruleset = plain(&[("x", "podSelector: {}\ningress: [{ports: [{port: 80}]}]")]);
    for source_port in [1, 80, 81, 40_000, 65_535].map(Some) {
        let allowed = Packet { source_port, ..packet(OUTSIDE, A) };
        assert!(judge(&ruleset, &allowed));
        assert!(!judge(&ruleset, &Packet { destination_port: Some(81), ..allowed }));
    }
}

/// S122: what an address is got and found by is not policy's business: neighbour discovery, multicast listeners, and DHCP to
/// all servers. To one server, a datagram is a datagram. (Nobody routes neighbour discovery; where a bridge passes it on, the
/// traps ask for it in forward.)
#[test]
fn s122_neighbour_discovery_and_dhcp_pass() {
    let ruleset = plain(DENY_BOTH);
    for icmpv6_type in (130..=137).chain([143]) {
        let to_node = Packet { hook: Hook::Input, output_interface: None, ..icmpv6(A, OUTSIDE, icmpv6_type) };
        assert!(judge(&ruleset, &to_node), "{icmpv6_type} to the node");
    }
    for icmpv6_type in [1, 128, 129, 138, 142, 144] {
        assert!(!judge(&ruleset, &icmpv6(OUTSIDE, A, icmpv6_type)), "{icmpv6_type}");
    }
    let dhcp = |destination: &str, destination_port| Packet {
        hook: Hook::Input,
        output_interface: None,
        protocol: UDP,
        destination: destination.parse().expect("an address"),
        destination_port: Some(destination_port),
        ..packet(A, OUTSIDE)
    };
    assert!(judge(&ruleset, &dhcp("255.255.255.255", 67)));
    assert!(!judge(&ruleset, &dhcp("255.255.255.255", 68)));
    assert!(!judge(&ruleset, &dhcp("172.18.0.10", 67)));
}

/// S124: an extension header between the IPv6 header and the transport hides nothing.
#[test]
fn s124_the_transport_is_what_the_kernel_found_behind_all_headers() {
    let text =
        plain(&[("x", "podSelector: {}\ningress: [{ports: [{port: 80}, {protocol: UDP}]}]")]).to_string();
    assert!(text.contains("meta l4proto"), "{text}");
    assert!(!text.contains("nexthdr") && !text.contains("ip protocol"), "{text}");
}
