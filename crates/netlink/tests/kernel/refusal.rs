//! What the kernel refuses is named, and nothing of it is applied.

use std::net::Ipv4Addr;

use nix::errno::Errno;
use podwall_netlink::{
    ApplyError, Conntrack, ConntrackError, ConntrackFilter, Entry, Kernel, OpenError, ReadBack, Tuple,
};
use podwall_ruleset::*;

use crate::fixture::*;

fn missing_set(set: &str) -> Operation {
    Operation::DeleteSet { table: table_id("t"), name: name(set) }
}

fn add_set(set: &str) -> Operation {
    Operation::AddSet { table: table_id("t"), name: name(set), set: Box::new(Set::new(&[ValueType::Ipv4])) }
}

fn refusals(result: Result<(), ApplyError>) -> Vec<(usize, String, i32)> {
    match result {
        Err(ApplyError::Refused { operations }) => {
            operations.into_iter().map(|refusal| (refusal.index, refusal.operation, refusal.errno)).collect()
        }
        other => panic!("not refused: {other:?}"),
    }
}

pub fn all_refused_operations_are_named() {
    let mut kernel = Kernel::open().unwrap();
    let operations = vec![Operation::AddTable(table_id("t")), add_set("a"), missing_set("x"), add_set("b")];
    let refused = refusals(kernel.apply(&Transaction { operations: operations.clone() }));
    assert_eq!(refused, [(2, "delete set x of table inet t".to_owned(), Errno::ENOENT as i32)]);
    assert_eq!(kernel.read(&[table_id("t")]).unwrap(), ReadBack::Exactly(Ruleset::default()));

    let operations = [operations, vec![add_set("a"), missing_set("y")]].concat();
    let error = kernel.apply(&Transaction { operations }).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("delete set x of table inet t") && text.contains("read back"), "{text}");
    let refused: Vec<(usize, i32)> =
        refusals(Err(error)).into_iter().map(|(index, _, errno)| (index, errno)).collect();
    let (gone, there) = (Errno::ENOENT as i32, Errno::EEXIST as i32);
    assert_eq!(refused, [(2, gone), (4, there), (5, gone)]);
}

pub fn the_kernel_works_on_after_a_refusal() {
    let mut kernel = Kernel::open().unwrap();
    let table = Operation::AddTable(table_id("t"));
    kernel.apply(&Transaction { operations: vec![table, add_set("a")] }).unwrap();
    let elements = |keys: &[&str]| Operation::AddElements {
        table: table_id("t"),
        set: name("a"),
        elements: keys.iter().map(|key| (Key::one(ip(key)), Element::default())).collect(),
    };
    for _ in 0..3 {
        refusals(kernel.apply(&Transaction { operations: vec![elements(&["10.0.0.9"]), missing_set("x")] }));
    }
    kernel.apply(&Transaction { operations: vec![elements(&["10.0.0.1"])] }).unwrap();
    let refused =
        refusals(kernel.apply(&Transaction { operations: vec![elements(&["10.0.0.2", "10.0.0.1"])] }));
    assert_eq!(refused, [(0, "add 2 elements to set a of table inet t".to_owned(), Errno::EEXIST as i32)]);
    let sets = [(name("a"), with(Set::new(&[ValueType::Ipv4]), [Key::one(ip("10.0.0.1"))]))].into();
    assert_is(&mut kernel, &ruleset([("t", Table { sets, ..Table::default() })]));
}

/// More errors than an ordinary receive buffer keeps are still a refusal, and never taken for success.
pub fn a_thousand_refusals_are_one() {
    let mut kernel = Kernel::open().unwrap();
    let mut operations = vec![Operation::AddTable(table_id("t"))];
    operations.extend((0..1000).map(|n| missing_set(&format!("x{n}"))));
    let refused = refusals(kernel.apply(&Transaction { operations }));
    assert!(refused.len() > 100 && refused[0].0 == 1, "{} refusals", refused.len());
    assert_eq!(kernel.read(&[table_id("t")]).unwrap(), ReadBack::Exactly(Ruleset::default()));
    kernel.apply(&Transaction { operations: vec![Operation::AddTable(table_id("t"))] }).unwrap();
}

/// Runs where it has no privilege over its network namespace.
pub fn without_privilege_there_is_advice() {
    let error = Kernel::open().unwrap_err();
    assert!(matches!(error, OpenError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");

    let mut conntrack = Conntrack::open().unwrap();
    let tuple = Tuple {
        source: Ipv4Addr::LOCALHOST.into(),
        destination: Ipv4Addr::LOCALHOST.into(),
        protocol: 17,
        source_port: Some(1),
        destination_port: Some(2),
        icmp: None,
        zone: None,
    };
    let entry = Entry {
        original: tuple.clone(),
        reply: tuple,
        mark: 0,
        id: 0,
        zone: None,
        seen_reply: false,
        assured: false,
    };
    let listed = conntrack.list(ConntrackFilter::default(), |_| panic!("a connection"));
    let marked = conntrack.set_mark(&[entry.clone(), entry], 1, 1);
    for error in [listed.unwrap_err(), marked.unwrap_err()] {
        assert!(matches!(error, ConntrackError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    }
}

pub fn what_cannot_be_said_is_not_sent() {
    let mut kernel = Kernel::open().unwrap();
    let key = [ValueType::Ipv6; 5];
    let set = Operation::AddSet { table: table_id("t"), name: name("a"), set: Box::new(Set::new(&key)) };
    let long = Rule::verdict(vec![Match::CtStatusDnat; 43], Verdict::Drop);
    let rule = Operation::AddRule { table: table_id("t"), chain: name("c"), rule: Box::new(long) };
    let mark = |mask, value| Operation::AddRule {
        table: table_id("t"),
        chain: name("c"),
        rule: Box::new(Rule::verdict([Match::CtMark { mask, value }], Verdict::Drop)),
    };
    for operation in [set, rule, mark(0, 0), mark(u32::MAX, 5), mark(1, 2)] {
        let operations = vec![Operation::AddTable(table_id("t")), operation];
        match kernel.apply(&Transaction { operations }) {
            Err(ApplyError::Encode(error)) => assert_eq!(error.index, 1),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kernel.read(&[table_id("t")]).unwrap(), ReadBack::Exactly(Ruleset::default()));
}
