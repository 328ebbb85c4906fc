//! Why the agent cannot enforce on this node.

use std::io;

use podwall_netlink::{ApplyError, OpenError};

use crate::interfaces::{IpvsInUse, KernelLacks, WatchError};
use crate::serve::ServeError;
use crate::single::SingleError;

/// Why the agent cannot enforce on this node.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another agent does.
    #[error(transparent)]
    Single(#[from] SingleError),
    /// nftables or conntrack cannot be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The kernel lacks what every ruleset needs.
    #[error(transparent)]
    Lacks(#[from] KernelLacks),
    /// What the kernel has cannot be found out.
    #[error("cannot find out what the kernel has: {0}")]
    Features(#[source] ApplyError),
    /// Links and routes cannot be watched.
    #[error(transparent)]
    Links(#[from] WatchError),
    /// Who else changes nftables cannot be heard.
    #[error("cannot hear of changes of nftables: {0}")]
    Others(#[source] io::Error),
    /// kube-proxy uses IPVS, which leads connections past us.
    #[error(transparent)]
    Ipvs(#[from] IpvsInUse),
    /// What the agent answers cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The API server cannot be reached for want of credentials.
    #[error("no way to the API server ({0}): give --kubeconfig, or run as a pod with a service account")]
    Credentials(String),
    /// The folder of manifests.
    #[error("cannot watch the folder of manifests: {0}")]
    Manifests(#[source] io::Error),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// The watches ended by themselves, which is our mistake.
    #[error("the watches ended: please report this")]
    WatchesEnded,
}
