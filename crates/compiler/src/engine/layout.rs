//! Chains, and the sets that hold the same for all pods or move with the pods of this node: what is there, who holds
//! it, and what the kernel has of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use podwall_ruleset::{Chain, Element, Key, Name, Set};

use crate::frame::Frame;
use crate::local::{LocalSet, TableKind};

/// See the module.
#[derive(Debug, Default)]
pub struct Layout {
    chains: HashMap<ChainId, ChainState>,
    sets: BTreeMap<SetId, SetState>,
    touched_chains: BTreeSet<ChainId>,
    touched_sets: BTreeSet<SetId>,
    /// The tables that the kernel has.
    pub written_tables: BTreeSet<TableKind>,
}

/// What names a chain.
pub type ChainId = (TableKind, Name);

/// What names a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetId {
    /// One that moves with the pods of this node.
    Local(LocalSet),
    /// One that holds the same for as long as it is there, unless an option changes it.
    Constant(TableKind, Name),
}

/// A chain that is held, or was when the kernel was told last.
#[derive(Debug)]
pub struct ChainState {
    /// As it is to be.
    pub chain: Arc<Chain>,
    /// How many hold it.
    pub references: u32,
    /// What the kernel has of it.
    pub written: Written,
}

/// What the kernel has of a chain.
#[derive(Debug)]
pub enum Written {
    /// Nothing.
    Nothing,
    /// The chain as it is.
    Same,
    /// The chain with other rules.
    Otherwise(Arc<Chain>),
}

/// A set that is held, or was when the kernel was told last.
#[derive(Debug)]
pub struct SetState {
    /// As it is to be.
    pub set: Set,
    /// How many hold it.
    pub references: u32,
    /// True when the kernel has it.
    pub written: bool,
    /// What the kernel has under the keys that have been changed since it was told.
    pub before: BTreeMap<Key, Option<Element>>,
}

impl Layout {
    /// Holds a chain. If it is there with other rules, it gets these.
    pub fn hold_chain(&mut self, id: &ChainId, chain: &Arc<Chain>) {
        let Some(state) = self.chains.get_mut(id) else {
            let state = ChainState { chain: chain.clone(), references: 1, written: Written::Nothing };
            self.chains.insert(id.clone(), state);
            self.touched_chains.insert(id.clone());
            return;
        };
        state.references += 1;
        if state.chain.rules != chain.rules {
            let before = std::mem::replace(&mut state.chain, chain.clone());
            if matches!(state.written, Written::Same) {
                state.written = Written::Otherwise(before);
            }
            self.touched_chains.insert(id.clone());
        }
    }

    /// Holds a chain no longer.
    pub fn release_chain(&mut self, id: &ChainId) {
        let state = self.chains.get_mut(id).expect("it is held");
        state.references -= 1;
        match state.written {
            _ if state.references > 0 => {}
            Written::Nothing => {
                self.chains.remove(id);
            }
            _ => {
                self.touched_chains.insert(id.clone());
            }
        }
    }

    /// Holds a set. If it is there with other elements, a constant one gets these.
    pub fn hold_set(&mut self, id: &SetId, set: &Set) {
        let Some(state) = self.sets.get_mut(id) else {
            let state = SetState { set: set.clone(), references: 1, written: false, before: BTreeMap::new() };
            self.sets.insert(id.clone(), state);
            self.touched_sets.insert(id.clone());
            return;
        };
        state.references += 1;
        if matches!(id, SetId::Constant(..)) && state.set.elements != set.elements {
            let keys: BTreeSet<Key> = state.set.elements.keys().chain(set.elements.keys()).cloned().collect();
            for key in keys {
                self.put(id, &key, set.elements.get(&key).cloned());
            }
        }
    }

    /// Holds a set no longer.
    pub fn release_set(&mut self, id: &SetId) {
        let state = self.sets.get_mut(id).expect("it is held");
        state.references -= 1;
        if state.references > 0 {
            return;
        }
        if state.written {
            self.touched_sets.insert(id.clone());
        } else {
            self.sets.remove(id);
        }
    }

    /// Changes what a set has under a key.
    pub fn put(&mut self, id: &SetId, key: &Key, element: Option<Element>) {
        let state = self.sets.get_mut(id).expect("it is there");
        let before = match element {
            Some(element) => state.set.elements.insert(key.clone(), element),
            None => state.set.elements.remove(key),
        };
        if state.written {
            state.before.entry(key.clone()).or_insert(before);
            self.touched_sets.insert(id.clone());
        }
    }

    /// Holds all that is in a frame.
    pub fn hold_frame(&mut self, frame: &Frame) {
        for (id, chain) in &frame.chains {
            self.hold_chain(id, chain);
        }
        for ((table, name), set) in &frame.constants {
            self.hold_set(&SetId::Constant(*table, name.clone()), set);
        }
        for set in &frame.local_sets {
            self.hold_set(&SetId::Local(*set), &set.definition());
        }
    }

    /// Holds a frame no longer.
    pub fn release_frame(&mut self, frame: &Frame) {
        for id in frame.chains.keys() {
            self.release_chain(id);
        }
        for (table, name) in frame.constants.keys() {
            self.release_set(&SetId::Constant(*table, name.clone()));
        }
        for set in &frame.local_sets {
            self.release_set(&SetId::Local(*set));
        }
    }

    /// A chain that is held.
    pub fn chain(&self, id: &ChainId) -> Option<&Chain> {
        self.chains.get(id).map(|state| &*state.chain)
    }

    /// A set that is held.
    pub fn set(&self, id: &SetId) -> Option<&Set> {
        self.sets.get(id).map(|state| &state.set)
    }

    /// The chains that are held, in no order.
    pub fn chains(&self) -> impl Iterator<Item = (&ChainId, &Chain)> {
        let held = self.chains.iter().filter(|(_, state)| state.references > 0);
        held.map(|(id, state)| (id, &*state.chain))
    }

    /// The sets that are held.
    pub fn sets(&self) -> impl Iterator<Item = (&SetId, &Set)> {
        self.sets.iter().filter(|(_, state)| state.references > 0).map(|(id, state)| (id, &state.set))
    }

    /// The chains of a table of which the kernel may have something else, sorted.
    pub fn touched_chains(&self, table: TableKind) -> impl Iterator<Item = (&Name, &ChainState)> {
        let of_table = self.touched_chains.iter().filter(move |(it, _)| *it == table);
        of_table.filter_map(|id| Some((&id.1, self.chains.get(id)?)))
    }

    /// The sets of a table of which the kernel may have something else, sorted.
    pub fn touched_sets(&self, table: TableKind) -> impl Iterator<Item = (Name, &SetState)> {
        let of_table = self.touched_sets.iter().filter(move |id| id.table() == table);
        of_table.filter_map(|id| Some((id.name(), self.sets.get(id)?)))
    }

    /// The kernel has been told everything; these are the tables that it has.
    pub fn written(&mut self, tables: BTreeSet<TableKind>) {
        self.written_tables = tables;
        for id in std::mem::take(&mut self.touched_chains) {
            match self.chains.get_mut(&id) {
                Some(state) if state.references > 0 => state.written = Written::Same,
                _ => {
                    self.chains.remove(&id);
                }
            }
        }
        for id in std::mem::take(&mut self.touched_sets) {
            match self.sets.get_mut(&id) {
                Some(state) if state.references > 0 => {
                    state.written = true;
                    state.before.clear();
                }
                _ => {
                    self.sets.remove(&id);
                }
            }
        }
    }
}

impl SetId {
    /// The table that it is in.
    pub fn table(&self) -> TableKind {
        match self {
            SetId::Local(set) => set.table(),
            SetId::Constant(table, _) => *table,
        }
    }

    /// The name in the kernel.
    pub fn name(&self) -> Name {
        match self {
            SetId::Local(set) => set.name(),
            SetId::Constant(_, name) => name.clone(),
        }
    }
}
