//! The agent of one node.
//!
//! ```text
//! watch      (API server, or a folder)  ─┐
//! interfaces (links, routes, addresses) ─┼─► engine ─► transaction ─► kernel
//! monitor    (who else changes nftables) ┘
//! ```

pub mod event;
pub mod watch;
