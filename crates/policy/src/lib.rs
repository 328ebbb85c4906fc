//! Kubernetes objects as Podwall sees them, and what they mean.
//!
//! ```text
//! manifests, API objects ─► read ─► Cluster ─► evaluate(flow) ─► Decision
//!                            └────► Problem (file, line, object, field)
//! ```
//!
//! Objects are parsed once, at the rim: after [`read`] there is no `Option<Option<Vec>>` with folklore about what
//! absent means, and every default of the API server has been applied. [`evaluate`] is the literal reading of the
//! specification, policy by policy, rule by rule: slow, plain, and sharing nothing with the compiler but these
//! types and label matching.
//!
//! No I/O, no netlink, no nftables.

mod cluster;
mod evaluate;
mod expectation;
mod flow_record;
mod model;
mod placement;
mod printable;
mod problem;
pub mod read;
mod selector;
pub mod tree;
mod workload;

pub use cluster::{Cluster, NAMESPACE_NAME_LABEL};
pub use evaluate::{Decision, Endpoint, Exemption, Flow, Grant, Transport, Verdict, evaluate};
pub use expectation::{Expectation, ExpectationError};
pub use flow_record::{FlowDirection, FlowEnd, FlowRecord, FlowVerdict};
pub use model::{
    ContainerPort, IpBlock, Location, Mode, Namespaces, NetworkPolicy, Node, ObjectKey, Peer, Peers, Pod,
    PortMatch, Ports, Protocol, Rule, Service, ServicePort, TargetPort,
};
pub use placement::{PlacementOptions, place};
pub use problem::{Consequence, Problem};
pub use read::{Manifests, Source};
pub use selector::{LabelSelector, Labels, Operator, Requirement};
pub use tree::Tree;
pub use workload::{Count, Workload, WorkloadKind, workload_pods};
