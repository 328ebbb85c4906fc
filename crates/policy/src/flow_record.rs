//! A connection that a node has seen, as one line of JSON: what the agent writes and `map` and `suggest` read.
//! `docs/flows.md` describes every field.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evaluate::Transport;
use crate::model::{ObjectKey, Protocol};

/// A connection that a node has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// When its first packet was seen, in milliseconds since 1970.
    pub first_seen_ms: u64,
    /// When its last packet that was logged was seen.
    pub last_seen_ms: u64,
    /// What became of it.
    pub verdict: FlowVerdict,
    /// The side that decided: the one that denies, or would; `None` of what is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<FlowDirection>,
    /// Who opened it, by the address before any masquerading.
    pub from: FlowEnd,
    /// Whom it was for, by the address after translation.
    pub to: FlowEnd,
    /// `TCP`, `UDP`, `SCTP`, or the number of another protocol.
    pub protocol: String,
    /// The destination port; `None` of a protocol that has no ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The policies that isolate the side that decided, as `NAMESPACE/NAME`, at that moment; of an audited flow the
    /// audited ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// How many packets were logged. Of what is denied a client's repetitions are counted too, as far as they were
    /// sampled.
    pub count: u64,
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowVerdict {
    /// It was let through.
    Allowed,
    /// It was dropped.
    Denied,
    /// It was let through, and a policy in audit mode would have dropped it.
    Audit,
}

/// A side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowDirection {
    /// What the source's policies say.
    Egress,
    /// What the destination's policies say.
    Ingress,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowEnd {
    /// Its address.
    pub address: IpAddr,
    /// The pod that had the address then.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "pod_name")]
    pub pod: Option<ObjectKey>,
    /// True of the node that saw it, and of what runs on its network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_node: bool,
}

impl FlowRecord {
    /// What is spoken, as `evaluate` takes it.
    pub fn transport(&self) -> Transport {
        let protocol = Protocol::ALL.into_iter().find(|it| it.to_string() == self.protocol);
        match (protocol, self.port) {
            (Some(protocol), Some(port)) => Transport::Port(protocol, port),
            _ => Transport::Other,
        }
    }
}

/// A pod as `NAMESPACE/NAME`.
mod pod_name {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::ObjectKey;

    pub fn serialize<S: Serializer>(pod: &Option<ObjectKey>, to: S) -> Result<S::Ok, S::Error> {
        match pod {
            Some(key) => to.collect_str(key),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ObjectKey>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let (namespace, name) =
            text.split_once('/').ok_or_else(|| D::Error::custom("a pod is NAMESPACE/NAME"))?;
        Ok(Some(ObjectKey::new(namespace, name)))
    }
}
