//! What rules count, and connections told apart by their mark.

use std::net::UdpSocket;

use podwall_netlink::{Conntrack, ConntrackFilter, Kernel};
use podwall_ruleset::*;

use crate::fixture::*;
use crate::packets::leaves;

fn counts_of(kernel: &mut Kernel) -> Vec<(String, usize, u64, u64)> {
    let counters = kernel.counters(&table_id("podwall")).unwrap();
    counters.into_iter().map(|it| (it.chain.to_string(), it.rule, it.packets, it.bytes)).collect()
}

pub fn what_rules_counted_is_read() {
    run_ip("link set lo up");
    let mut kernel = Kernel::open().unwrap();
    assert_eq!(counts_of(&mut kernel), []);
    let port = |number| {
        is_in(
            &[Field::DestinationPortOf(Protocol::Udp)],
            anonymous(with(Set::new(&[ValueType::Port]), [exact(&[Value::Port(number)])])),
        )
    };
    let rules = [
        Rule::verdict([port(7)], Verdict::Drop),
        Rule::verdict([port(8)], jump("counted")).counted(),
        Rule::verdict([port(9)], Verdict::Drop).counted(),
    ];
    let counted = [Rule::verdict([port(8)], Verdict::Return), Rule::verdict([], Verdict::Drop).counted()];
    let chains = [
        (name("counted"), chain(counted)),
        (name("output"), base(ChainType::Filter, Hook::Output, 0, rules)),
    ];
    let made = ruleset([("podwall", Table { sets: [].into(), chains: chains.into() })]);
    assert_comes_back(&mut kernel, &made);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in [7, 8, 8, 8, 9, 10] {
        assert_eq!(leaves(&socket, "127.0.0.1", number), matches!(number, 8 | 10));
    }
    let (datagram, chain) = (29, |text: &str| text.to_owned());
    let expected = [
        (chain("counted"), 1, 0, 0),
        (chain("output"), 1, 3, 3 * datagram),
        (chain("output"), 2, 1, datagram),
    ];
    assert_eq!(counts_of(&mut kernel), expected);
    // Rules that we cannot read have a place all the same.
    nft(
        &["-f", "-"],
        "insert rule inet podwall output meta mark set 1 reject\nadd rule inet podwall output counter",
    );
    let shifted = [
        (chain("counted"), 1, 0, 0),
        (chain("output"), 2, 3, 3 * datagram),
        (chain("output"), 3, 1, datagram),
        (chain("output"), 4, 0, 0),
    ];
    assert_eq!(counts_of(&mut kernel), shifted);
}

/// A packet of no connection has no mark, not the mark 0.
pub fn a_marked_connection_is_told_apart() {
    const BIT: u32 = 1 << 28;
    run_ip("link set lo up");
    let mut kernel = Kernel::open().unwrap();
    let established = Match::CtState([CtState::Established].into_iter().collect());
    let mark = |value| Match::CtMark { mask: BIT, value };
    let rules = [
        Rule::verdict([established, mark(0)], Verdict::Accept).counted(),
        Rule::verdict([mark(BIT)], Verdict::Drop).counted(),
    ];
    let untracked = [Rule::verdict([mark(0)], Verdict::Drop).counted()];
    let chains = [
        (name("output"), base(ChainType::Filter, Hook::Output, 0, rules)),
        (name("raw"), base(ChainType::Filter, Hook::Output, -300, untracked)),
    ];
    kernel
        .apply(&creation(&ruleset([("podwall", Table { sets: [].into(), chains: chains.into() })])))
        .unwrap();
    let (client, server) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let mut conntrack = Conntrack::open().unwrap();
    let both_leave = || {
        let there = leaves(&client, "127.0.0.1", port(&server));
        (there, leaves(&server, "127.0.0.1", port(&client)))
    };
    assert_eq!(both_leave(), (true, true));
    for (value, expected) in [(0xff, true), (BIT, false), (u32::MAX, false), (!BIT, true), (0, true)] {
        let mut entries = Vec::new();
        conntrack.list(ConntrackFilter::default(), |entry| entries.push(entry)).unwrap();
        assert_eq!(conntrack.set_mark(&entries, value, u32::MAX).unwrap(), 1);
        assert_eq!(both_leave(), (expected, expected), "{value:#x}");
    }
    let dropped = counts_of(&mut kernel);
    assert_eq!(dropped[1].2, 4);
    assert_eq!(dropped[2].2, 0, "dropped without a connection");
}
