//! What others do beside us, and to us.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podwall_netlink::{Feature, ForeignHook, ForeignTable, Kernel, Monitor, Notification, ReadBack};
use podwall_ruleset::*;

use std::os::fd::AsFd;

use crate::families::bridge_id;
use crate::fixture::*;

fn open() -> (Kernel, Monitor) {
    let kernel = Kernel::open().unwrap();
    let monitor = Monitor::open(&kernel, &[table_id("podwall"), bridge_id("podwall")]).unwrap();
    (kernel, monitor)
}

fn is_readable(monitor: &Monitor) -> bool {
    let mut polled = [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).unwrap() > 0
}

fn add_elements(set: &str, table: &str, numbers: std::ops::Range<u32>) -> Operation {
    let elements = numbers.map(|number| (Key::one(Value::Ipv4(number.into())), Element::default())).collect();
    Operation::AddElements { table: table_id(table), set: name(set), elements }
}

/// The tables that were changed, and by which programs.
fn heard(monitor: &mut Monitor) -> Vec<(TableId, String)> {
    let changed = |notification| match notification {
        Notification::Changed { table, by: Some(process) } => {
            assert!(process.pid > 0);
            (table, process.name)
        }
        other => panic!("{other:?}"),
    };
    monitor.receive().unwrap().into_iter().map(changed).collect()
}

/// Tables, chains, rules, sets, elements, and their ends.
pub fn own_changes_are_not_heard() {
    let (mut kernel, mut monitor) = open();
    kernel.apply(&creation(&everything())).unwrap();
    let key = Key::one(Value::Ipv4(7.into()));
    let operations = [
        add_elements("pods.v4", "podwall", 7..8),
        Operation::DeleteElements { table: table_id("podwall"), set: name("pods.v4"), keys: vec![key] },
        Operation::AddRule {
            table: table_id("podwall"),
            chain: name("output"),
            rule: Box::new(Rule::verdict([], Verdict::Accept)),
        },
        Operation::FlushChain { table: table_id("podwall"), name: name("output") },
        Operation::DeleteTable(table_id("podwall")),
    ];
    for operation in operations {
        kernel.apply(&Transaction { operations: vec![operation] }).unwrap();
        assert!(!is_readable(&monitor));
        assert_eq!(monitor.receive().unwrap(), []);
    }
}

pub fn what_others_change_is_heard_once() {
    let (mut kernel, mut monitor) = open();
    for commands in [
        "add element inet podwall pods.v4 { 10.9.9.9 }",
        "delete element inet podwall pods.v4 { 10.0.0.1 }",
        "add rule inet podwall output accept",
        "flush chain inet podwall forward",
        "add set inet podwall extra { type ipv4_addr; }",
        "add counter inet podwall extra",
        "delete table inet podwall",
        "flush ruleset",
        "add table inet other\nadd element inet podwall pods.v4 { 10.9.9.9 }\nadd table inet another",
    ] {
        kernel.apply(&creation(&everything())).unwrap();
        assert!(!is_readable(&monitor));
        nft(&["-f", "-"], commands);
        assert!(is_readable(&monitor), "{commands}");
        assert_eq!(heard(&mut monitor), [(table_id("podwall"), "nft".to_owned())], "{commands}");
        assert_eq!(heard(&mut monitor), [], "{commands}");
    }
    // Another socket of this process is another.
    kernel.apply(&creation(&everything())).unwrap();
    let operations = vec![add_elements("pods.v4", "podwall", 7..9)];
    Kernel::open().unwrap().apply(&Transaction { operations }).unwrap();
    assert_eq!(heard(&mut monitor).len(), 1);
    // Two commits by the same.
    nft(&["-f", "-"], "add table bridge podwall");
    nft(&["-f", "-"], "add rule inet podwall output accept");
    nft(&["-f", "-"], "add rule inet podwall output accept");
    let tables: Vec<TableId> = heard(&mut monitor).into_iter().map(|(table, _)| table).collect();
    assert!(tables.contains(&bridge_id("podwall")) && tables.contains(&table_id("podwall")), "{tables:?}");
}

pub fn other_tables_are_not_heard() {
    let (mut kernel, mut monitor) = open();
    kernel.apply(&creation(&everything())).unwrap();
    for commands in [
        "add table ip podwall",
        "add table inet podwall2",
        "add set inet podwall2 pods.v4 { type ipv4_addr; elements = { 1.1.1.1, 2.2.2.2 }; }",
        "delete element inet podwall2 pods.v4 { 1.1.1.1 }",
        "flush table inet podwall2",
    ] {
        nft(&["-f", "-"], commands);
        assert_eq!(monitor.receive().unwrap(), [], "{commands}");
    }
}

pub fn too_much_to_hear_is_no_error() {
    let (mut kernel, mut monitor) = open();
    kernel.apply(&creation(&everything())).unwrap();
    let mut other = Kernel::open().unwrap();
    let sets = [(name("many"), Set::new(&[ValueType::Ipv4]))].into();
    other.apply(&creation(&ruleset([("other", Table { sets, ..Table::default() })]))).unwrap();
    let mut first = 0;
    for count in [20_000, 400_000] {
        while first < count {
            let operations = vec![add_elements("many", "other", first..first + 20_000)];
            other.apply(&Transaction { operations }).unwrap();
            first += 20_000;
        }
        let heard = monitor.receive().unwrap();
        match count {
            20_000 => assert!([&[][..], &[Notification::Lost]].contains(&&heard[..]), "{heard:?}"),
            _ => assert_eq!(heard, [Notification::Lost]),
        }
        nft(&["-f", "-"], &format!("add element inet podwall pods.v4 {{ 10.9.9.{} }}", count % 251));
        assert_eq!(self::heard(&mut monitor), [(table_id("podwall"), "nft".to_owned())]);
    }
}

pub fn all_other_tables_are_seen() {
    let mut kernel = Kernel::open().unwrap();
    kernel.apply(&creation(&everything())).unwrap();
    nft(
        &["-f", "-"],
        "add table ip calico
         add chain ip calico a
         add rule ip calico a meta mark set 1 reject
         add chain ip calico b { type nat hook input priority 7; }
         add table ip6 podwall
         add chain ip6 podwall c
         add table bridge podwall
         add table netdev x
         add table arp y
         add chain arp y z { type filter hook input priority -1; policy drop; }
         add table inet w
         add chain inet w ingress { type filter hook ingress device lo priority 3; }
         add chain inet w late { type filter hook postrouting priority srcnat; }",
    );
    let mut found = kernel.foreign_tables(&[table_id("podwall"), table_id("podwall-empty")]).unwrap();
    found.sort_by(|a, b| (&a.family, &a.name).cmp(&(&b.family, &b.name)));
    let hook = |(chain, hook, priority): &(&str, &str, i32)| ForeignHook {
        chain: (*chain).to_owned(),
        hook: (*hook).to_owned(),
        priority: *priority,
    };
    let table = |family: &str, name: &str, chains: &[&str], hooks: &[(&str, &str, i32)]| ForeignTable {
        family: family.to_owned(),
        name: name.to_owned(),
        chains: chains.iter().map(|chain| (*chain).to_owned()).collect(),
        hooks: hooks.iter().map(hook).collect(),
    };
    let expected = [
        table("arp", "y", &["z"], &[("z", "input", -1)]),
        table("bridge", "podwall", &[], &[]),
        table("inet", "w", &["ingress", "late"], &[("ingress", "ingress", 3), ("late", "postrouting", 100)]),
        table("ip", "calico", &["a", "b"], &[("b", "input", 7)]),
        table("ip6", "podwall", &["c"], &[]),
        table("netdev", "x", &[], &[]),
    ];
    assert_eq!(found, expected);
}

/// Whatever the kernel holds in tables of ours, also in those that are no longer desired.
pub fn nothing_is_left_of_ours_but_what_is_desired() {
    let mut kernel = Kernel::open().unwrap();
    let ours = [table_id("podwall"), table_id("podwall-empty"), bridge_id("podwall")];
    nft(
        &["-f", "-"],
        "add table bridge podwall
         add chain bridge podwall c
         add rule bridge podwall c meta mark set 1
         add table inet podwall-empty
         add table ip x",
    );
    let mut desired = everything();
    desired.tables.remove(&table_id("podwall-empty"));
    for _ in 0..2 {
        kernel.apply(&replace(&ours, &desired)).unwrap();
        assert_eq!(kernel.read(&ours).unwrap(), ReadBack::Exactly(desired.clone()));
    }
    kernel.apply(&replace(&ours, &Ruleset::default())).unwrap();
    assert_eq!(kernel.read(&ours).unwrap(), ReadBack::Exactly(Ruleset::default()));
    assert_eq!(kernel.foreign_tables(&ours).unwrap().len(), 1);
}

/// And asking leaves nothing, and is nobody's business.
pub fn this_kernel_lacks_nothing() {
    let (mut kernel, mut monitor) = open();
    assert_eq!(kernel.lacks(&Feature::ALL).unwrap(), []);
    assert_eq!(kernel.foreign_tables(&[]).unwrap(), []);
    assert!(heard(&mut monitor).is_empty());
}
