//! What an engine is told, as a value.

use std::sync::Arc;

use podwall_compiler::{Attachment, Engine};
use podwall_policy::{Labels, NetworkPolicy, ObjectKey, Pod};

/// One call of the engine.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the engine's methods say it")]
pub enum Event {
    SetPod(ObjectKey, Pod),
    RemovePod(ObjectKey),
    SetNamespace(Arc<str>, Labels),
    SetPolicy(ObjectKey, NetworkPolicy),
    RemovePolicy(ObjectKey),
    SetAttachment(ObjectKey, Option<Attachment>),
}

impl Event {
    /// Makes the call.
    pub fn tell(self, engine: &mut Engine) {
        match self {
            Event::SetPod(key, pod) => engine.set_pod(key, pod),
            Event::RemovePod(key) => engine.remove_pod(&key),
            Event::SetNamespace(name, labels) => engine.set_namespace(name, labels),
            Event::SetPolicy(key, policy) => engine.set_policy(key, policy),
            Event::RemovePolicy(key) => engine.remove_policy(&key),
            Event::SetAttachment(key, attachment) => engine.set_attachment(key, attachment),
        }
    }
}
