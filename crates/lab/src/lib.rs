//! Pods as network namespaces on one machine: manifests in, real packets through a real kernel, and who could
//! reach whom. No cluster, no root.
//!
//! ```text
//! Step ─► place ─► Scene ─► Topology (namespaces, links)     ─┐
//!                    │  └──► compile, diff, apply (nftables)  ─┼─► probes ─► outcomes ─► Report, matrix
//!                    └─────► Listeners, Services              ─┘
//! ```
//!
//! Everything is held by one process: when it dies, whatever the reason, the kernel takes all of it away.

mod attempt;
mod bridge;
mod error;
mod expectation;
mod host;
pub mod keep;
mod listener;
mod matrix;
mod namespace;
mod plan;
mod prober;
mod reason;
mod report;
mod rtnetlink;
mod run;
mod scene;
mod sctp;
mod service;
mod sysctl;
#[cfg(test)]
mod testing;
mod topology;

pub use error::LabError;
pub use namespace::isolate_process;
pub use report::ProblemReport;
pub use run::{Ending, Lab, RunOptions, Step, refuse};
pub use scene::{Families, Layout, OutsideHost, Party, Scene};
