//! Operations in words, for messages about them.

use podwall_ruleset::{Family, Operation, TableId};

/// What an operation does, as it appears in an error.
pub(crate) fn describe(operation: &Operation) -> String {
    match operation {
        Operation::AddTable(table) => format!("add table {}", id(table)),
        Operation::DeleteTable(table) => format!("delete table {}", id(table)),
        Operation::AddSet { table, name, set } => {
            format!("add {} {name} to table {}", kind(set.map), id(table))
        }
        Operation::DeleteSet { table, name } => format!("delete set {name} of table {}", id(table)),
        Operation::AddElements { table, set, elements } => {
            format!("add {} elements to set {set} of table {}", elements.len(), id(table))
        }
        Operation::DeleteElements { table, set, keys } => {
            format!("delete {} elements of set {set} of table {}", keys.len(), id(table))
        }
        Operation::AddChain { table, name, .. } => format!("add chain {name} to table {}", id(table)),
        Operation::FlushChain { table, name } => format!("flush chain {name} of table {}", id(table)),
        Operation::DeleteChain { table, name } => format!("delete chain {name} of table {}", id(table)),
        Operation::AddRule { table, chain, .. } => {
            format!("add a rule to chain {chain} of table {}", id(table))
        }
    }
}

fn kind(map: bool) -> &'static str {
    if map { "map" } else { "set" }
}

/// A table as nft names it.
pub(crate) fn id(table: &TableId) -> String {
    let family = match table.family {
        Family::Inet => "inet",
        Family::Bridge => "bridge",
    };
    format!("{family} {}", table.name)
}
