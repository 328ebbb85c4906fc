//! Transactions, dumps and changes of nftables over netlink, and the connections that the kernel tracks.
//!
//! ```text
//! Transaction ─► encode ─► one buffer ─► one system call ─► answers ─► applied, or which operation was refused
//! lists of the kernel ─► read ─► decode ─► a Ruleset, or what in there is not of our making
//! ```
//!
//! [`Kernel`] does both. It translates between `podwall_ruleset` and the kernel, and decides nothing else. The
//! messages are built by libnftnl, and read without it; this is the only crate of the workspace with `unsafe`, in two of its files.
//!
//! [`Monitor`] hears of what others change in our tables, [`PacketLog`] of the packets that rules log; [`Conntrack`] lists connections and sets bits of their
//! marks.

#![warn(missing_docs)]

mod attribute;
mod batch;
mod conntrack;
mod conntrack_message;
mod consts;
mod counter;
mod decode;
mod decode_rule;
mod describe;
mod dump;
mod element;
mod error;
mod expression;
mod expression_message;
mod feature;
mod foreign;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(test, target_endian = "little"))]
mod golden;
mod kernel;
mod logged_packet;
mod message;
mod monitor;
mod nftnl;
mod outcome;
mod packet_log;
mod parse;
mod read;
#[cfg(test)]
mod rule_round_trip;
mod socket;
mod split;
mod userdata;
mod value;
mod wire;

pub use batch::{Encoded, encode};
pub use conntrack::{Conntrack, ConntrackFilter, Entry, Icmp, MarkFilter, Tuple};
pub use counter::RuleCounter;
pub use error::{ApplyError, ConntrackError, EncodeError, OpenError, PacketLogError, ReadError, Refusal};
pub use feature::Feature;
pub use foreign::{ForeignHook, ForeignTable};
pub use kernel::{Kernel, ReadBack};
pub use logged_packet::LoggedPacket;
pub use monitor::{Monitor, Notification, Process};
pub use packet_log::{Logged, PacketLog};
