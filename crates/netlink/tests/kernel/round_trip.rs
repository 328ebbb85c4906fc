//! What is applied is what is read back.

use podwall_netlink::{Kernel, ReadBack};
use podwall_ruleset::*;

use crate::fixture::*;

pub fn what_is_applied_is_read_back() {
    let mut kernel = Kernel::open().unwrap();
    let ruleset = everything();
    assert_comes_back(&mut kernel, &ruleset);
    // And again, over itself.
    assert_comes_back(&mut kernel, &ruleset);
    kernel.apply(&Transaction::default()).unwrap();
    assert_is(&mut kernel, &ruleset);
}

/// Every type of key, as set and as map, exact and as ranges that touch each other and both ends.
pub fn all_sets() -> Ruleset {
    let mut sets = Vec::new();
    let commented = |text: &str, verdict| Element { verdict, comment: Some(Comment::new(text)) };
    let exact_values = [
        vec![interface("a"), interface("0123456789abcde"), interface("eth0.100"), interface("a@b")],
        vec![ip("0.0.0.0"), ip("255.255.255.255"), ip("10.1.2.3")],
        vec![ip("::"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ip("fd00::1")],
        vec![Value::Protocol(Protocol::Tcp), Value::Protocol(Protocol::Udp), Value::Protocol(Protocol::Sctp)],
        vec![Value::Port(0), Value::Port(65535), Value::Port(80)],
        vec![Value::Icmpv6Type(0), Value::Icmpv6Type(255), Value::Icmpv6Type(133)],
    ];
    for values in &exact_values {
        let part = values[0].value_type();
        let keys = || values.iter().cloned().map(Key::one);
        sets.push(with(Set::new(&[part]), keys()));
        sets.push(with_verdicts(Set::new(&[part]), keys().map(|key| (key, goto("target")))));
        sets.push(Set::new(&[part]).with_comment(Comment::new("empty")));
        let mut with_comments = Set::new(&[part]).to_verdicts().with_comment(Comment::new(&"x".repeat(300)));
        with_comments
            .elements
            .extend(keys().map(|key| (key, commented("why, \"this\"", Some(Verdict::Return)))));
        sets.push(with_comments);
    }
    let ranges: Vec<Vec<Key>> = vec![
        vec![range(ip("0.0.0.0"), ip("255.255.255.255"))],
        vec![
            range(ip("0.0.0.0"), ip("0.0.0.0")),
            range(ip("0.0.0.1"), ip("0.255.255.255")),
            range(ip("10.0.0.0"), ip("10.255.255.255")),
            range(ip("11.0.0.0"), ip("11.0.0.8")),
            range(ip("224.0.0.0"), ip("255.255.255.255")),
        ],
        vec![range(ip("255.255.255.255"), ip("255.255.255.255"))],
        vec![range(ip("::"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))],
        vec![range(ip("fd00::"), ip("fd00::ffff")), range(ip("fd00::1:0"), ip("fd00::1:ffff"))],
        vec![ports(0, 65535)],
        vec![ports(0, 79), ports(80, 80), ports(81, 89), ports(100, 65534), ports(65535, 65535)],
        vec![
            range(Value::Icmpv6Type(0), Value::Icmpv6Type(0)),
            range(Value::Icmpv6Type(1), Value::Icmpv6Type(255)),
        ],
    ];
    for keys in ranges {
        let Key::Range(first, _) = &keys[0] else { unreachable!() };
        let set = Set::new(&[first.value_type()]).of_ranges();
        sets.push(set.clone());
        sets.push(with(set.clone(), keys.clone()));
        let mut map = set.to_verdicts();
        map.elements.extend(keys.into_iter().map(|key| (key, commented("r", Some(jump("target"))))));
        sets.push(map);
    }
    sets.push(with(
        Set::new(&[
            ValueType::Interface,
            ValueType::Ipv6,
            ValueType::Protocol,
            ValueType::Port,
            ValueType::Ipv4,
        ]),
        [exact(&[
            interface("0123456789abcde"),
            ip("fd00::1"),
            Value::Protocol(Protocol::Udp),
            Value::Port(65535),
            ip("1.2.3.4"),
        ])],
    ));
    let hardware = |last| Value::Hardware(HardwareAddress([0x02, 0, 0, 0, 0xff, last]));
    sets.push(with(Set::new(&[ValueType::Hardware]), [exact(&[hardware(0)]), exact(&[hardware(0xff)])]));
    sets.push(with(
        Set::new(&[ValueType::Interface, ValueType::Hardware]),
        [exact(&[interface("veth1"), hardware(1)]), exact(&[interface("veth2"), hardware(2)])],
    ));
    let named = |(index, set)| (name(&format!("set{index:03}")), set);
    let chains = [(name("target"), Chain::default()), (name(&"n".repeat(255)), Chain::default())].into();
    ruleset([("sets", Table { sets: sets.into_iter().enumerate().map(named).collect(), chains })])
}

pub fn every_kind_of_set_comes_back() {
    let mut kernel = Kernel::open().unwrap();
    assert_comes_back(&mut kernel, &all_sets());

    // The same as constants of rules.
    let mut constants = ruleset([("constants", Table::default())]);
    let table = constants.tables.get_mut(&table_id("constants")).unwrap();
    let mut rules = Vec::new();
    for set in all_sets().tables[&table_id("sets")].sets.values().filter(|set| !set.elements.is_empty()) {
        let set = Set { comment: None, ..set.clone() };
        let [part] = set.key_type[..] else { continue };
        let field = match part {
            ValueType::Interface => Field::OutputInterface,
            ValueType::Ipv4 => Field::SourceIpv4,
            ValueType::Ipv6 => Field::SourceIpv6,
            ValueType::Protocol => Field::Protocol,
            ValueType::Port => Field::DestinationPortOf(Protocol::Sctp),
            ValueType::Icmpv6Type => Field::Icmpv6Type,
            // Of frames, which these tables do not see.
            ValueType::Hardware => continue,
        };
        rules.push(match set.map {
            true => vmap(&[field], anonymous(set)),
            false => accept([is_in(&[field], anonymous(set))]),
        });
    }
    table.chains.insert(name("target"), Chain::default());
    table.chains.insert(name("lookups"), chain(rules));
    assert_comes_back(&mut kernel, &constants);
}

pub fn elements_come_and_go() {
    let mut kernel = Kernel::open().unwrap();
    let mut expected = all_sets();
    kernel.apply(&creation(&expected)).unwrap();
    let id = table_id("sets");
    let table = expected.tables.get_mut(&id).unwrap();

    // Remove every second element, in one transaction with putting the rest elsewhere.
    let mut operations = Vec::new();
    for (set, content) in &mut table.sets {
        let keys: Vec<Key> = content.elements.keys().step_by(2).cloned().collect();
        if keys.is_empty() {
            continue;
        }
        for key in &keys {
            content.elements.remove(key);
        }
        operations.push(Operation::DeleteElements { table: id.clone(), set: set.clone(), keys });
    }
    kernel.apply(&Transaction { operations }).unwrap_or_else(|error| panic!("{error}"));
    assert_is(&mut kernel, &expected);

    // Another verdict, and ranges that grow into the gaps.
    let map = name("set001");
    let table = expected.tables.get_mut(&id).unwrap();
    let (key, element) = table.sets.get_mut(&map).unwrap().elements.iter_mut().next().unwrap();
    element.verdict = Some(Verdict::Accept);
    let operations = vec![
        Operation::DeleteElements { table: id.clone(), set: map.clone(), keys: vec![key.clone()] },
        Operation::AddElements {
            table: id.clone(),
            set: map,
            elements: vec![(key.clone(), element.clone())],
        },
        Operation::DeleteChain { table: id.clone(), name: name(&"n".repeat(255)) },
        Operation::DeleteSet { table: id.clone(), name: name("set000") },
    ];
    table.chains.remove(&name(&"n".repeat(255)));
    table.sets.remove(&name("set000"));
    kernel.apply(&Transaction { operations }).unwrap_or_else(|error| panic!("{error}"));
    assert_is(&mut kernel, &expected);

    let ports_set = table_with_ports(&mut kernel);
    let update = |add: Vec<Key>, remove: Vec<Key>| {
        let id = table_id("growing");
        let mut operations = Vec::new();
        if !remove.is_empty() {
            operations.push(Operation::DeleteElements { table: id.clone(), set: name("p"), keys: remove });
        }
        let elements = add.into_iter().map(|key| (key, Element::default())).collect();
        operations.push(Operation::AddElements { table: id, set: name("p"), elements });
        Transaction { operations }
    };
    // Neighbours on both sides of what is there, from zero to the end, one transaction each.
    let mut expected = ports_set;
    for (add, remove) in [
        (vec![ports(90, 99)], vec![]),
        (vec![ports(70, 79)], vec![]),
        (vec![ports(0, 69)], vec![]),
        (vec![ports(100, 65535)], vec![]),
        (vec![ports(80, 85), ports(86, 89)], vec![ports(80, 89)]),
        (vec![ports(100, 65534), ports(65535, 65535)], vec![ports(100, 65535)]),
    ] {
        let set = expected.tables.get_mut(&table_id("growing")).unwrap().sets.get_mut(&name("p")).unwrap();
        set.elements.retain(|key, _| !remove.contains(key));
        set.elements.extend(add.iter().map(|key| (key.clone(), Element::default())));
        kernel.apply(&update(add, remove)).unwrap_or_else(|error| panic!("{error}"));
        assert_is(&mut kernel, &expected);
    }
}

fn table_with_ports(kernel: &mut Kernel) -> Ruleset {
    let sets = [(name("p"), with(Set::new(&[ValueType::Port]).of_ranges(), [ports(80, 89)]))].into();
    let made = ruleset([("growing", Table { sets, ..Table::default() })]);
    assert_comes_back(kernel, &made);
    made
}

pub fn ten_thousand_elements_come_back() {
    let mut kernel = Kernel::open().unwrap();
    let hash = with(Set::new(&[ValueType::Ipv4]), (0..10_000_u32).map(|n| Key::one(Value::Ipv4(n.into()))));
    let tree = with(
        Set::new(&[ValueType::Ipv4]).of_ranges(),
        (0..10_000_u32).map(|n| range(Value::Ipv4((n * 10).into()), Value::Ipv4((n * 10 + n % 10).into()))),
    );
    let sets = [(name("hash"), hash), (name("tree"), tree)].into();
    assert_comes_back(&mut kernel, &ruleset([("large", Table { sets, ..Table::default() })]));
}

pub fn absent_tables_are_absent() {
    let mut kernel = Kernel::open().unwrap();
    let nothing = ReadBack::Exactly(Ruleset::default());
    assert_eq!(kernel.read(&[table_id("podwall")]).unwrap(), nothing);
    let two = ruleset([("one", Table::default()), ("two", Table::default())]);
    kernel.apply(&creation(&two)).unwrap();
    assert_eq!(kernel.read(&[]).unwrap(), nothing);
    let one = ruleset([("one", Table::default())]);
    assert_eq!(kernel.read(&[table_id("one"), table_id("three")]).unwrap(), ReadBack::Exactly(one));
}

pub fn foreign_things_are_seen() {
    let mut kernel = Kernel::open().unwrap();
    for (commands, part) in [
        ("add rule inet podwall from-1 counter", "rule 8 of chain from-1: a rule without a statement"),
        ("add rule inet podwall from-1 meta mark 1 drop", "rule 8 of chain from-1"),
        ("add rule inet podwall from-1 ip saddr != { 1.1.1.1, 2.2.2.2 } drop", "rule 8 of chain from-1"),
        ("add rule inet podwall from-1 ct state new drop", "the bits 0x8"),
        ("add rule inet podwall from-1 meta l4proto 47 drop", "IP protocol 47"),
        ("add rule inet podwall from-1 meta l4proto tcp reject", "the expression `reject`"),
        ("add chain inet podwall extra { type filter hook input priority 0; policy drop; }", "policy"),
        ("add chain inet podwall extra { type route hook output priority 0; }", "type route"),
        ("add set inet podwall extra { type ipv4_addr; timeout 1h; }", "set extra: a timeout"),
        ("add set inet podwall extra { type ipv4_addr; size 100; }", "set extra: a fixed size"),
        ("add set inet podwall extra { type mark; }", "set extra: a key type"),
        ("add map inet podwall extra { type ipv4_addr : mark; }", "set extra: a map"),
        ("add set inet podwall extra { type ipv4_addr . inet_service; flags interval; }", "set extra"),
        ("add counter inet podwall extra", "an object"),
        ("add quota inet podwall extra { over 1 mbytes }", "an object"),
        ("add table inet podwall { flags dormant; }", "dormant"),
        ("add element inet podwall egress { \"veth2\" : continue }", "an unknown verdict"),
    ] {
        kernel.apply(&creation(&everything())).unwrap();
        assert_is(&mut kernel, &everything());
        nft(&["-f", "-"], commands);
        let tables = [table_id("podwall"), table_id("podwall-empty")];
        match kernel.read(&tables).unwrap() {
            ReadBack::Foreign { table, what } => {
                assert_eq!(table, table_id("podwall"));
                assert!(what.contains(part), "{commands}: {what}");
            }
            ReadBack::Exactly(_) => panic!("{commands}: not seen"),
        }
    }
}
