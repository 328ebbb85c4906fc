//! Pods as network namespaces on one machine: manifests in, real packets through a real kernel, and who could
//! reach whom. No cluster, no root.
//!
//! ```text
//! Step ─► place ─► Scene ─► Topology (namespaces, links)     ─┐
//!                    │  └──► NodePolicy (engine), nftables     ─┼─► probes ─► outcomes ─► Report, matrix
//!                    └─────► Listeners, Services              ─┘
//! ```
//!
//! Everything is held by one process: when it dies, whatever the reason, the kernel takes all of it away.
//!
//! [`Lab`] is the whole of it. Its parts ([`Topology`], [`Listeners`], [`plan`], [`Prober`], [`Attempt`]) serve tests
//! whose hosts come and go while something else enforces.

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
mod policy;
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

pub use attempt::{Asked, Attempt, Outcome};
pub use error::LabError;
pub use expectation::failures;
pub use listener::Listeners;
pub use namespace::{NetworkNamespace, isolate_process};
pub use plan::{Probe, Question, Via, plan};
pub use prober::Prober;
pub use report::{ProbeResult, ProblemReport, StepResult};
pub use run::{Ending, Lab, RunOptions, Step, refuse};
pub use scene::{Families, INTERFACE_PREFIX, Layout, OutsideHost, Party, PodPlace, Scene};
pub use service::{Backend, ServiceAddress, service_addresses, service_ruleset};
pub use topology::{Settings, Topology};
