//! The kernel finds in our sets what it should.

use std::io::ErrorKind;
use std::net::UdpSocket;

use podwall_netlink::Kernel;
use podwall_ruleset::*;

use crate::fixture::*;

/// True if a datagram to this port of this host leaves: one that is dropped on its way out is told to the sender.
pub fn leaves(socket: &UdpSocket, to: &str, port: u16) -> bool {
    match socket.send_to(b"x", (to, port)) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => false,
        // An answer to an earlier datagram: nobody listens.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => leaves(socket, to, port),
        Err(error) => panic!("to {to} port {port}: {error}"),
    }
}

pub fn packets_meet_the_right_ranges() {
    run_ip("link set lo up");
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

/// A counter counts what is dropped, and a rule that counts is the same rule.
pub fn packets_meet_the_right_interfaces() {
    for command in [
        "link set lo up",
        "link add 0123456789abcde type veth peer name p",
        "address add 10.1.0.1/24 dev 0123456789abcde",
        "link set p up",
        "link set 0123456789abcde up",
    ] {
        run_ip(command);
    }
    let mut kernel = Kernel::open().unwrap();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    for (prefix, known, long_leaves, lo_leaves) in [
        ("l", "", true, false),
        ("l", "lo", true, true),
        ("lo", "l", true, false),
        ("lol", "", true, true),
        ("0", "", false, true),
        ("01234", "lo", false, true),
        ("0123456789abcd", "", false, true),
        ("0123456789abcde", "", false, true),
        ("0123456789abcde", "0123456789abcde", true, true),
        ("0123456789abcdf", "", true, true),
    ] {
        let known = (!known.is_empty()).then(|| exact(&[interface(known)]));
        let unknown = [
            Match::InterfacePrefix(Field::OutputInterface, InterfaceName::new(prefix).unwrap()),
            Match::NotIn(Field::OutputInterface, name("known")),
        ];
        let drops = Rule::verdict(unknown, Verdict::Drop).counted();
        let sets = [(name("known"), with(Set::new(&[ValueType::Interface]), known))].into();
        let chains = [(name("output"), base(ChainType::Filter, Hook::Output, 0, [drops]))].into();
        let made = ruleset([("podwall", Table { sets, chains })]);
        assert_comes_back(&mut kernel, &made);
        assert_eq!(leaves(&socket, "10.1.0.2", 9), long_leaves, "{prefix}");
        assert_eq!(leaves(&socket, "127.0.0.1", 9), lo_leaves, "{prefix}");
        let dropped = u32::from(!long_leaves) + u32::from(!lo_leaves);
        // The kernel sends something by itself now and then, as multicast reports, and that is dropped too.
        let counted: u32 = counts("inet", "output").into_iter().sum();
        assert!(counted >= dropped && (counted == 0) == (dropped == 0), "{prefix}: {counted} of {dropped}");
        assert_is(&mut kernel, &made);
    }
}
