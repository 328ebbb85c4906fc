//! NetworkPolicy to nftables, for one node.
//!
//! ```text
//! policies that isolate a local pod ─► group ─► program ─► group chain ─► peer chains ─► sets
//!                          (group.rs)      (program.rs)     (chains.rs: ports first, then peers)
//! ```
//!
//! The two vocabularies meet here and nowhere else: NetworkPolicy, podSelector, peer, isolated on the way in;
//! chain, set, map, element, verdict on the way out. [`compile`] is a total function of present state: it reads
//! no clock, file or socket, cannot fail, and gives byte-equal output for equal input.
//!
//! What a group looks up of pods is a selection (`selection.rs`). Pods of this node lead to their groups by elements
//! (`local.rs`, `dispatch.rs`) of maps that stand in a frame (`frame.rs`). `source.rs` drops what a pod sends from
//! another's address, `flow_log.rs` reports, `unknown.rs` closes what nobody has told us of. What a packet meets is described in
//! ARCHITECTURE.md.
//!
//! [`Engine`] keeps the state event by event, by the same functions, and says what each event changes.

mod chains;
mod compile;
mod dispatch;
mod engine;
pub mod flow_log;
mod frame;
mod group;
mod intervals;
mod local;
mod name;
mod peers;
mod program;
mod selection;
mod source;
mod unknown;
mod value;

pub use compile::compile;
pub use engine::{Connection, Counts, Engine, LocalPodState};
pub use flow_log::FlowLog;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use podwall_policy::{Cluster, ObjectKey, Pod, Problem};
use podwall_ruleset::{Family, HardwareAddress, InterfaceName, Ruleset, TableId};

/// The state of the cluster as one node sees it.
#[derive(Debug, Clone, Copy)]
pub struct NodeState<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The node whose pods are enforced (S88).
    pub node: &'a str,
    /// How each local pod is attached. A pod that is not in here has no interface that could be found, and is
    /// keyed by address.
    pub attachments: &'a BTreeMap<ObjectKey, Attachment>,
    /// What is closed though no known pod is behind it.
    pub closed: &'a Closed,
    /// What the node's operator chose.
    pub options: &'a NodeOptions,
}

/// What is closed both ways for what is forwarded, and for what it sends to its own node, though no known pod is
/// behind it: what a pod left behind whose object is gone while its containers run (S83), or what cannot be told
/// whose it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closed {
    /// Interfaces of their own. One that a known pod is attached by is closed with it.
    pub interfaces: BTreeSet<InterfaceName>,
    /// Addresses of pods on a bridge. One that a known pod of this node owns is that pod's (S84).
    pub addresses: BTreeSet<IpAddr>,
}

impl<'a> NodeState<'a> {
    /// The pods of this node that take part in policy.
    fn local_pods(self) -> impl Iterator<Item = (&'a ObjectKey, &'a Pod)> {
        let is_local = move |pod: &Pod| pod.takes_part() && pod.node.as_deref() == Some(self.node);
        self.cluster.pods.iter().filter(move |(_, pod)| is_local(pod))
    }
}

/// How a pod is attached to its node: the host side of its veth.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attachment {
    /// An interface of its own, to which its addresses are routed: policy is keyed by it.
    Routed(InterfaceName),
    /// A port of a bridge. Packets are seen to come from and go to the bridge, so policy is keyed by address, and
    /// the port is where an address is made worth trusting.
    Bridged {
        /// The port.
        port: InterfaceName,
        /// The hardware address of the pod's side, if it is known. A frame from another would teach the bridge a
        /// wrong way, and what is for somebody else would go to this pod.
        hardware_address: Option<HardwareAddress>,
    },
}

/// What a node's operator chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOptions {
    /// Drop what a pod sends from an address that is not its own; an annotation decides for its pod.
    pub anti_spoofing: bool,
    /// What becomes of a pod that no one has told us of yet.
    pub unknown_pods: UnknownPods,
    /// The bit of the conntrack mark that means *revoked*: a connection that carries it is dropped both ways.
    /// `None` lets connections live on that a change of policy forbids.
    pub revoked_mark: Option<u32>,
    /// Count what each group's chain is asked and what it drops.
    pub counters: bool,
    /// Log first packets; without it, policies in audit mode are neither enforced nor reported.
    pub flow_log: Option<FlowLog>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            anti_spoofing: true,
            unknown_pods: UnknownPods::Accept,
            revoked_mark: None,
            counters: false,
            flow_log: None,
        }
    }
}

/// What becomes of a pod that is there before we know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownPods {
    /// It is open until we know it.
    Accept,
    /// It is closed both ways for what is forwarded (S9), and only its own node reaches it.
    Drop {
        /// How the names of pods' own interfaces begin: an interface of such a name that is no known pod's is
        /// closed.
        interface_prefixes: Vec<InterfaceName>,
        /// Where the addresses of pods on this node's bridge come from: one that is no known pod's is closed.
        bridge_ranges: Vec<IpNet>,
    },
}

impl UnknownPods {
    /// True when pods on a bridge are closed that nobody has told us of.
    fn is_of_bridges(&self) -> bool {
        matches!(self, UnknownPods::Drop { bridge_ranges, .. } if !bridge_ranges.is_empty())
    }
}

/// What a node's kernel should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The tables.
    pub ruleset: Ruleset,
    /// What could not be honoured; the pods concerned are closed.
    pub problems: Vec<Problem>,
}

/// The table of packets: all of it is ours, and nothing else is.
pub fn table_id() -> TableId {
    TableId { family: Family::Inet, name: name::table() }
}

/// The table of frames, which is there only while pods are on a bridge.
pub fn bridge_table_id() -> TableId {
    TableId { family: Family::Bridge, name: name::table() }
}
