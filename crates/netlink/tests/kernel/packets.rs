//! The kernel finds in our sets what it should.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Command;

use podwall_netlink::Kernel;
use podwall_ruleset::*;

use crate::fixture::*;

/// True if a datagram to this port of this host leaves: one that is dropped on its way out is told to the sender.
fn leaves(socket: &UdpSocket, to: &str, port: u16) -> bool {
    match socket.send_to(b"x", (to, port)) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => false,
        // An answer to an earlier datagram: nobody listens.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => leaves(socket, to, port),
        Err(error) => panic!("to {to} port {port}: {error}"),
    }
}

pub fn packets_meet_the_right_ranges() {
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(
        up.is_ok_and(|status| status.success()),
        "`ip` does not work: install iproute2 to run these tests"
    );
    let mut kernel = Kernel::open().unwrap();
    let verdicts = [
        (ports(1, 79), Verdict::Drop),
        (ports(80, 80), Verdict::Return),
        (ports(81, 89), Verdict::Drop),
        (ports(90, 99), goto("dropped")),
        (ports(65000, 65534), Verdict::Return),
        (ports(65535, 65535), jump("dropped")),
    ];
    let udp_port = Field::DestinationPortOf(Protocol::Udp);
    let map = with_verdicts(Set::new(&[ValueType::Port]).of_ranges(), verdicts);
    let blocks = [range(ip("127.0.0.0"), ip("127.0.0.9")), range(ip("127.0.1.0"), ip("255.255.255.255"))];
    let blocks = with(Set::new(&[ValueType::Ipv4]).of_ranges(), blocks);
    let service = [ip("127.0.0.77"), Value::Protocol(Protocol::Udp), Value::Port(5000)];
    let service = with(Set::new(&[ValueType::Ipv4, ValueType::Protocol, ValueType::Port]), [exact(&service)]);
    let interfaces = with(Set::new(&[ValueType::Interface]), [exact(&[interface("lo")])]);
    let expected = [
        (1, false),
        (79, false),
        (80, true),
        (81, false),
        (89, false),
        (90, false),
        (99, false),
        (100, true),
        (64999, true),
        (65000, true),
        (65534, true),
        (65535, false),
    ];
    for named_map in [true, false] {
        let reference = if named_map { named("ports") } else { anonymous(map.clone()) };
        let service_fields = [Field::DestinationIpv4, Field::Protocol, Field::DestinationPort];
        let rules = [
            Rule::verdict([is_in(&service_fields, named("service"))], Verdict::Drop),
            accept([Match::in_set(Field::DestinationIpv4, &name("blocks")), Match::Protocol(Protocol::Tcp)]),
            vmap(&[udp_port], reference),
            Rule::verdict(
                [
                    Match::in_set(Field::OutputInterface, &name("interfaces")),
                    Match::SourcePorts(Protocol::Udp, 1, 9),
                ],
                Verdict::Drop,
            ),
            Rule::verdict(
                [
                    Match::Family(IpFamily::Ipv4),
                    Match::in_set(Field::DestinationIpv4, &name("blocks")),
                    is_in(
                        &[udp_port],
                        anonymous(with(Set::new(&[ValueType::Port]), [exact(&[Value::Port(7777)])])),
                    ),
                ],
                Verdict::Drop,
            ),
        ];
        let chains = [
            (name("dropped"), chain([Rule::verdict([], Verdict::Drop)])),
            (name("output"), base(ChainType::Filter, Hook::Output, 0, rules)),
        ];
        let sets = [
            (name("blocks"), blocks.clone()),
            (name("interfaces"), interfaces.clone()),
            (name("ports"), map.clone()),
            (name("service"), service.clone()),
        ];
        let table = Table { sets: sets.into(), chains: chains.into() };
        assert_comes_back(&mut kernel, &ruleset([("podwall", table)]));

        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (port, expected) in expected {
            assert_eq!(leaves(&socket, "127.0.0.1", port), expected, "port {port}");
        }
        for (to, expected) in
            [("127.0.0.9", false), ("127.0.0.10", true), ("127.0.1.0", false), ("127.9.9.9", false)]
        {
            assert_eq!(leaves(&socket, to, 7777), expected, "{to}");
        }
        assert!(!leaves(&socket, "127.0.0.77", 5000));
        assert!(leaves(&socket, "127.0.0.77", 5001) && leaves(&socket, "127.0.0.78", 5000));
        let low = UdpSocket::bind("127.0.0.1:9").unwrap();
        assert!(!leaves(&low, "127.0.0.10", 5000));
    }
}
