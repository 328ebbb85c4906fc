//! Why a lab cannot run.

use std::fmt;

/// Why a lab cannot run. All of it is about the machine: manifests that are wrong are problems, not errors.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The machine does not let us have a network of our own.
    #[error(
        "this machine does not allow network namespaces to ordinary users ({reason}).\n\
         Run as root, or allow user namespaces; whichever of these settings exist must read:\n  \
         sysctl -w kernel.unprivileged_userns_clone=1\n  \
         sysctl -w user.max_user_namespaces=10000\n  \
         sysctl -w kernel.apparmor_restrict_unprivileged_userns=0\n\
         In a container, the container's security profile must allow unshare(2) too."
    )]
    Forbidden {
        /// What the kernel said.
        reason: String,
    },
    /// Something else that the kernel refused.
    #[error("{operation}: {reason}")]
    Machine {
        /// What was tried.
        operation: String,
        /// What the kernel said.
        reason: String,
    },
}

impl LabError {
    /// The kernel refused `operation` with `reason`.
    pub(crate) fn machine(operation: impl Into<String>, reason: impl fmt::Display) -> Self {
        LabError::Machine { operation: operation.into(), reason: reason.to_string() }
    }
}
