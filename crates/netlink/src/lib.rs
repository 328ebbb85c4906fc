//! Transactions and dumps of nftables over netlink.
//!
//! ```text
//! Transaction ─► encode ─► one buffer ─► one system call ─► answers ─► applied, or which operation was refused
//! lists of the kernel ─► read ─► decode ─► a Ruleset, or what in there is not of our making
//! ```
//!
//! [`Kernel`] does both. It translates between `podwall_ruleset` and the kernel, and decides nothing else. The
//! messages are built by libnftnl; this is the only crate of the workspace with `unsafe`, in two of its files.

#![warn(missing_docs)]

mod attribute;
mod batch;
mod consts;
mod decode;
mod decode_rule;
mod describe;
mod dump;
mod element;
mod error;
mod expression;
mod expression_message;
#[cfg(all(test, target_endian = "little"))]
mod golden;
mod kernel;
mod message;
mod nftnl;
mod outcome;
mod read;
mod socket;
mod split;
mod userdata;
mod value;
mod wire;

pub use batch::{Encoded, encode};
pub use error::{ApplyError, EncodeError, OpenError, ReadError, Refusal};
pub use kernel::{Kernel, ReadBack};
