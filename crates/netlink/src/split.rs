//! Transactions that do not fit in one message.
//!
//! Where the send buffer cannot be forced (in a user namespace), a large ruleset does not fit in one transaction.
//! Building it up in several is safe only if no packet meets the unfinished part: tables that did not exist, and
//! their base chains, with the rules of these, last.

use std::collections::BTreeSet;

use podwall_ruleset::{Name, Operation, TableId};

use crate::batch::{Encoded, MARK_BYTES};

/// The tables of a transaction that does nothing but make tables from nothing, if they do not exist yet.
/// `None` if it changes what is there, as it may only do at once.
pub(crate) fn tables_built(operations: &[Operation]) -> Option<BTreeSet<&TableId>> {
    let mut made = BTreeSet::new();
    for operation in operations {
        match operation {
            Operation::AddTable(table) => {
                made.insert(table);
            }
            // Removes only what it made itself, for the table to be empty whether it was there or not.
            Operation::DeleteTable(table) if made.remove(table) => {}
            Operation::AddSet { table, .. }
            | Operation::AddElements { table, .. }
            | Operation::AddChain { table, .. }
            | Operation::AddRule { table, .. }
                if made.contains(table) => {}
            _ => return None,
        }
    }
    Some(made)
}

/// The batches, each of at most `limit` bytes: the last one has all base chains and their rules. `None` if it
/// cannot be done.
pub(crate) fn batches(encoded: &Encoded, operations: &[Operation], limit: usize) -> Option<Vec<Vec<u8>>> {
    let room = limit.checked_sub(MARK_BYTES)?;
    let base_chains: BTreeSet<(&TableId, &Name)> = operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::AddChain { table, name, base: Some(_), .. } => Some((table, name)),
            _ => None,
        })
        .collect();
    let reachable = |operation: &Operation| match operation {
        Operation::AddChain { table, name, .. } | Operation::AddRule { table, chain: name, .. } => {
            base_chains.contains(&(table, name))
        }
        _ => false,
    };

    let mut parts: Vec<Vec<&[u8]>> = Vec::new();
    let mut used = room;
    let mut last: Vec<&[u8]> = Vec::new();
    let messages: Vec<(usize, &[u8])> = encoded.messages().collect();
    for unit in messages.chunk_by(|(a, _), (b, _)| a == b && one_piece(&operations[*a])) {
        let messages = unit.iter().map(|(_, message)| *message);
        if reachable(&operations[unit[0].0]) {
            last.extend(messages);
            continue;
        }
        let bytes: usize = messages.clone().map(<[u8]>::len).sum();
        if bytes > room {
            return None;
        }
        if used + bytes > room {
            parts.push(Vec::new());
            used = 0;
        }
        used += bytes;
        parts.last_mut()?.extend(messages);
    }
    if last.iter().map(|message| message.len()).sum::<usize>() > room {
        return None;
    }
    parts.push(last);
    Some(parts.into_iter().map(|part| encoded.batch_of(part)).collect())
}

/// A rule comes with its anonymous sets or not at all: the kernel keeps none without the rule.
fn one_piece(operation: &Operation) -> bool {
    matches!(operation, Operation::AddRule { .. })
}

#[cfg(test)]
mod tests {
    use podwall_ruleset::{
        BaseChain, ChainType, Element, Family, Field, Hook, Key, Match, Rule, Set, Transaction, Value,
        ValueType, Verdict,
    };

    use super::*;
    use crate::batch::encode;

    fn table() -> TableId {
        TableId { family: Family::Inet, name: Name::new("t").unwrap() }
    }

    fn build_up(elements: u32) -> Vec<Operation> {
        let name = Name::new("x").unwrap();
        let set = Set::new(&[ValueType::Ipv4]);
        let elements = (0..elements).map(|n| (Key::one(Value::Ipv4(n.into())), Element::default())).collect();
        let base = BaseChain { chain_type: ChainType::Filter, hook: Hook::Forward, priority: 0 };
        let rule = Rule::verdict([Match::in_set(Field::SourceIpv4, &name)], Verdict::Drop);
        vec![
            Operation::AddTable(table()),
            Operation::DeleteTable(table()),
            Operation::AddTable(table()),
            Operation::AddChain { table: table(), name: name.clone(), base: Some(base), comment: None },
            Operation::AddRule { table: table(), chain: name.clone(), rule: Box::new(rule) },
            Operation::AddSet { table: table(), name: name.clone(), set: Box::new(set) },
            Operation::AddElements { table: table(), set: name, elements },
        ]
    }

    #[test]
    fn base_chains_come_last_and_every_part_fits() {
        let operations = build_up(50_000);
        let encoded = encode(&Transaction { operations: operations.clone() }, 1).unwrap();
        let batches = batches(&encoded, &operations, 100_000).unwrap();
        assert!(batches.len() > 5 && batches.iter().all(|batch| batch.len() <= 100_000));
        let messages: usize = batches.iter().map(|batch| batch.len() - MARK_BYTES).sum();
        assert_eq!(messages, encoded.bytes().len() - MARK_BYTES);
        let last = batches.last().unwrap();
        assert_eq!(crate::wire::messages(last).count(), 4, "begin, chain, rule, end");
        assert!(super::batches(&encoded, &operations, 1_000).is_none());
    }

    #[test]
    fn only_build_ups_are_taken_apart() {
        let mut operations = build_up(1);
        assert_eq!(tables_built(&operations).unwrap().len(), 1);
        assert!(tables_built(&operations[3..]).is_none(), "changes a table that is there");
        assert!(tables_built(&operations[1..]).is_none(), "removes a table that is there");
        operations.push(Operation::FlushChain { table: table(), name: Name::new("x").unwrap() });
        assert!(tables_built(&operations).is_none());
    }
}
