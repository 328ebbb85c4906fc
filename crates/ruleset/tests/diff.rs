//! What is changed in place, and what is replaced as a whole.

use podwall_ruleset::{
    BaseChain, Chain, ChainType, Comment, Dynamic, Element, Family, Hook, Key, Known, Name, Operation, Rule,
    Ruleset, Set, Table, TableId, Value, ValueType, Verdict, diff, replace,
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn id(text: &str) -> TableId {
    TableId { family: Family::Inet, name: name(text) }
}

fn ruleset(table: Table) -> Ruleset {
    Ruleset { tables: [(id("ours"), table)].into() }
}

fn ports(numbers: &[u16]) -> Set {
    let elements = numbers.iter().map(|port| (Key::one(Value::Port(*port)), Element::default())).collect();
    Set { elements, ..Set::new(&[ValueType::Port]) }
}

fn with_set(set: Set) -> Ruleset {
    ruleset(Table { sets: [(name("ports"), set)].into(), ..Table::default() })
}

fn with_chain(chain: Chain) -> Ruleset {
    ruleset(Table { chains: [(name("forward"), chain)].into(), ..Table::default() })
}

fn operations(before: &Ruleset, after: &Ruleset) -> Vec<Operation> {
    diff(&Known::Exactly(before.clone()), after).operations
}

fn is_replaced(before: &Ruleset, after: &Ruleset) -> bool {
    let start = [
        Operation::AddTable(id("ours")),
        Operation::DeleteTable(id("ours")),
        Operation::AddTable(id("ours")),
    ];
    operations(before, after).starts_with(&start)
}

#[test]
fn a_set_of_another_definition_is_another_layout() {
    let before = with_set(ports(&[]));
    let others = [
        Set::new(&[ValueType::Protocol]),
        ports(&[]).of_ranges(),
        ports(&[]).to_verdicts(),
        ports(&[]).of_recent(Dynamic { size: 10, timeout_s: 9 }),
        ports(&[]).with_comment(Comment::new("other")),
    ];
    for set in others {
        let after = with_set(set);
        assert!(is_replaced(&before, &after) && is_replaced(&after, &before), "{after:?}");
    }
    let [Operation::AddElements { .. }] = operations(&before, &with_set(ports(&[80]))).as_slice() else {
        panic!("elements alone are added");
    };
}

#[test]
fn a_chain_of_another_definition_is_another_layout() {
    let base = BaseChain { chain_type: ChainType::Filter, hook: Hook::Forward, priority: 0 };
    let before = with_chain(Chain { base: Some(base), ..Chain::default() });
    let others = [
        Chain { base: None, ..Chain::default() },
        Chain { base: Some(BaseChain { hook: Hook::Input, ..base }), ..Chain::default() },
        Chain { base: Some(BaseChain { priority: 1, ..base }), ..Chain::default() },
        Chain { base: Some(base), comment: Some(Comment::new("other")), ..Chain::default() },
    ];
    for chain in others {
        let after = with_chain(chain);
        assert!(is_replaced(&before, &after) && is_replaced(&after, &before), "{after:?}");
    }
    let rules = vec![Rule::verdict([], Verdict::Drop)];
    let after = with_chain(Chain { base: Some(base), rules, ..Chain::default() });
    let changed = operations(&before, &after);
    assert!(!changed.is_empty() && !is_replaced(&before, &after), "{changed:?}");
}

#[test]
fn nothing_to_send_is_empty() {
    let some = with_set(ports(&[80]));
    assert!(diff(&Known::Exactly(some.clone()), &some).is_empty());
    assert!(!diff(&Known::Unknown, &some).is_empty());
}

#[test]
fn a_table_of_ours_that_is_not_desired_is_removed_whether_it_is_there_or_not() {
    let desired = with_set(ports(&[80]));
    let sent = replace(&[id("ours"), id("old")], &desired).operations;
    let of_old = [Operation::AddTable(id("old")), Operation::DeleteTable(id("old"))];
    assert!(sent.ends_with(&of_old), "{sent:?}");
    assert_eq!(sent[..sent.len() - 2], diff(&Known::Unknown, &desired).operations);
}
