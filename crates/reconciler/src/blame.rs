//! From what the kernel refused to whom it is for: one bad object must not freeze the node.

use std::collections::BTreeSet;

use podwall_compiler::Closed;
use podwall_ruleset::{
    Key, Match, Name, Operation, Rule, Ruleset, Set, SetRef, Statement, Table, TableId, Transaction, Value,
    Verdict,
};

/// The interfaces and addresses whose packets would meet what one of these operations makes: closing them leaves it
/// out of the ruleset. `None` when an operation is about something that everybody's packets meet, or that nobody's
/// do: then there is nothing to leave out.
pub fn behind(ruleset: &Ruleset, transaction: &Transaction, operations: &[usize]) -> Option<Closed> {
    let mut closed = Closed::default();
    for index in operations {
        let (table_id, object) = subject(transaction.operations.get(*index)?)?;
        let table = ruleset.tables.get(table_id)?;
        let before = closed.clone();
        if is_everybodys(table, object) {
            close_elements(transaction.operations.get(*index)?, &mut closed);
        } else {
            close_behind(table, object, &mut closed);
        }
        if closed == before {
            return None;
        }
    }
    Some(closed)
}

/// What an operation changes: a set or a chain of a table.
fn subject(operation: &Operation) -> Option<(&TableId, &Name)> {
    match operation {
        Operation::AddTable(_) | Operation::DeleteTable(_) => None,
        Operation::AddSet { table, name, .. }
        | Operation::DeleteSet { table, name }
        | Operation::AddChain { table, name, .. }
        | Operation::FlushChain { table, name }
        | Operation::DeleteChain { table, name } => Some((table, name)),
        Operation::AddElements { table, set, .. } | Operation::DeleteElements { table, set, .. } => {
            Some((table, set))
        }
        Operation::AddRule { table, chain, .. } => Some((table, chain)),
    }
}

/// True for base chains, and for sets that they look up.
fn is_everybodys(table: &Table, object: &Name) -> bool {
    let base = || table.chains.iter().filter(|(_, chain)| chain.base.is_some());
    base().any(|(name, chain)| name == object || chain.rules.iter().any(|rule| looks_up(rule, object)))
}

/// Of operations on the dispatch maps, the pods are in the elements.
fn close_elements(operation: &Operation, closed: &mut Closed) {
    let keys: Vec<&Key> = match operation {
        Operation::AddElements { elements, .. } => elements.iter().map(|(key, _)| key).collect(),
        Operation::DeleteElements { keys, .. } => keys.iter().collect(),
        _ => return,
    };
    keys.into_iter().for_each(|key| close_key(key, closed));
}

/// Walks from the object up to the elements of the dispatch maps that lead to it.
fn close_behind(table: &Table, object: &Name, closed: &mut Closed) {
    let mut leading = BTreeSet::from([object.clone()]);
    loop {
        let more: Vec<Name> = table
            .chains
            .iter()
            .filter(|(name, chain)| chain.base.is_none() && !leading.contains(*name))
            .filter(|(_, chain)| chain.rules.iter().any(|rule| leads_to(rule, &leading)))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        leading.extend(more);
    }
    for (key, element) in table.sets.values().flat_map(|set| &set.elements) {
        if element.verdict.as_ref().and_then(target).is_some_and(|name| leading.contains(name)) {
            close_key(key, closed);
        }
    }
}

fn close_key(key: &Key, closed: &mut Closed) {
    let Key::Exact(values) = key else { return };
    match values.first() {
        Some(Value::Interface(interface)) => {
            closed.interfaces.insert(interface.clone());
        }
        Some(Value::Ipv4(address)) => {
            closed.addresses.insert((*address).into());
        }
        Some(Value::Ipv6(address)) => {
            closed.addresses.insert((*address).into());
        }
        _ => {}
    }
}

fn leads_to(rule: &Rule, names: &BTreeSet<Name>) -> bool {
    let anonymous = |set: &SetRef| match set {
        SetRef::Anonymous(set) => verdicts_lead_to(set, names),
        SetRef::Named(_) => false,
    };
    let by_verdict = match &rule.statement {
        Statement::Verdict(verdict) => target(verdict).is_some_and(|name| names.contains(name)),
        Statement::VerdictMap(_, set) => anonymous(set),
        Statement::Dnat(_) | Statement::Masquerade | Statement::Log(_) => false,
    };
    by_verdict || names.iter().any(|name| looks_up(rule, name))
}

fn verdicts_lead_to(set: &Set, names: &BTreeSet<Name>) -> bool {
    let targets = set.elements.values().filter_map(|element| element.verdict.as_ref().and_then(target));
    targets.into_iter().any(|name| names.contains(name))
}

fn looks_up(rule: &Rule, set: &Name) -> bool {
    let is_it = |it: &SetRef| matches!(it, SetRef::Named(name) if name == set);
    let by_match = rule.matches.iter().any(|it| match it {
        Match::In(_, named) => is_it(named),
        Match::NotIn(_, named) | Match::LimitEach(_, named, _) => named == set,
        _ => false,
    });
    by_match || matches!(&rule.statement, Statement::VerdictMap(_, named) if is_it(named))
}

fn target(verdict: &Verdict) -> Option<&Name> {
    match verdict {
        Verdict::Jump(name) | Verdict::Goto(name) => Some(name),
        _ => None,
    }
}
