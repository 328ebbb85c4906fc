//! What the agent says of itself: `podwall status`, and readiness.

use serde::{Deserialize, Serialize};

/// What a node enforces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The node.
    pub node: String,
    /// The agent's version.
    pub version: String,
    /// The agent's process.
    pub pid: u32,
    /// When the agent started, seconds since 1970.
    pub started_s: u64,
    /// Since when the rules have been in force without a break that this agent knows of, seconds since 1970; absent
    /// while they are not.
    pub enforcing_since_s: Option<u64>,
    /// Why it is not ready; empty when it is in sync and enforcing.
    pub not_ready: Vec<String>,
    /// What becomes of pods that nobody has told us of.
    pub unknown_pods: String,
    /// The mark of connections that are cut; absent when connections live on.
    pub revoked_mark: Option<u32>,
    /// Pods of the cluster.
    pub pods: usize,
    /// Policies of the cluster.
    pub policies: usize,
    /// Transactions since the start.
    pub transactions: u64,
    /// Changes by others that were undone.
    pub drift_repairs: u64,
    /// Connections that were cut.
    pub revoked_connections: u64,
    /// What is logged of new connections: `off`, `denied`, `all`.
    pub flow_log: String,
    /// The policies in audit mode.
    pub audited_policies: Vec<String>,
    /// How much the kernel should hold; absent while it has not been given everything.
    #[serde(default)]
    pub held: Option<Held>,
    /// The pods of this node.
    pub local_pods: Vec<PodStatus>,
    /// What cannot be honoured.
    pub problems: Vec<String>,
}

/// How much is in our tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Tables.
    pub tables: usize,
    /// Chains.
    pub chains: usize,
    /// Rules.
    pub rules: usize,
    /// Named sets and maps.
    pub sets: usize,
    /// Elements in those.
    pub elements: usize,
}

/// How a pod of this node is enforced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// NAMESPACE/NAME
    pub pod: String,
    /// The addresses it owns.
    pub addresses: Vec<String>,
    /// The host side of its link; absent when it is known by address only.
    pub interface: Option<String>,
    /// True when the interface is a port of a bridge.
    pub bridged: bool,
    /// The chain that judges what comes to it; absent when nothing isolates it.
    pub ingress_chain: Option<String>,
    /// The chain that judges what it sends.
    pub egress_chain: Option<String>,
    /// The policies that isolate it.
    pub policies: Vec<String>,
    /// Since when it has been enforced like this, seconds since 1970.
    pub since_s: Option<u64>,
}

/// The name of the socket of the flow log, beside that of the status.
pub const FLOW_SOCKET: &str = "flows.socket";

/// The first line of what the socket of the flow log says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowsHeader {
    /// The node.
    pub node: String,
    /// What is logged: `off`, `denied`, `all`.
    pub flow_log: String,
    /// The policies in audit mode.
    pub audited_policies: Vec<String>,
    /// Packets that the kernel could not hand over since the agent started.
    pub lost: u64,
    /// Packets beyond the limits, which were not logged, since the rules were made: denied, audited, allowed.
    pub beyond_limits: [u64; 3],
}

/// In the place of records that came faster than they were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsSkipped {
    /// How many.
    pub skipped: u64,
}
