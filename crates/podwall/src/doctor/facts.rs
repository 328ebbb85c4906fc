//! What is observed on a node, before anybody judges it.

use std::time::Duration;

use podwall_netlink::{ForeignTable, ReadBack};
use podwall_reconciler::interfaces::CniConfiguration;
use podwall_reconciler::status::Status;

/// What is observed on a node. What could not be looked at says why.
#[derive(Debug)]
pub struct Facts {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// Whether the kernel takes transactions from us.
    pub nftables: Result<(), String>,
    /// Whether it takes every kind of rule that we write.
    pub rules: RuleTrial,
    /// Whether connections can be listed, and how many there are.
    pub connections: Result<Connections, String>,
    /// The tables of others.
    pub others: Vec<ForeignTable>,
    /// What gave IPVS away.
    pub ipvs: Option<String>,
    /// What kube-proxy says of its mode, where it answers.
    pub proxy_says: Option<String>,
    /// The settings of bridges that hide packets from us; `None` when the module is not there.
    pub hiding_bridges: Option<Vec<&'static str>>,
    /// The configuration of the CNI; `None` when there is none.
    pub cni: Option<CniConfiguration>,
    /// What the agent says of itself.
    pub agent: Result<Status, String>,
    /// What the kernel holds of our tables.
    pub held: Result<ReadBack, String>,
    /// What the API server says.
    pub api: ApiServer,
}

/// Rules of every kind, given to the kernel where no packet meets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleTrial {
    /// All were taken.
    Taken,
    /// All but those that log.
    WithoutLog(String),
    /// Some were refused.
    Refused(String),
    /// They could not be tried.
    NotTried(String),
}

/// The kernel's connection tracking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// How many there are.
    pub count: u64,
    /// How many there may be.
    pub max: Option<u64>,
}

/// What the API server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiServer {
    /// It was not asked.
    NotAsked(String),
    /// It did not answer.
    Silent(String),
    /// It answered.
    Answered {
        /// How long that took.
        took: Duration,
        /// Its version.
        version: String,
        /// The rights that the agent needs and this account lacks; or why they are not known.
        missing: Result<Vec<Right>, String>,
    },
}

/// Something that an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The verb.
    pub verb: &'static str,
    /// Policies hold without it.
    pub optional: bool,
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)
    }
}

const fn right(group: &'static str, resource: &'static str, verb: &'static str) -> Right {
    Right { group, resource, verb, optional: false }
}

const fn events(verb: &'static str) -> Right {
    Right { group: "events.k8s.io", resource: "events", verb, optional: true }
}

/// What the agent does at the API server: the ClusterRole of `deploy/base/rbac.yaml`.
pub const RIGHTS: [Right; 11] = [
    right("", "pods", "get"),
    right("", "pods", "list"),
    right("", "pods", "watch"),
    right("", "namespaces", "get"),
    right("", "namespaces", "list"),
    right("", "namespaces", "watch"),
    right("networking.k8s.io", "networkpolicies", "get"),
    right("networking.k8s.io", "networkpolicies", "list"),
    right("networking.k8s.io", "networkpolicies", "watch"),
    events("create"),
    events("patch"),
];
