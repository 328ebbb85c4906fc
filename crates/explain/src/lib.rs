//! Questions about NetworkPolicy that manifests alone can answer: why a connection is allowed or denied (`explain`),
//! what looks wrong (`check`), whether expectations hold (`trial`), what a change opens and closes (`diff`), who may
//! talk to whom (`map`), and which policies recorded flows ask for (`suggest`).
//!
//! ```text
//! sources ─► Snapshot (Cluster, workloads, the text of policies) ─┬─► explain ─► Answer
//!                                                                  ├─► check   ─► findings
//!                                                                  ├─► trial   ─► outcomes
//!                                     two of them ─────────────────┼─► diff    ─► changes
//!                                     with a flow log ─────────────┼─► map     ─► page, picture or data
//!                                                                  └─► suggest ─► policies
//! ```
//!
//! Every verdict is [`podwall_policy::evaluate`]'s. Where a question is about a part of a policy, a cluster with that
//! part alone is put before `evaluate` (see [`alone`]). No I/O.

mod alone;
pub mod check;
mod describe;
pub mod diff;
pub mod explain;
mod field;
mod flow_log;
pub mod live;
pub mod map;
mod miss;
mod near;
mod page;
mod party;
mod port;
mod service;
mod snapshot;
pub mod suggest;
pub mod trial;
mod written;

pub use field::{Direction, FieldPath};
pub use flow_log::read_flow_log;
pub use party::{Party, Unknown};
pub use port::Dialled;
pub use snapshot::Snapshot;
