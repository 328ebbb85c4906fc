//! What can go wrong, and what to do then.

use std::fmt;
use std::io;

/// Why nftables or connection tracking cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No netlink socket.
    #[error(
        "no netlink socket to the kernel's netfilter ({0}): is the kernel built with CONFIG_NETFILTER_NETLINK?"
    )]
    Socket(#[source] io::Error),
    /// The kernel refused an empty transaction.
    #[error(
        "the kernel refuses changes to nftables ({0}): run with CAP_NET_ADMIN in the network namespace, on a \
         kernel with nf_tables"
    )]
    Refused(#[source] io::Error),
}

/// Why a transaction cannot be put in the kernel's words. A bug of the one who made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {operation} (operation {index}): {reason}; nothing was sent, please report this")]
pub struct EncodeError {
    /// Which of the transaction's operations.
    pub index: usize,
    /// The operation in words.
    pub operation: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why a transaction was not applied, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It cannot be said to the kernel. Nothing was changed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The kernel refused operations, so nothing was changed.
    #[error(
        "the kernel refused {}, nothing was changed; read back what it holds and apply the difference",
        list(operations)
    )]
    Refused {
        /// The operations in the order of the transaction; there may be more if the kernel had more to say than
        /// it could keep.
        operations: Vec<Refusal>,
    },
    /// The kernel refused the transaction as a whole. Nothing was changed.
    #[error(
        "the kernel refused the transaction as a whole ({source}), nothing was changed; check that we have \
         CAP_NET_ADMIN and that the kernel has memory, then apply again"
    )]
    RefusedWhole {
        /// The kernel's error.
        source: io::Error,
    },
    /// Nobody knows whether it was applied.
    #[error(
        "no clear answer to a transaction of {operations} operations ({reason}): it is applied or not; \
         read back what the kernel holds"
    )]
    OutcomeUnknown {
        /// How many operations the transaction has.
        operations: usize,
        /// What was wrong with the answer.
        reason: String,
    },
    /// It does not fit in the socket's send buffer, and cannot be taken apart without a gap. Nothing was changed.
    #[error(
        "a transaction of {bytes} bytes does not fit in a send buffer for {limit} bytes: raise \
         net.core.wmem_max to at least {bytes}, or run with CAP_NET_ADMIN in the initial user namespace"
    )]
    TooLarge {
        /// What the transaction needs.
        bytes: usize,
        /// What one message may have.
        limit: usize,
    },
    /// The system refused to take it. Nothing was changed.
    #[error("cannot send to nftables ({0}), nothing was changed; apply again")]
    Send(#[source] io::Error),
    /// It had to be applied in parts, a part failed, and the parts before it could not be removed again. They are
    /// not reachable for packets: a table without base chains.
    #[error("{error}; an unfinished table without effect is left ({cleanup}): replace it")]
    Unfinished {
        /// Why the part failed.
        #[source]
        error: Box<ApplyError>,
        /// Why the parts before it are still there.
        cleanup: Box<ApplyError>,
    },
}

/// One operation that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the transaction's operations.
    pub index: usize,
    /// The operation in words: "add 3 elements to set pods/x.v4 of table inet podwall".
    pub operation: String,
    /// The kernel's error number.
    pub errno: i32,
    /// The kernel's words, if it had any.
    pub text: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to {} (operation {}): ", self.operation, self.index)?;
        if let Some(text) = &self.text {
            write!(f, "{text}, ")?;
        }
        write!(f, "{}", io::Error::from_raw_os_error(self.errno))
    }
}

/// Why the kernel's tables could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The request or the answer did not go through.
    #[error("cannot read nftables ({0}): try again")]
    Socket(#[source] io::Error),
    /// The kernel refused to list.
    #[error(
        "the kernel refuses to list {what} ({source}): run with CAP_NET_ADMIN in the network namespace, on \
         a kernel with nf_tables"
    )]
    Refused {
        /// What was to be listed.
        what: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// Somebody changed nftables each time while it was read.
    #[error(
        "nftables changed during each of {attempts} readings: something else rewrites it all the time, \
         find it with `nft monitor`"
    )]
    Unstable {
        /// How often it was tried.
        attempts: u32,
    },
}

/// Why connections could not be listed or marked.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// The request or the answer did not go through.
    #[error("cannot reach connection tracking ({0}): try again")]
    Socket(#[source] io::Error),
    /// The kernel refused.
    #[error(
        "the kernel refuses to {what} ({source}): run with CAP_NET_ADMIN in the network namespace, on a kernel with \
         CONFIG_NF_CT_NETLINK"
    )]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// It was disturbed each time.
    #[error("could not {what}: disturbed {attempts} times in a row; try again when the node is less busy")]
    Unstable {
        /// What was to be done.
        what: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
}

/// Why the packets that rules log cannot be heard.
#[derive(Debug, thiserror::Error)]
pub enum PacketLogError {
    /// The request or the answer did not go through.
    #[error("cannot reach the kernel's packet log ({0}): try again")]
    Socket(#[source] io::Error),
    /// Another program has the group.
    #[error("another program listens to group {group} of NFLOG: choose another group")]
    Taken {
        /// The group.
        group: u16,
    },
    /// The kernel refused.
    #[error(
        "the kernel refuses group {group} of NFLOG ({source}): run with CAP_NET_ADMIN in the network namespace, on a \
         kernel with CONFIG_NETFILTER_NETLINK_LOG (nfnetlink_log)"
    )]
    Refused {
        /// The group.
        group: u16,
        /// The kernel's error.
        source: io::Error,
    },
}

fn list(refusals: &[Refusal]) -> String {
    const SHOWN: usize = 5;
    let mut text = refusals.iter().take(SHOWN).map(Refusal::to_string).collect::<Vec<_>>().join("; ");
    if refusals.len() > SHOWN {
        text.push_str(&format!("; and {} more", refusals.len() - SHOWN));
    }
    text
}
