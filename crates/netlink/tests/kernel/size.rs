//! Transactions of any size: by force where that is allowed, else in parts or not at all.

use podwall_netlink::{ApplyError, Kernel, ReadBack, encode};
use podwall_ruleset::*;

use crate::fixture::*;
use crate::{may_force_buffers, too_many_bytes};

/// Everything, and a set of so many elements with a comment each.
fn large(elements: u32, comment: &str) -> Ruleset {
    let mut set = Set::new(&[ValueType::Ipv4]);
    set.elements.extend((0..elements).map(|number| {
        let comment = (!comment.is_empty()).then(|| Comment::new(comment));
        (Key::one(Value::Ipv4(number.into())), Element { verdict: None, comment })
    }));
    let mut all = everything();
    let table = all.tables.get_mut(&table_id("podwall")).unwrap();
    table.sets.insert(name("large"), set);
    let forward = table.chains.get_mut(&name("forward")).unwrap();
    forward.rules.push(accept([Match::in_set(Field::SourceIpv4, &name("large"))]));
    all
}

/// What does not fit in one message without force.
fn too_large() -> Ruleset {
    let comment = "c".repeat(COMMENT_BYTES_MAX);
    let ruleset = large((too_many_bytes() / COMMENT_BYTES_MAX) as u32, &comment);
    assert!(encode(&creation(&ruleset), 1).unwrap().bytes().len() > too_many_bytes());
    ruleset
}

pub fn a_hundred_thousand_elements() {
    let mut kernel = Kernel::open().unwrap();
    assert_comes_back(&mut kernel, &large(100_000, ""));
}

pub fn a_large_ruleset_is_built_up() {
    let mut kernel = Kernel::open().unwrap();
    assert_comes_back(&mut kernel, &too_large());
}

pub fn a_replacement_is_never_taken_apart() {
    let mut kernel = Kernel::open().unwrap();
    let before = everything();
    assert_comes_back(&mut kernel, &before);
    let after = too_large();
    let result = kernel.apply(&creation(&after));
    if may_force_buffers() {
        result.unwrap();
        return assert_is(&mut kernel, &after);
    }
    let Err(error @ ApplyError::TooLarge { .. }) = result else { panic!("{result:?}") };
    assert!(error.to_string().contains("net.core.wmem_max"), "{error}");
    assert_is(&mut kernel, &before);

    // Neither is anything that changes what is there.
    let set = &after.tables[&table_id("podwall")].sets[&name("large")];
    let elements = set.elements.iter().map(|(key, element)| (key.clone(), element.clone())).collect();
    let operations =
        vec![Operation::AddElements { table: table_id("podwall"), set: name("pods.v4"), elements }];
    assert!(matches!(kernel.apply(&Transaction { operations }), Err(ApplyError::TooLarge { .. })));
    assert_is(&mut kernel, &before);
}

pub fn a_failed_build_up_leaves_nothing() {
    let mut kernel = Kernel::open().unwrap();
    let ruleset = too_large();
    let mut transaction = creation(&ruleset);
    // A rule of a base chain, which is in the last part.
    transaction.operations.push(Operation::AddRule {
        table: table_id("podwall"),
        chain: name("forward"),
        rule: Box::new(accept([Match::in_set(Field::SourceIpv4, &name("missing"))])),
    });
    let last = transaction.operations.len() - 1;
    match kernel.apply(&transaction) {
        Err(ApplyError::Refused { operations }) => {
            assert_eq!(operations.iter().map(|refusal| refusal.index).collect::<Vec<_>>(), [last]);
        }
        other => panic!("{other:?}"),
    }
    let tables = [table_id("podwall"), table_id("podwall-empty")];
    assert_eq!(kernel.read(&tables).unwrap(), ReadBack::Exactly(Ruleset::default()));
    transaction.operations.pop();
    kernel.apply(&transaction).unwrap();
    assert_is(&mut kernel, &ruleset);
}
