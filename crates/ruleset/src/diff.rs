//! The difference of two rulesets, as an ordered transaction.

use std::collections::BTreeMap;

use crate::name::{Comment, Name};
use crate::object::{BaseChain, Chain, Element, Key, Ruleset, Set, Table, TableId};
use crate::rule::Rule;

/// What we know of what the kernel holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing: at start, after an answer that was lost, when somebody touched our tables. See [`replace`].
    Unknown,
    /// Exactly this.
    Exactly(Ruleset),
}

/// Operations that the kernel takes all or none of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// In the order in which they must be sent.
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// True when there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

/// One change of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Makes a table, or does nothing if it is there.
    AddTable(TableId),
    /// Removes a table with all that is in it. Refused if it is not there.
    DeleteTable(TableId),
    /// Makes a set or map without its elements; refused if it is there.
    AddSet {
        /// The table it belongs to.
        table: TableId,
        /// Its name.
        name: Name,
        /// Its definition; the elements in here are not sent.
        set: Box<Set>,
    },
    /// Removes a set or map that no rule looks up. Refused if it is not there.
    DeleteSet {
        /// The table it belongs to.
        table: TableId,
        /// Its name.
        name: Name,
    },
    /// Adds elements to a set or map.
    AddElements {
        /// The table of the set.
        table: TableId,
        /// The set.
        set: Name,
        /// The elements; not there yet.
        elements: Vec<(Key, Element)>,
    },
    /// Removes elements from a set or map.
    DeleteElements {
        /// The table of the set.
        table: TableId,
        /// The set.
        set: Name,
        /// Their keys; refused if one is not there.
        keys: Vec<Key>,
    },
    /// Makes a chain without rules; refused if it is there.
    AddChain {
        /// The table it belongs to.
        table: TableId,
        /// Its name.
        name: Name,
        /// The hook, for a base chain.
        base: Option<BaseChain>,
        /// For people.
        comment: Option<Comment>,
    },
    /// Removes all rules of a chain.
    FlushChain {
        /// The table of the chain.
        table: TableId,
        /// The chain.
        name: Name,
    },
    /// Removes a chain that has no rules and that no verdict leads to.
    DeleteChain {
        /// The table of the chain.
        table: TableId,
        /// The chain.
        name: Name,
    },
    /// Appends a rule to a chain.
    AddRule {
        /// The table of the chain.
        table: TableId,
        /// The chain.
        chain: Name,
        /// The rule.
        rule: Box<Rule>,
    },
}

/// What turns the known into the desired ruleset. Empty when nothing differs: the caller then makes no system
/// call. When nothing is known, desired tables are replaced and others stay; see [`replace`].
///
/// The order is a contract with the kernel. What is named comes before what names it, and goes after it; a map's
/// key is re-pointed by removing and adding it, because adding it alone is refused; nothing that a base chain
/// leads to is half-built at any point, so that a build-up from nothing may be sent in pieces.
pub fn diff(known: &Known, desired: &Ruleset) -> Transaction {
    let mut operations = Vec::new();
    let nothing = Ruleset::default();
    let known = match known {
        Known::Unknown => &nothing,
        Known::Exactly(ruleset) => ruleset,
    };
    for (id, table) in &desired.tables {
        match known.tables.get(id) {
            Some(before) if can_be_changed(before, table) => change_table(id, before, table, &mut operations),
            _ => replace_table(id, table, &mut operations),
        }
    }
    for id in known.tables.keys().filter(|id| !desired.tables.contains_key(id)) {
        operations.push(Operation::DeleteTable(id.clone()));
    }
    Transaction { operations }
}

/// What makes the kernel hold exactly the desired ruleset when nothing is known of what it holds: every table of
/// `ours`, all that we may ever have made, is replaced, or removed if it is not desired.
pub fn replace(ours: &[TableId], desired: &Ruleset) -> Transaction {
    let mut transaction = diff(&Known::Unknown, desired);
    for id in ours.iter().filter(|id| !desired.tables.contains_key(id)) {
        remove_table(id, &mut transaction.operations);
    }
    transaction
}

/// Definitions cannot be changed in place, and names are made from what they define, so a name with another
/// definition is another version's layout: the table is replaced.
fn can_be_changed(before: &Table, after: &Table) -> bool {
    let sets =
        after.sets.iter().all(|(name, set)| before.sets.get(name).is_none_or(|it| it.same_definition(set)));
    let same_chain = |it: &Chain, chain: &Chain| it.base == chain.base && it.comment == chain.comment;
    let chains = after
        .chains
        .iter()
        .all(|(name, chain)| before.chains.get(name).is_none_or(|it| same_chain(it, chain)));
    sets && chains
}

/// Removes whatever is there by this name. The first operation makes the second succeed when nothing is there (a
/// delete that tolerates absence needs kernel 6.3).
fn remove_table(id: &TableId, operations: &mut Vec<Operation>) {
    operations.push(Operation::AddTable(id.clone()));
    operations.push(Operation::DeleteTable(id.clone()));
}

/// Removes whatever is there by this name and builds the table.
fn replace_table(id: &TableId, table: &Table, operations: &mut Vec<Operation>) {
    remove_table(id, operations);
    operations.push(Operation::AddTable(id.clone()));
    change_table(id, &Table::default(), table, operations);
}

fn change_table(id: &TableId, before: &Table, after: &Table, operations: &mut Vec<Operation>) {
    let new_chains: Vec<_> =
        after.chains_in_order().filter(|(name, _)| !before.chains.contains_key(*name)).collect();
    let (new_base, new_plain): (Vec<_>, Vec<_>) =
        new_chains.into_iter().partition(|(_, it)| it.base.is_some());
    for (name, set) in after.sets.iter().filter(|(name, _)| !before.sets.contains_key(*name)) {
        let definition = Set { elements: BTreeMap::new(), ..set.clone() };
        operations.push(Operation::AddSet {
            table: id.clone(),
            name: name.clone(),
            set: Box::new(definition),
        });
    }
    add_chains(id, &new_plain, operations);
    for (name, set) in &after.sets {
        change_elements(id, name, before.sets.get(name), set, operations);
    }
    add_rules(id, &new_plain, operations);
    for (name, chain) in after.chains_in_order() {
        if before.chains.get(name).is_some_and(|it| it.rules != chain.rules) {
            operations.push(Operation::FlushChain { table: id.clone(), name: name.clone() });
            add_rules(id, &[(name, chain)], operations);
        }
    }
    add_chains(id, &new_base, operations);
    add_rules(id, &new_base, operations);
    remove(id, before, after, operations);
}

fn add_chains(id: &TableId, chains: &[(&Name, &Chain)], operations: &mut Vec<Operation>) {
    operations.extend(chains.iter().map(|(name, chain)| Operation::AddChain {
        table: id.clone(),
        name: (*name).clone(),
        base: chain.base,
        comment: chain.comment.clone(),
    }));
}

fn add_rules(id: &TableId, chains: &[(&Name, &Chain)], operations: &mut Vec<Operation>) {
    for (name, chain) in chains {
        operations.extend(chain.rules.iter().map(|rule| Operation::AddRule {
            table: id.clone(),
            chain: (*name).clone(),
            rule: Box::new(rule.clone()),
        }));
    }
}

fn change_elements(
    id: &TableId,
    name: &Name,
    before: Option<&Set>,
    after: &Set,
    operations: &mut Vec<Operation>,
) {
    let nothing = BTreeMap::new();
    let known = before.map_or(&nothing, |set| &set.elements);
    let keys: Vec<Key> = known
        .iter()
        .filter(|(key, element)| after.elements.get(*key) != Some(*element))
        .map(|(key, _)| key.clone())
        .collect();
    let elements: Vec<(Key, Element)> = after
        .elements
        .iter()
        .filter(|(key, element)| known.get(*key) != Some(*element))
        .map(|(key, element)| (key.clone(), element.clone()))
        .collect();
    if !keys.is_empty() {
        operations.push(Operation::DeleteElements { table: id.clone(), set: name.clone(), keys });
    }
    if !elements.is_empty() {
        operations.push(Operation::AddElements { table: id.clone(), set: name.clone(), elements });
    }
}

/// Chains are flushed first: the kernel refuses to delete a set that a rule looks up, or a chain that a rule or
/// an element leads to.
fn remove(id: &TableId, before: &Table, after: &Table, operations: &mut Vec<Operation>) {
    let chains: Vec<&Name> = before.chains.keys().filter(|name| !after.chains.contains_key(*name)).collect();
    let sets = before.sets.keys().filter(|name| !after.sets.contains_key(*name));
    operations
        .extend(chains.iter().map(|name| Operation::FlushChain { table: id.clone(), name: (*name).clone() }));
    operations.extend(sets.map(|name| Operation::DeleteSet { table: id.clone(), name: name.clone() }));
    operations.extend(
        chains.iter().map(|name| Operation::DeleteChain { table: id.clone(), name: (*name).clone() }),
    );
}
