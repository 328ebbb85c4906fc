//! Tables of both families under one name, with counters, interfaces by prefix and neighbours.

use podwall_netlink::{Kernel, ReadBack, encode};
use podwall_ruleset::*;

use crate::fixture::*;
use crate::listing::{assert_lines, normal};

/// What nft, given our text, would make with other expressions: it lets matches share what they depend on, and
/// compares with the single element of a constant.
const NOT_FROM_TEXT: &str = "not-from-text";

pub fn bridge_id(text: &str) -> TableId {
    TableId { family: Family::Bridge, name: name(text) }
}

fn prefix(field: Field, text: &str) -> Match {
    Match::InterfacePrefix(field, InterfaceName::new(text).unwrap())
}

fn target(text: &str) -> Match {
    Match::NeighbourTarget(text.parse().unwrap())
}

fn drops(matches: impl IntoIterator<Item = Match>) -> Rule {
    Rule::verdict(matches, Verdict::Drop)
}

fn icmpv6_types(numbers: &[u8]) -> Match {
    let keys = numbers.iter().map(|number| exact(&[Value::Icmpv6Type(*number)]));
    is_in(&[Field::Icmpv6Type], anonymous(with(Set::new(&[ValueType::Icmpv6Type]), keys)))
}

fn icmpv6_ranges() -> Match {
    let keys = [(130, 133), (135, 136), (143, 143)]
        .map(|(first, last)| range(Value::Icmpv6Type(first), Value::Icmpv6Type(last)));
    is_in(&[Field::Icmpv6Type], anonymous(with(Set::new(&[ValueType::Icmpv6Type]).of_ranges(), keys)))
}

fn link_local() -> Match {
    Match::in_set(Field::SourceIpv6, &name("link-local"))
}

fn table(family: Family) -> Table {
    use Field::{
        DestinationIpv4, DestinationIpv6, DestinationPort, DestinationPortOf, Icmpv6Type, InputInterface,
        OutputInterface, SourceIpv4, SourceIpv6,
    };
    let veth = || interface("veth1");
    let sets = [
        ("known", with(Set::new(&[ValueType::Interface]), [exact(&[veth()])])),
        (
            "link-local",
            with(
                Set::new(&[ValueType::Ipv6]).of_ranges(),
                [range(ip("fe80::"), ip("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))],
            ),
        ),
        (
            "neighbours",
            with_verdicts(Set::new(&[ValueType::Interface]), [(exact(&[veth()]), jump("neighbour"))]),
        ),
        ("pods.v4", with(Set::new(&[ValueType::Ipv4]), [exact(&[ip("10.0.0.1")])])),
        ("pods.v6", with(Set::new(&[ValueType::Ipv6]), [exact(&[ip("fd00::1")])])),
        (
            "sources.v4",
            with(Set::new(&[ValueType::Interface, ValueType::Ipv4]), [exact(&[veth(), ip("10.0.0.1")])]),
        ),
        (
            "sources.v6",
            with(Set::new(&[ValueType::Interface, ValueType::Ipv6]), [exact(&[veth(), ip("fd00::1")])]),
        ),
        (
            "types",
            with(
                Set::new(&[ValueType::Icmpv6Type]),
                [exact(&[Value::Icmpv6Type(136)]), exact(&[Value::Icmpv6Type(200)])],
            ),
        ),
        (
            "types.all",
            with(
                Set::new(&[ValueType::Icmpv6Type]),
                (0..=255).map(|number| exact(&[Value::Icmpv6Type(number)])),
            ),
        ),
    ];
    let neighbour = chain([
        // Where it is the first match, not even newer versions of nft know what it is.
        returns([target("fd00::1")]),
        returns([target("1::")]),
        drops([]).counted(),
    ]);
    let mut checks = chain([
        accept([is_in(&[InputInterface, SourceIpv4], named("sources.v4"))]),
        accept([is_in(&[InputInterface, SourceIpv6], named("sources.v6"))]).counted(),
        accept([is_in(&[SourceIpv4, Field::Protocol, DestinationPort], service())]),
        returns([icmpv6_ranges()]),
        returns([icmpv6_types(&[135, 136]), target("fd00::1")]).counted(),
        returns([Match::in_set(Icmpv6Type, &name("types")), target("fe80::1:0:1")]),
        Rule {
            comment: Some(Comment::new("why")),
            ..Rule::verdict([Match::in_set(DestinationIpv4, &name("pods.v4"))], jump("neighbour")).counted()
        },
        Rule { counter: true, ..vmap(&[InputInterface], named("neighbours")) },
    ]);
    let unknown = chain([
        drops([prefix(InputInterface, "veth"), Match::NotIn(InputInterface, name("known"))]).counted(),
        drops([prefix(OutputInterface, "v"), Match::NotIn(OutputInterface, name("known"))]),
        drops([prefix(InputInterface, "0123456789abcd")]),
        drops([Match::NotIn(SourceIpv4, name("pods.v4"))]),
        drops([Match::NotIn(DestinationIpv6, name("pods.v6"))]).counted(),
        drops([Match::NotIn(Icmpv6Type, name("types"))]),
        drops([
            is_in(
                &[DestinationPortOf(Protocol::Udp)],
                anonymous(with(
                    Set::new(&[ValueType::Port]),
                    [exact(&[Value::Port(546)]), exact(&[Value::Port(547)])],
                )),
            ),
            Match::NotIn(SourceIpv6, name("pods.v6")),
        ]),
    ]);
    let not_from_text = chain([
        returns([link_local(), icmpv6_ranges()]),
        returns([link_local(), Match::in_set(Icmpv6Type, &name("types")), target("::")]).counted(),
        returns([icmpv6_ranges(), link_local()]),
        returns([icmpv6_types(&[136]), target("fd00::1")]).counted(),
        returns([icmpv6_types(&[200])]),
        // Newer versions of nft have an expression for ranges.
        returns([Match::SourcePorts(Protocol::Tcp, 7, 9)]).counted(),
        // nft takes no text of 15 characters and an asterisk.
        drops([prefix(InputInterface, "0123456789abcde")]).counted(),
        Rule { counter: true, ..vmap(&[Icmpv6Type], one_type()) },
    ]);
    let spoofed = base(
        ChainType::Filter,
        Hook::Prerouting,
        -250,
        [Rule::verdict([Match::in_set(InputInterface, &name("known"))], jump("checks"))],
    );
    if family == Family::Bridge {
        checks.rules.extend([
            accept([is_in(&[InputInterface, Field::ArpSource], named("sources.v4"))]).counted(),
            accept([Match::in_set(Field::ArpSource, &name("pods.v4"))]),
            drops([Match::NotIn(Field::ArpSource, name("pods.v4"))]).counted(),
        ]);
    }
    let chains = [
        ("checks", checks),
        ("neighbour", neighbour),
        (NOT_FROM_TEXT, not_from_text),
        ("prerouting", spoofed),
        ("unknown", unknown),
    ];
    Table {
        sets: sets.into_iter().map(|(text, set)| (name(text), set)).collect(),
        chains: chains.into_iter().map(|(text, chain)| (name(text), chain)).collect(),
    }
}

fn service() -> SetRef {
    let key = [ip("10.0.0.1"), Value::Protocol(Protocol::Tcp), Value::Port(80)];
    anonymous(with(Set::new(&[ValueType::Ipv4, ValueType::Protocol, ValueType::Port]), [exact(&key)]))
}

fn one_type() -> SetRef {
    let key = exact(&[Value::Icmpv6Type(133)]);
    anonymous(with_verdicts(Set::new(&[ValueType::Icmpv6Type]), [(key, Verdict::Drop)]))
}

fn both() -> Ruleset {
    let families = [Family::Inet, Family::Bridge];
    let id = |family| TableId { family, name: name("podwall") };
    Ruleset { tables: families.map(|family| (id(family), table(family))).into() }
}

pub fn both_families_come_back() {
    let mut kernel = Kernel::open().unwrap();
    let both = both();
    assert_comes_back(&mut kernel, &both);
    assert_comes_back(&mut kernel, &both);

    // Each alone, and the other one gone.
    for (id, other) in
        [(table_id("podwall"), bridge_id("podwall")), (bridge_id("podwall"), table_id("podwall"))]
    {
        kernel.apply(&creation(&both)).unwrap();
        kernel.apply(&Transaction { operations: vec![Operation::DeleteTable(other.clone())] }).unwrap();
        let left = Ruleset { tables: [(id.clone(), both.tables[&id].clone())].into() };
        assert_eq!(kernel.read(&[id, other]).unwrap(), ReadBack::Exactly(left));
    }
}

pub fn nft_lists_both_families_as_they_print() {
    let mut kernel = Kernel::open().unwrap();
    let both = both();
    kernel.apply(&diff(&Known::Unknown, &both)).unwrap();
    let listed = nft(&["list", "ruleset"], "");
    assert_lines(&normal(&listed), &normal(&printed(&both, &listed)));
}

/// The text of a ruleset, where newer versions of nft have a name for what a neighbour message is about with it.
fn printed(ruleset: &Ruleset, listed: &str) -> String {
    let mut text = ruleset.to_string();
    if listed.contains("icmpv6 taddr") {
        for address in ["fd00::1", "fe80::1:0:1", "::"] {
            let lines = text.lines().map(|line| match line.split_once("icmpv6 type ") {
                Some(_) => line.replace(&target(address).to_string(), &format!("icmpv6 taddr {address}")),
                None => line.to_owned(),
            });
            text = lines.map(|line| line + "\n").collect();
        }
    }
    text
}

pub fn we_read_what_nft_makes_of_both_families() {
    let mut kernel = Kernel::open().unwrap();
    let mut both = both();
    for table in both.tables.values_mut() {
        table.chains.remove(&name(NOT_FROM_TEXT)).unwrap();
    }
    // On a bridge nft looks into the frame's header for the type of ICMPv6 messages, unless it is told not to.
    let text = both.to_string();
    let (inet, bridge) = text.split_once("table bridge").unwrap();
    let bridge = bridge.replace("\ticmpv6 type", "\tmeta protocol ip6 icmpv6 type");
    nft(&["-f", "-"], &format!("{inet}table bridge{bridge}"));
    assert_is(&mut kernel, &both);
}

pub fn foreign_things_are_seen_on_bridges() {
    let mut kernel = Kernel::open().unwrap();
    let both = both();
    for (commands, part) in [
        ("add rule bridge podwall neighbour ether type ip drop", "ethertype 0x0800"),
        ("add rule bridge podwall neighbour meta protocol ip drop", "`meta nfproto`"),
        ("add rule bridge podwall neighbour meta protocol arp arp saddr ip @pods.v4 drop", "rule 4"),
        ("add rule bridge podwall neighbour ip6 saddr @pods.v6 icmpv6 type 1 drop", "rule 4"),
        ("add rule bridge podwall neighbour iifname veth1 drop", "a whole interface's name"),
        ("add rule bridge podwall neighbour iifname . ip saddr != @sources.v4 drop", "rule 4"),
        ("add rule bridge podwall neighbour ip saddr != { 1.1.1.1, 2.2.2.2 } drop", "rule 4"),
        ("add rule bridge podwall neighbour counter ip saddr @pods.v4 drop", "write differently"),
        ("add rule bridge podwall neighbour counter counter drop", "write differently"),
        ("add rule bridge podwall neighbour counter", "without a statement"),
        ("add rule bridge podwall neighbour ether saddr 2:0:0:0:0:1 drop", "rule 4"),
        ("add counter bridge podwall extra", "an object"),
        ("add table bridge podwall { flags dormant; }", "dormant"),
    ] {
        kernel.apply(&creation(&both)).unwrap();
        nft(&["-f", "-"], commands);
        match kernel.read(&[table_id("podwall"), bridge_id("podwall")]).unwrap() {
            ReadBack::Foreign { table, what } => {
                assert_eq!(table, bridge_id("podwall"));
                assert!(what.contains(part), "{commands}: {what}");
            }
            ReadBack::Exactly(_) => panic!("{commands}: not seen"),
        }
    }
    // In the table of the same name of the other family there is nothing wrong.
    let inet = Ruleset { tables: [(table_id("podwall"), table(Family::Inet))].into() };
    assert_is(&mut kernel, &inet);
}

/// A rule that its family cannot have is never sent.
pub fn families_keep_to_their_own() {
    for (id, condition, part) in [
        (bridge_id("t"), Match::Family(IpFamily::Ipv4), "bridge family"),
        (table_id("t"), Match::in_set(Field::ArpSource, &name("s")), "`arp saddr`"),
        (table_id("t"), Match::NotIn(Field::ArpSource, name("s")), "`arp saddr`"),
        (bridge_id("t"), prefix(Field::SourceIpv4, "veth"), "a prefix"),
    ] {
        let rule = Box::new(drops([condition]));
        let operations = vec![Operation::AddRule { table: id, chain: name("c"), rule }];
        let error = encode(&Transaction { operations }, 1).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}
