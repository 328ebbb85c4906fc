//! The agent of one node: the only crate that is asynchronous and has a clock.
//!
//! ```text
//! watch      (API server, or a folder)  ─┐
//! interfaces (links, routes, addresses) ─┼─► mirror, engine ─► writer ─► kernel
//! others     (who else changes tables)  ─┘                        └───► revocation ─► conntrack
//! flows      (packets that the kernel logs, for `podwall flows`)
//! ```
//!
//! [`run`] is the loop. What a watch says goes to the engine at once, and to the kernel in one transaction for all that
//! has come meanwhile.

mod agent;
mod blame;
mod error;
pub mod event;
mod flows;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
pub mod interfaces;
mod metrics;
mod mirror;
mod others;
mod place;
mod problems;
mod report;
mod revocation;
mod serve;
mod settings;
mod single;
mod source;
pub mod status;
pub mod watch;
mod writer;

pub use agent::run;
pub use error::AgentError;
pub use settings::{Settings, Source, UnknownPodsChoice};
