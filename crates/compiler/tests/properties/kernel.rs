//! A kernel's tables as values, with its refusals: what is named must be there, what is in use cannot go.

use podwall_ruleset::{
    Chain, Match, Name, Operation, Rule, Ruleset, SetRef, Statement, Table, TableId, Transaction, Verdict,
};

/// Applies a transaction, all or nothing.
pub fn apply(ruleset: &Ruleset, transaction: &Transaction) -> Result<Ruleset, String> {
    let mut after = ruleset.clone();
    for operation in &transaction.operations {
        step(&mut after, operation).map_err(|reason| format!("{operation:?}: {reason}"))?;
    }
    Ok(after)
}

fn step(ruleset: &mut Ruleset, operation: &Operation) -> Result<(), &'static str> {
    match operation {
        Operation::AddTable(id) => {
            ruleset.tables.entry(id.clone()).or_default();
            Ok(())
        }
        Operation::DeleteTable(id) => ruleset.tables.remove(id).map(|_| ()).ok_or("no such table"),
        Operation::AddSet { table, name, set } => {
            refuse(!set.elements.is_empty(), "a definition with elements")?;
            let before = table_of(ruleset, table)?.sets.insert(name.clone(), (**set).clone());
            refuse(before.is_some(), "the set exists")
        }
        Operation::DeleteSet { table, name } => {
            let table = table_of(ruleset, table)?;
            refuse(lookups(table).any(|it| it == name), "the set is in use")?;
            table.sets.remove(name).map(|_| ()).ok_or("no such set")
        }
        Operation::AddElements { table, set, elements } => {
            let table = table_of(ruleset, table)?;
            let targets = elements.iter().filter_map(|(_, element)| target(element.verdict.as_ref()?));
            refuse(!targets.into_iter().all(|it| table.chains.contains_key(it)), "no such chain")?;
            let set = table.sets.get_mut(set).ok_or("no such set")?;
            elements.iter().try_for_each(|(key, element)| {
                refuse(set.elements.insert(key.clone(), element.clone()).is_some(), "the element exists")
            })
        }
        Operation::DeleteElements { table, set, keys } => {
            let set = table_of(ruleset, table)?.sets.get_mut(set).ok_or("no such set")?;
            keys.iter().try_for_each(|key| refuse(set.elements.remove(key).is_none(), "no such element"))
        }
        Operation::AddChain { table, name, base, comment } => {
            let chain = Chain { base: *base, comment: comment.clone(), rules: Vec::new() };
            let before = table_of(ruleset, table)?.chains.insert(name.clone(), chain);
            refuse(before.is_some(), "the chain exists")
        }
        Operation::FlushChain { table, name } => {
            table_of(ruleset, table)?.chains.get_mut(name).ok_or("no such chain")?.rules.clear();
            Ok(())
        }
        Operation::DeleteChain { table, name } => {
            let table = table_of(ruleset, table)?;
            refuse(!table.chains.get(name).ok_or("no such chain")?.rules.is_empty(), "the chain has rules")?;
            refuse(targets(table).any(|it| it == name), "the chain is in use")?;
            table.chains.remove(name);
            Ok(())
        }
        Operation::AddRule { table, chain, rule } => {
            let table = table_of(ruleset, table)?;
            refuse(!set_names(rule).all(|it| table.sets.contains_key(it)), "no such set")?;
            refuse(!rule_targets(rule).all(|it| table.chains.contains_key(it)), "no such chain")?;
            table.chains.get_mut(chain).ok_or("no such chain")?.rules.push((**rule).clone());
            Ok(())
        }
    }
}

fn refuse(condition: bool, reason: &'static str) -> Result<(), &'static str> {
    if condition { Err(reason) } else { Ok(()) }
}

fn table_of<'a>(ruleset: &'a mut Ruleset, id: &TableId) -> Result<&'a mut Table, &'static str> {
    ruleset.tables.get_mut(id).ok_or("no such table")
}

fn rules(table: &Table) -> impl Iterator<Item = &Rule> {
    table.chains.values().flat_map(|chain| &chain.rules)
}

fn lookups(table: &Table) -> impl Iterator<Item = &Name> {
    rules(table).flat_map(set_names)
}

fn targets(table: &Table) -> impl Iterator<Item = &Name> {
    let elements = table.sets.values().flat_map(|set| set.elements.values());
    let of_elements = elements.filter_map(|element| target(element.verdict.as_ref()?));
    of_elements.chain(rules(table).flat_map(rule_targets))
}

fn set_refs(rule: &Rule) -> impl Iterator<Item = &SetRef> {
    let of_matches = rule.matches.iter().filter_map(|condition| match condition {
        Match::In(_, set) => Some(set),
        _ => None,
    });
    let of_statement = match &rule.statement {
        Statement::VerdictMap(_, map) => Some(map),
        _ => None,
    };
    of_matches.chain(of_statement)
}

fn set_names(rule: &Rule) -> impl Iterator<Item = &Name> {
    let named = set_refs(rule).filter_map(|set| match set {
        SetRef::Named(name) => Some(name),
        SetRef::Anonymous(_) => None,
    });
    let inverted = rule.matches.iter().filter_map(|condition| match condition {
        Match::NotIn(_, set) => Some(set),
        _ => None,
    });
    named.chain(inverted)
}

fn rule_targets(rule: &Rule) -> impl Iterator<Item = &Name> {
    let anonymous = set_refs(rule).filter_map(|set| match set {
        SetRef::Named(_) => None,
        SetRef::Anonymous(set) => Some(set.elements.values()),
    });
    let of_maps = anonymous.flatten().filter_map(|element| target(element.verdict.as_ref()?));
    let of_statement = match &rule.statement {
        Statement::Verdict(verdict) => target(verdict),
        _ => None,
    };
    of_maps.chain(of_statement)
}

fn target(verdict: &Verdict) -> Option<&Name> {
    match verdict {
        Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain),
        Verdict::Accept | Verdict::Drop | Verdict::Return => None,
    }
}
