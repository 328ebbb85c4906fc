//! What watches say.

use std::sync::Arc;

use podwall_policy::read::PolicyReading;
use podwall_policy::{Labels, Mode, ObjectKey, Pod, Problem};

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

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Pod, Kind::Namespace, Kind::NetworkPolicy];

    /// As manifests write it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pod => "Pod",
            Kind::Namespace => "Namespace",
            Kind::NetworkPolicy => "NetworkPolicy",
        }
    }

    /// As paths of the API write it.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Pod => "pods",
            Kind::Namespace => "namespaces",
            Kind::NetworkPolicy => "networkpolicies",
        }
    }
}

/// One message of a watch. Those of one kind come in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// A complete list begins: what is not in it is gone once it has ended. A list that breaks begins again with
    /// another of these, and what came before it counts no more.
    ListStarted(Kind),
    /// An object is there, in this version. What was wrong with its earlier versions is over.
    Present(Object),
    /// An object is there, perhaps in a new version, but cannot be read: what it said before stays in force.
    Unread {
        /// Its kind.
        kind: Kind,
        /// Its name.
        key: ObjectKey,
        /// Why.
        problem: Problem,
    },
    /// An object is gone, or is a pod that takes part in nothing any more: it is finished.
    Gone(Kind, ObjectKey),
    /// The list has ended.
    Listed {
        /// Of which kind.
        kind: Kind,
        /// What is not in the list is gone. False when something was in it whose name could not be read: then nothing
        /// is gone.
        complete: bool,
    },
    /// Something that could not be understood, or an API server that refuses us.
    Problem {
        /// Which watch.
        kind: Kind,
        /// The object, which has been sent as present, less what is wrong with it. Without one, the watch itself has
        /// the problem, until it has recovered.
        key: Option<ObjectKey>,
        /// What is wrong.
        problem: Problem,
    },
    /// What this watch said of problems without an object is over.
    Recovered(Kind),
    /// The watch of a kind broke, and is tried again. What it said stays in force.
    Restarted {
        /// Which watch.
        kind: Kind,
        /// Why, as a word for metrics: `expired`, `restored`, `disconnected`, `refused`, `unavailable`, `timeout`, `unreadable`.
        reason: &'static str,
    },
}

/// An object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A pod that takes part in policy.
    Pod {
        /// Its name.
        key: ObjectKey,
        /// `metadata.uid`; empty when the source has none. A pod that is made again under the same name has another.
        uid: Arc<str>,
        /// The pod.
        pod: Box<Pod>,
    },
    /// A namespace with its labels, `kubernetes.io/metadata.name` included, and whether its policies are enforced; the
    /// key's namespace is empty.
    Namespace(ObjectKey, Labels, Mode),
    /// A policy.
    NetworkPolicy {
        /// Its name.
        key: ObjectKey,
        /// `metadata.uid`; empty when the source has none.
        uid: Arc<str>,
        /// What it says, or why it was refused; never [`PolicyReading::Unreadable`].
        reading: Box<PolicyReading>,
    },
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Object::Pod { .. } => Kind::Pod,
            Object::Namespace(..) => Kind::Namespace,
            Object::NetworkPolicy { .. } => Kind::NetworkPolicy,
        }
    }

    /// Its name.
    pub fn key(&self) -> &ObjectKey {
        match self {
            Object::Pod { key, .. } | Object::Namespace(key, ..) | Object::NetworkPolicy { key, .. } => key,
        }
    }
}
