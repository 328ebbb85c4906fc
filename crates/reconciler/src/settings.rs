//! What an operator chooses.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use podwall_compiler::{FlowLog, UnknownPods};

/// What an operator chooses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node whose pods are enforced.
    pub node: Arc<str>,
    /// Where the cluster's state comes from.
    pub source: Source,
    /// What becomes of pods that nobody has told us of.
    pub unknown_pods: UnknownPodsChoice,
    /// The folder with the configuration of the CNI.
    pub cni_configuration: PathBuf,
    /// Drop what a pod sends from an address not its own.
    pub anti_spoofing: bool,
    /// The bit of the conntrack mark that means revoked; `None` lets connections live on.
    pub revoked_mark: Option<u32>,
    /// Count packets by group and direction.
    pub counters: bool,
    /// What is logged of new connections.
    pub flow_log: Option<FlowLog>,
    /// Where metrics and health are served.
    pub listen: Option<SocketAddr>,
    /// Where the status is served; the flow log is beside it.
    pub status_socket: PathBuf,
    /// How often to look for what no event tells.
    pub resync_interval: Duration,
}

/// Where the cluster's state comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// An API server.
    Api {
        /// How to reach it; `None` for the service account of the pod that this runs in.
        kubeconfig: Option<PathBuf>,
    },
    /// A folder of manifests.
    Manifests(PathBuf),
}

/// What becomes of pods that nobody has told us of.
#[derive(Debug, Clone)]
pub enum UnknownPodsChoice {
    /// This.
    Fixed(UnknownPods),
    /// They are dropped; how they are told apart is found out.
    Drop,
    /// They are dropped if it can be found out how they are told apart, else accepted.
    DropWhereTold,
}
