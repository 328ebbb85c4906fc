//! Cases for whoever enforces NetworkPolicy: a small cluster, the policies that are put into it, and what is done to
//! it between probes. What the right answers are is not in here: a case is a question.
//!
//! ```text
//! cases() ─► Case ─► actions, step by step ─► an API server, for an agent
//!                └─► states(): the whole cluster after each step, as manifests ─► the lab, the compiler
//! ```
//!
//! The cluster has the shape that the field's suites share: namespaces x, y and z, in each of them pods a, b and c,
//! which serve ports 80 and 81 over TCP, UDP and SCTP. Everything is deterministic; names of cases are stable.

mod case;
pub mod damage;
mod families;
mod grid;
mod random;
mod sample;

pub use case::{Action, Case, Object, Reference, State};
pub use families::cases;
pub use grid::{NAMESPACES, NODES, PODS, PORTS, PROTOCOLS, addresses, port_name};
pub use random::Random;
pub use sample::sample;
