//! Rulesets, and the transactions that make them from nothing.

use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use podwall_netlink::{Kernel, ReadBack};
use podwall_ruleset::*;

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn table_id(text: &str) -> TableId {
    TableId { family: Family::Inet, name: name(text) }
}

pub fn interface(text: &str) -> Value {
    Value::Interface(InterfaceName::new(text).unwrap())
}

pub fn ip(text: &str) -> Value {
    match text.parse().unwrap() {
        IpAddr::V4(address) => Value::Ipv4(address),
        IpAddr::V6(address) => Value::Ipv6(address),
    }
}

pub fn range(first: Value, last: Value) -> Key {
    Key::Range(first, last)
}

pub fn ports(first: u16, last: u16) -> Key {
    Key::Range(Value::Port(first), Value::Port(last))
}

pub fn exact(values: &[Value]) -> Key {
    Key::Exact(values.iter().cloned().collect())
}

pub fn jump(chain: &str) -> Verdict {
    Verdict::Jump(name(chain))
}

pub fn goto(chain: &str) -> Verdict {
    Verdict::Goto(name(chain))
}

pub fn with(mut set: Set, keys: impl IntoIterator<Item = Key>) -> Set {
    set.elements.extend(keys.into_iter().map(|key| (key, Element::default())));
    set
}

pub fn with_verdicts(set: Set, elements: impl IntoIterator<Item = (Key, Verdict)>) -> Set {
    let mut set = set.to_verdicts();
    set.elements.extend(elements.into_iter().map(|(key, verdict)| (key, Element::verdict(verdict))));
    set
}

pub fn anonymous(set: Set) -> SetRef {
    SetRef::Anonymous(Box::new(set))
}

pub fn is_in(fields: &[Field], set: SetRef) -> Match {
    Match::In(fields.iter().copied().collect(), set)
}

pub fn named(set: &str) -> SetRef {
    SetRef::Named(name(set))
}

pub fn vmap(fields: &[Field], set: SetRef) -> Rule {
    Rule::new([], Statement::VerdictMap(fields.iter().copied().collect(), set))
}

pub fn accept(matches: impl IntoIterator<Item = Match>) -> Rule {
    Rule::verdict(matches, Verdict::Accept)
}

pub fn returns(matches: impl IntoIterator<Item = Match>) -> Rule {
    Rule::verdict(matches, Verdict::Return)
}

pub fn chain(rules: impl IntoIterator<Item = Rule>) -> Chain {
    Chain { base: None, comment: None, rules: rules.into_iter().collect() }
}

pub fn base(
    chain_type: ChainType,
    hook: Hook,
    priority: i32,
    rules: impl IntoIterator<Item = Rule>,
) -> Chain {
    Chain { base: Some(BaseChain { chain_type, hook, priority }), ..chain(rules) }
}

pub fn ruleset(tables: impl IntoIterator<Item = (&'static str, Table)>) -> Ruleset {
    Ruleset { tables: tables.into_iter().map(|(name, table)| (table_id(name), table)).collect() }
}

/// The transaction that replaces the tables of a ruleset, whatever they hold.
pub fn creation(ruleset: &Ruleset) -> Transaction {
    let mut operations = Vec::new();
    for (id, table) in &ruleset.tables {
        let id = || id.clone();
        operations.extend([
            Operation::AddTable(id()),
            Operation::DeleteTable(id()),
            Operation::AddTable(id()),
        ]);
        for (name, set) in &table.sets {
            operations.push(Operation::AddSet {
                table: id(),
                name: name.clone(),
                set: Box::new(set.clone()),
            });
        }
        for (name, chain) in &table.chains {
            let (base, comment) = (chain.base, chain.comment.clone());
            operations.push(Operation::AddChain { table: id(), name: name.clone(), base, comment });
        }
        for (name, set) in table.sets.iter().filter(|(_, set)| !set.elements.is_empty()) {
            let elements = set.elements.iter().map(|(key, element)| (key.clone(), element.clone())).collect();
            operations.push(Operation::AddElements { table: id(), set: name.clone(), elements });
        }
        for (name, chain) in &table.chains {
            operations.extend(chain.rules.iter().map(|rule| Operation::AddRule {
                table: id(),
                chain: name.clone(),
                rule: Box::new(rule.clone()),
            }));
        }
    }
    Transaction { operations }
}

/// Applies the whole ruleset and reads it back.
pub fn assert_comes_back(kernel: &mut Kernel, ruleset: &Ruleset) {
    kernel.apply(&creation(ruleset)).unwrap_or_else(|error| panic!("{error}"));
    assert_is(kernel, ruleset);
}

pub fn assert_is(kernel: &mut Kernel, ruleset: &Ruleset) {
    let tables: Vec<TableId> = ruleset.tables.keys().cloned().collect();
    let found = match kernel.read(&tables).unwrap() {
        ReadBack::Exactly(found) => found,
        foreign => panic!("{foreign}"),
    };
    for (id, table) in &ruleset.tables {
        let found = &found.tables[id];
        for (name, chain) in &table.chains {
            assert_eq!(found.chains.get(name), Some(chain), "chain {name}");
        }
        for (name, set) in &table.sets {
            let found = &found.sets[name];
            assert!(found.same_definition(set), "{name}: {found:?}\ninstead of\n{set:?}");
            for (found, expected) in found.elements.iter().zip(&set.elements) {
                assert_eq!(found, expected, "set {name}");
            }
        }
    }
    assert!(found == *ruleset, "there is more than was made");
}

/// Runs `ip` in this network namespace.
pub fn run_ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status();
    assert!(
        done.is_ok_and(|status| status.success()),
        "`ip {arguments}` does not work: install iproute2 to run these tests"
    );
}

/// What the counters of the rules of a chain of table podwall have counted.
pub fn counts(family: &str, chain: &str) -> Vec<u32> {
    let listed = nft(&["list", "chain", family, "podwall", chain], "");
    let counters = listed.split("counter packets ").skip(1);
    counters.map(|rest| rest.split_once(' ').unwrap().0.parse().unwrap()).collect()
}

/// Runs nft in this network namespace.
pub fn nft(arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("`nft` does not start ({error}): install nftables to run these tests")
        });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "nft {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Everything that rules say of packets in tables of one family, and names and comments as long as they get.
pub fn everything() -> Ruleset {
    use Field::{
        DestinationIpv4, DestinationIpv6, DestinationPort, DestinationPortOf, Icmpv6Type, InputInterface,
        OutputInterface, SourceIpv4, SourceIpv6,
    };
    let long = "v".repeat(15);
    let any_port = || ports(0, u16::MAX);
    let recent = Dynamic { size: 512, timeout_s: 30 };
    let limit = |rate_per_s| Limit { rate_per_s, burst: 20 };
    let log = |group| Statement::Log(Log { group, prefix: Comment::new("podwall denied egress") });
    let sets = [
        ("recent.v4", Set::new(&[ValueType::Ipv4]).of_recent(recent)),
        ("recent.v6", Set::new(&[ValueType::Ipv6]).of_recent(recent).with_comment(Comment::new("who"))),
        ("recent-interfaces", Set::new(&[ValueType::Interface]).of_recent(recent)),
        (
            "blocks.v4",
            with(Set::new(&[ValueType::Ipv4]).of_ranges(), [range(ip("0.0.0.0"), ip("255.255.255.255"))]),
        ),
        (
            "egress",
            with_verdicts(
                Set::new(&[ValueType::Interface]),
                [
                    (exact(&[interface("veth1")]), jump("egress/web")),
                    (exact(&[interface(&long)]), goto("from-1")),
                ],
            ),
        ),
        (
            "hairpin",
            with(
                Set::new(&[ValueType::Interface, ValueType::Interface]),
                [
                    exact(&[interface("veth1"), interface("veth1")]),
                    exact(&[interface(&long), interface(&long)]),
                ],
            ),
        ),
        ("pods.v4", with(Set::new(&[ValueType::Ipv4]), [exact(&[ip("10.0.0.1")]), exact(&[ip("10.0.0.2")])])),
        ("pods.v6", Set::new(&[ValueType::Ipv6]).with_comment(Comment::new("app=web, tier in (a, b)"))),
        (
            "service",
            with_verdicts(
                Set::new(&[ValueType::Ipv4, ValueType::Protocol, ValueType::Port]),
                [(
                    exact(&[ip("10.96.0.1"), Value::Protocol(Protocol::Tcp), Value::Port(80)]),
                    jump("from-1"),
                )],
            ),
        ),
        (
            "six",
            with(
                Set::new(&[ValueType::Ipv6, ValueType::Protocol, ValueType::Port]),
                [exact(&[ip("fd00::1"), Value::Protocol(Protocol::Sctp), Value::Port(53)])],
            ),
        ),
        ("types", with(Set::new(&[ValueType::Icmpv6Type]), [exact(&[Value::Icmpv6Type(1)])])),
    ];
    let ports_to =
        |keys: Vec<(Key, Verdict)>| anonymous(with_verdicts(Set::new(&[ValueType::Port]).of_ranges(), keys));
    let protocol = |protocol, verdict| (exact(&[Value::Protocol(protocol)]), verdict);
    let tcp = DestinationPortOf(Protocol::Tcp);
    let from = chain([
        returns([Match::in_set(SourceIpv4, &name("pods.v4"))]),
        returns([Match::in_set(SourceIpv6, &name("pods.v6"))]),
        returns([Match::in_set(DestinationIpv4, &name("blocks.v4"))]),
        returns([Match::in_set(DestinationIpv6, &name("pods.v6"))]),
        returns([Match::Family(IpFamily::Ipv4), Match::Protocol(Protocol::Udp)]),
        Rule::verdict([Match::Family(IpFamily::Ipv6)], Verdict::Drop),
        Rule { comment: Some(Comment::new(&"c".repeat(200))), ..Rule::verdict([], Verdict::Drop) },
    ]);
    let egress = Chain {
        comment: Some(Comment::new("default/allow-db, default/deny-all")),
        ..chain([
            vmap(
                &[tcp],
                ports_to(vec![
                    (ports(80, 80), goto("from-1")),
                    (ports(81, 89), Verdict::Return),
                    (ports(90, 99), Verdict::Accept),
                    (ports(32000, 65535), goto("from-1")),
                ]),
            ),
            vmap(&[DestinationPortOf(Protocol::Udp)], ports_to(vec![(any_port(), goto("from-1"))])),
            vmap(
                &[Field::Protocol],
                anonymous(with_verdicts(
                    Set::new(&[ValueType::Protocol]),
                    [protocol(Protocol::Tcp, goto("from-1")), protocol(Protocol::Sctp, Verdict::Drop)],
                )),
            ),
            vmap(
                &[Field::Protocol, DestinationPort],
                anonymous(with_verdicts(
                    Set::new(&[ValueType::Protocol, ValueType::Port]),
                    [(exact(&[Value::Protocol(Protocol::Tcp), Value::Port(80)]), jump("from-1"))],
                )),
            ),
            vmap(&[DestinationIpv4, Field::Protocol, DestinationPort], named("service")),
            Rule::verdict([Match::Protocol(Protocol::Sctp)], goto("from-1")),
            returns([is_in(&[SourceIpv6, Field::Protocol, DestinationPort], named("six"))]),
            returns([
                is_in(
                    &[tcp],
                    anonymous(with(Set::new(&[ValueType::Port]).of_ranges(), [ports(0, 5), ports(80, 80)])),
                ),
                Match::in_set(SourceIpv4, &name("pods.v4")),
            ]),
            returns([Match::SourcePorts(Protocol::Udp, 0, 65535)]),
            returns([Match::Family(IpFamily::Ipv4), Match::SourcePorts(Protocol::Tcp, 7, 9)]),
        ])
    };
    let forward = base(
        ChainType::Filter,
        Hook::Forward,
        0,
        [
            accept([Match::CtState([CtState::Established, CtState::Related].into_iter().collect())]),
            accept([Match::CtState([CtState::Related].into_iter().collect())]),
            accept([
                Match::CtState([CtState::Established].into_iter().collect()),
                Match::CtMark { mask: 1 << 28, value: 0 },
            ]),
            Rule::verdict([Match::CtMark { mask: 1 << 28, value: 1 << 28 }], Verdict::Drop).counted(),
            accept([Match::CtMark { mask: 0xf0f0, value: 0x30 }, Match::Family(IpFamily::Ipv4)]),
            accept([is_in(
                &[Icmpv6Type],
                anonymous(with(
                    Set::new(&[ValueType::Icmpv6Type]).of_ranges(),
                    [
                        range(Value::Icmpv6Type(130), Value::Icmpv6Type(137)),
                        range(Value::Icmpv6Type(143), Value::Icmpv6Type(143)),
                    ],
                )),
            )]),
            accept([is_in(&[InputInterface, OutputInterface], named("hairpin"))]),
            accept([Match::in_set(Icmpv6Type, &name("types"))]),
            vmap(&[InputInterface], named("egress")),
            vmap(&[OutputInterface], named("egress")),
        ],
    );
    let udp_ports =
        with(Set::new(&[ValueType::Port]), [exact(&[Value::Port(67)]), exact(&[Value::Port(547)])]);
    let input = base(
        ChainType::Filter,
        Hook::Input,
        -5,
        [accept([is_in(&[DestinationPortOf(Protocol::Udp)], anonymous(udp_ports))])],
    );
    let dnat = |to: &str| Statement::Dnat(to.parse::<SocketAddr>().unwrap());
    let prerouting = base(
        ChainType::Nat,
        Hook::Prerouting,
        -100,
        [
            Rule::new([Match::SourcePorts(Protocol::Tcp, 1024, 9999)], dnat("10.0.0.1:8080")),
            Rule::new([Match::Family(IpFamily::Ipv6), Match::Protocol(Protocol::Udp)], dnat("[fd00::1]:53")),
        ],
    );
    let pair = with(Set::new(&[ValueType::Interface; 2]), [exact(&[interface("a"), interface("b")])]);
    let postrouting = base(
        ChainType::Nat,
        Hook::Postrouting,
        100,
        [Rule::new(
            [Match::CtStatusDnat, is_in(&[InputInterface, OutputInterface], anonymous(pair))],
            Statement::Masquerade,
        )],
    );
    let each = |field, set| Match::LimitEach(field, name(set), limit(10));
    let denied = chain([
        Rule::new([each(SourceIpv4, "recent.v4"), Match::Limit(limit(200))], log(9427)).counted(),
        Rule::new([each(SourceIpv6, "recent.v6")], log(0)),
        Rule::new([Match::Limit(limit(1)), each(InputInterface, "recent-interfaces")], log(u16::MAX)),
        Rule::new([Match::Protocol(Protocol::Udp), each(DestinationIpv4, "recent.v4")], log(1)),
        Rule { comment: Some(Comment::new("all")), ..Rule::new([], log(2)) },
        Rule::verdict([Match::Limit(limit(7))], Verdict::Drop).counted(),
    ]);
    let chains = [
        ("denied/egress", denied),
        ("egress/web", egress),
        ("forward", forward),
        ("from-1", from),
        ("input", input),
        ("output", base(ChainType::Filter, Hook::Output, 10, [])),
        ("postrouting", postrouting),
        ("prerouting", prerouting),
    ];
    let table = Table {
        sets: sets.into_iter().map(|(text, set)| (name(text), set)).collect(),
        chains: chains.into_iter().map(|(text, chain)| (name(text), chain)).collect(),
    };
    ruleset([("podwall", table), ("podwall-empty", Table::default())])
}
