//! NetworkPolicy to nftables, for one node.
//!
//! ```text
//! policies that isolate a local pod ─► group ─► program ─► group chain ─► peer chains ─► sets
//!                          (group.rs)      (program.rs)  (ports first, then peers)   (peers.rs)
//! ```
//!
//! The two vocabularies meet here and nowhere else: NetworkPolicy, podSelector, peer, isolated on the way in;
//! chain, set, map, element, verdict on the way out. [`compile`] is a total function of present state: it reads
//! no clock, file or socket, cannot fail, and gives byte-equal output for equal input.
//!
//! What a packet meets is described in ARCHITECTURE.md; the order of files above is the order of its lookups.

mod dispatch;
mod group;
mod intervals;
mod name;
mod peers;
mod program;
mod table;

use std::collections::BTreeMap;

use podwall_policy::{Cluster, ObjectKey, Problem};
use podwall_ruleset::{InterfaceName, Ruleset, TableId};

/// The state of the cluster as one node sees it.
#[derive(Debug, Clone, Copy)]
pub struct NodeState<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The node whose pods are enforced (S88).
    pub node: &'a str,
    /// The host side of the veth of each local pod that has one. Pods without are keyed by address.
    pub interfaces: &'a BTreeMap<ObjectKey, InterfaceName>,
}

/// What a node's kernel should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The tables.
    pub ruleset: Ruleset,
    /// What could not be honoured; the pods concerned are closed.
    pub problems: Vec<Problem>,
}

/// The table that is ours: all of it, and nothing else.
pub fn table_id() -> TableId {
    TableId { family: podwall_ruleset::Family::Inet, name: name::table() }
}

/// Turns what the cluster says into what this node's kernel should hold. Total: same state in, same ruleset out,
/// whatever the order in which the state came about.
pub fn compile(state: NodeState<'_>) -> Compiled {
    let mut table = table::TableBuilder::new(state.cluster);
    let problems = dispatch::dispatch(state, &mut table);
    Compiled { ruleset: Ruleset { tables: BTreeMap::from([(table_id(), table.finish())]) }, problems }
}
