//! One agent per network namespace: two would undo each other's work.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

/// Abstract names belong to the network namespace, as nftables does, and die with the process.
const NAME: &[u8] = b"podwall/agent";

/// Held as long as this agent runs.
#[derive(Debug)]
pub struct Single {
    _listener: UnixListener,
}

/// Why this agent may not run.
#[derive(Debug, thiserror::Error)]
pub enum SingleError {
    /// Another one does.
    #[error(
        "another podwall agent (process {pid}) already enforces in this network namespace: stop it first"
    )]
    Another {
        /// The other's process.
        pid: i32,
    },
    /// It cannot be told.
    #[error("cannot tell whether another podwall agent runs in this network namespace: {0}")]
    Unknown(#[from] io::Error),
}

impl Single {
    /// Takes the place of the network namespace's one agent. A process that is not root's may hold the name, but it
    /// does not hold us up: it could be anyone's on the host's network.
    pub fn take() -> Result<Option<Self>, SingleError> {
        let address = SocketAddr::from_abstract_name(NAME)?;
        let in_use = match UnixListener::bind_addr(&address) {
            Ok(listener) => return Ok(Some(Self { _listener: listener })),
            Err(error) => error,
        };
        if in_use.kind() != io::ErrorKind::AddrInUse {
            return Err(in_use.into());
        }
        let peer = UnixStream::connect_addr(&address)?;
        let holder = getsockopt(&peer, PeerCredentials).map_err(io::Error::from)?;
        if holder.uid() == nix::unistd::geteuid().as_raw() {
            return Err(SingleError::Another { pid: holder.pid() });
        }
        tracing::warn!(
            pid = holder.pid(),
            uid = holder.uid(),
            "a process that is not ours holds the name of the agent: another agent would not be noticed"
        );
        Ok(None)
    }
}
