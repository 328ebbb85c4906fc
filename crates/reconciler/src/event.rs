//! What watches say.

use std::sync::Arc;

use podwall_policy::read::PolicyReading;
use podwall_policy::{Labels, ObjectKey, Pod, Problem};

/// The kinds that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Pods
    Pod,
    /// Namespaces
    Namespace,
    /// NetworkPolicies
    NetworkPolicy,
}

/// One message of a watch.
#[derive(Debug)]
pub enum WatchEvent {
    /// A complete list begins: what is not in it is gone once it has ended.
    ListStarted(Kind),
    /// An object is there, in this version.
    Present(Object),
    /// An object is gone.
    Gone(Kind, ObjectKey),
    /// The list is complete.
    Listed(Kind),
    /// Something that could not be understood, and what became of it. An object that can still be named stays as it
    /// was.
    Problem(Problem),
    /// The watch of a kind broke, is tried again, and this is why.
    Restarted {
        /// Which watch.
        kind: Kind,
        /// Why, as a word for metrics: `expired`, `disconnected`, `refused`, `timeout`.
        reason: &'static str,
    },
}

/// An object that was read.
#[derive(Debug)]
pub enum Object {
    /// A pod.
    Pod {
        /// Its name.
        key: ObjectKey,
        /// `metadata.uid`; empty when the source has none. A pod that is made again under the same name has another.
        uid: Arc<str>,
        /// The pod.
        pod: Box<Pod>,
    },
    /// A namespace with its labels; the key's namespace is empty.
    Namespace(ObjectKey, Labels),
    /// A policy, read or refused.
    NetworkPolicy(ObjectKey, Box<PolicyReading>),
}
