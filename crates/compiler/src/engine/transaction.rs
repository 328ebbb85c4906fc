//! The changes since the kernel was told, as one transaction, in the order that [`podwall_ruleset::diff`] promises.

use std::collections::BTreeMap;

use podwall_ruleset::{
    BaseChain, Chain, Comment, Element, IpFamily, Key, Name, Operation, Set, TableId, Transaction,
};

use super::census::{Census, NewMembers};
use super::layout::{Layout, Written};
use super::selections::SelectionId;
use crate::local::TableKind;
use crate::selection::Member;
use crate::value::{FAMILIES, family_of};

/// What turns what the kernel has into what is there now.
pub fn transaction(layout: &Layout, census: &Census, new: &NewMembers, frames: bool) -> Transaction {
    let mut operations = Vec::new();
    let packets = Stages::new(TableKind::Packets, layout, Some((census, new)));
    packets.finish(layout.written_tables.contains(&TableKind::Packets), &mut operations);
    let had_frames = layout.written_tables.contains(&TableKind::Frames);
    if frames {
        Stages::new(TableKind::Frames, layout, None).finish(had_frames, &mut operations);
    } else if had_frames {
        operations.push(Operation::DeleteTable(TableKind::Frames.id()));
    }
    Transaction { operations }
}

/// The operations on one table, stage by stage.
struct Stages {
    table: TableId,
    sets: Vec<Operation>,
    chains: Vec<Operation>,
    elements: Vec<Operation>,
    rules: Vec<Operation>,
    rewritten: Vec<Operation>,
    base_chains: Vec<Operation>,
    flushed: Vec<Operation>,
    deleted_sets: Vec<Operation>,
    deleted_chains: Vec<Operation>,
}

impl Stages {
    fn new(table: TableKind, layout: &Layout, selections: Option<(&Census, &NewMembers)>) -> Self {
        let mut stages = Self {
            table: table.id(),
            sets: Vec::new(),
            chains: Vec::new(),
            elements: Vec::new(),
            rules: Vec::new(),
            rewritten: Vec::new(),
            base_chains: Vec::new(),
            flushed: Vec::new(),
            deleted_sets: Vec::new(),
            deleted_chains: Vec::new(),
        };
        stages.add_chains(table, layout);
        stages.add_sets(table, layout);
        if let Some((census, new)) = selections {
            stages.add_selections(census, new);
        }
        stages
    }

    fn finish(self, written: bool, operations: &mut Vec<Operation>) {
        if !written {
            // The first makes the second succeed when nothing is there.
            operations.push(Operation::AddTable(self.table.clone()));
            operations.push(Operation::DeleteTable(self.table.clone()));
            operations.push(Operation::AddTable(self.table));
        }
        let stages = [
            self.sets,
            self.chains,
            self.elements,
            self.rules,
            self.rewritten,
            self.base_chains,
            self.flushed,
            self.deleted_sets,
            self.deleted_chains,
        ];
        operations.extend(stages.into_iter().flatten());
    }

    fn add_chains(&mut self, table: TableKind, layout: &Layout) {
        let mut new_base: Vec<(&BaseChain, &Name, &Chain)> = Vec::new();
        for (name, state) in layout.touched_chains(table) {
            let kept = state.references > 0;
            match (&state.written, &state.chain.base) {
                (Written::Nothing, Some(base)) => new_base.push((base, name, &state.chain)),
                (Written::Nothing, None) => {
                    self.chains.push(self.new_chain(name, None, state.chain.comment.clone()));
                    self.rules.extend(self.new_rules(name, &state.chain));
                }
                (Written::Same | Written::Otherwise(_), _) if !kept => {
                    let (table, name) = (self.table.clone(), name.clone());
                    self.flushed.push(Operation::FlushChain { table: table.clone(), name: name.clone() });
                    self.deleted_chains.push(Operation::DeleteChain { table, name });
                }
                (Written::Otherwise(before), _) if before.rules != state.chain.rules => {
                    let flush = Operation::FlushChain { table: self.table.clone(), name: name.clone() };
                    self.rewritten.push(flush);
                    self.rewritten.extend(self.new_rules(name, &state.chain));
                }
                (Written::Same | Written::Otherwise(_), _) => {}
            }
        }
        new_base.sort_by_key(|(base, name, _)| (base.hook, base.priority, *name));
        for (base, name, chain) in &new_base {
            self.base_chains.push(self.new_chain(name, Some(**base), chain.comment.clone()));
        }
        for (_, name, chain) in &new_base {
            self.base_chains.extend(self.new_rules(name, chain));
        }
    }

    fn add_sets(&mut self, table: TableKind, layout: &Layout) {
        for (name, state) in layout.touched_sets(table) {
            if state.references == 0 {
                self.deleted_sets.push(Operation::DeleteSet { table: self.table.clone(), name });
                continue;
            }
            if !state.written {
                self.new_set(&name, Set { elements: BTreeMap::new(), ..state.set.clone() });
                let all = state.set.elements.iter().map(|(key, element)| (key.clone(), element.clone()));
                self.change_elements(&name, Vec::new(), all.collect());
                continue;
            }
            let (mut lost, mut gained) = (Vec::new(), Vec::new());
            for (key, before) in &state.before {
                let now = state.set.elements.get(key);
                if now != before.as_ref() {
                    lost.extend(before.as_ref().map(|_| key.clone()));
                    gained.extend(now.map(|element| (key.clone(), element.clone())));
                }
            }
            self.change_elements(&name, lost, gained);
        }
    }

    fn add_selections(&mut self, census: &Census, new: &NewMembers) {
        for (_, live) in census.selections.touched() {
            for (name, family) in live.names.iter().zip(FAMILIES) {
                if !live.written {
                    self.new_set(name, live.selection.definition(family));
                } else if live.references == 0 {
                    let (table, name) = (self.table.clone(), name.clone());
                    self.deleted_sets.push(Operation::DeleteSet { table, name });
                }
            }
        }
        for (id, members) in new {
            let members: Vec<(Member, bool)> = members.iter().map(|it| (*it, true)).collect();
            self.change_members(census, *id, &members);
        }
        for (id, changes) in census.selections.changes() {
            self.change_members(census, id, &changes);
        }
    }

    fn change_members(&mut self, census: &Census, id: SelectionId, changes: &[(Member, bool)]) {
        let split = changes.partition_point(|(it, _)| family_of(&it.address) == IpFamily::Ipv4);
        for (name, changes) in
            census.selections.get(id).names.iter().zip([&changes[..split], &changes[split..]])
        {
            let lost = changes.iter().filter(|(_, gained)| !gained).map(|(it, _)| it.key()).collect();
            let gained = changes.iter().filter(|(_, gained)| *gained);
            self.change_elements(name, lost, gained.map(|(it, _)| (it.key(), Element::default())).collect());
        }
    }

    fn change_elements(&mut self, set: &Name, lost: Vec<Key>, gained: Vec<(Key, Element)>) {
        let (table, set) = (self.table.clone(), set.clone());
        if !lost.is_empty() {
            let (table, set) = (table.clone(), set.clone());
            self.elements.push(Operation::DeleteElements { table, set, keys: lost });
        }
        if !gained.is_empty() {
            self.elements.push(Operation::AddElements { table, set, elements: gained });
        }
    }

    fn new_set(&mut self, name: &Name, definition: Set) {
        let (table, name) = (self.table.clone(), name.clone());
        self.sets.push(Operation::AddSet { table, name, set: Box::new(definition) });
    }

    fn new_chain(&self, name: &Name, base: Option<BaseChain>, comment: Option<Comment>) -> Operation {
        Operation::AddChain { table: self.table.clone(), name: name.clone(), base, comment }
    }

    fn new_rules(&self, name: &Name, chain: &Chain) -> Vec<Operation> {
        let rule = |rule: &podwall_ruleset::Rule| Operation::AddRule {
            table: self.table.clone(),
            chain: name.clone(),
            rule: Box::new(rule.clone()),
        };
        chain.rules.iter().map(rule).collect()
    }
}
