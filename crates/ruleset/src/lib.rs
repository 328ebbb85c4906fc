//! What the kernel should hold, as values.
//!
//! ```text
//! Ruleset ─► Table ─► Chain ─► Rule          (what to do with a packet)
//!                └──► Set   ─► Element       (what moves when pods move)
//! ```
//!
//! The vocabulary is nft's own and only as large as what Podwall emits. [`Ruleset`]'s `Display` is nft syntax
//! and lists the same as `nft list ruleset` does; [`diff`] is the difference of two rulesets as an ordered
//! [`Transaction`]; [`judge`] follows a packet through a ruleset, as the kernel would.
//!
//! No I/O, no Kubernetes, no netlink.

mod diff;
mod display;
mod judge;
mod name;
mod object;
mod rule;

pub use diff::{Known, Operation, Transaction, diff, replace};
pub use judge::{Lookup, Packet, follow, judge};
pub use name::{
    COMMENT_BYTES_MAX, Comment, INTERFACE_BYTES_MAX, InterfaceName, NAME_BYTES_MAX, Name, NameError,
};
pub use object::{
    BaseChain, Chain, ChainType, Dynamic, Element, Family, HardwareAddress, Hook, Key, Ruleset, Set, Table,
    TableId, Value, ValueType,
};
pub use rule::{CtState, Field, IpFamily, Limit, Log, Match, Protocol, Rule, SetRef, Statement, Verdict};
