//! The objects that matter to policy, with every default applied.
//!
//! In the API an absent list and an empty list mean the same (S29a), but what they mean differs from field to
//! field (S29b): the types here say it, so that nothing after them has to know.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::printable::printable_name;
use crate::selector::{LabelSelector, Labels};

/// Names an object within its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// `metadata.namespace`
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
}

impl ObjectKey {
    /// The key of `namespace`/`name`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// NAMESPACE/NAME, for people: what no name may have is escaped, as an API server may have it all the same.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", printable_name(&self.namespace), printable_name(&self.name))
    }
}

/// Where an object was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as it was named to us, or `-` for standard input.
    pub file: Arc<str>,
    /// The line of the object's first key; the first line is 1.
    pub line: usize,
}

/// A node: a source of traffic that no policy isolates, and the place of pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its addresses, if known.
    pub addresses: Vec<IpAddr>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.labels`
    pub labels: Labels,
    /// `spec.nodeName`; `None` until it is scheduled.
    pub node: Option<Arc<str>>,
    /// `status.podIPs`, or `status.podIP` of an old fixture (S89); at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// `spec.hostNetwork`: the pod is part of its node and takes part in no policy (S63).
    pub host_network: bool,
    /// Succeeded or Failed: its address may be another's already (S81).
    pub finished: bool,
    /// `metadata.deletionTimestamp` is set; enforced like any other pod until it is gone (S82).
    pub terminating: bool,
    /// When it started, as the API writes time (which sorts as text): of two live pods that report one address,
    /// the later owns it (S84).
    pub started: Arc<str>,
    /// The ports its containers and sidecars declare (S105, S106).
    pub ports: Vec<ContainerPort>,
    /// What the annotation `podwall.io/anti-spoofing` says, `enabled` or `disabled`; `None` when the node decides.
    pub anti_spoofing: Option<bool>,
    /// Where it was read.
    pub location: Option<Location>,
}

impl Pod {
    /// True when the pod takes part in policy: it is not finished and not on the host's network.
    pub fn takes_part(&self) -> bool {
        !self.finished && !self.host_network
    }
}

/// A port that a container declares. Declarations open nothing and close nothing; they give names (S109).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPort {
    /// The name that policies may use.
    pub name: Option<Arc<str>>,
    /// The number.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// The protocols that policies and container ports may name (S90).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, the default (S24).
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

    /// The protocol of a number in the IP header, if it is one of these.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            132 => Some(Protocol::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        })
    }
}

/// What the annotation `podwall.io/mode` of a NetworkPolicy or of its Namespace says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The policy is in force.
    #[default]
    Enforce,
    /// The policy neither isolates nor allows; what it would have denied is reported.
    Audit,
}

impl Mode {
    /// Audit, if that is so.
    pub fn audit_if(audited: bool) -> Self {
        if audited { Mode::Audit } else { Mode::Enforce }
    }
}

/// A NetworkPolicy after defaulting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// The pods it applies to, in its own namespace (S2, S20).
    pub pod_selector: LabelSelector,
    /// `Some` when it isolates for ingress (S3, S10, S13), with the rules that allow, which may be none (S7).
    pub ingress: Option<Vec<Rule>>,
    /// The same for egress.
    pub egress: Option<Vec<Rule>>,
    /// What its annotation `podwall.io/mode` says; `None` when its namespace decides.
    pub mode: Option<Mode>,
    /// Where it was read.
    pub location: Option<Location>,
}

impl NetworkPolicy {
    /// Whether it is enforced in a namespace whose policies are audited, or are not, unless they say otherwise.
    pub fn mode_in(&self, audited_namespace: bool) -> Mode {
        self.mode.unwrap_or(Mode::audit_if(audited_namespace))
    }
}

/// One rule: it allows what matches one of its peers and one of its ports (S30).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `from` of an ingress rule, `to` of an egress rule.
    pub peers: Peers,
    /// `ports`
    pub ports: Ports,
}

/// Who may be at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peers {
    /// Anyone, addresses outside the cluster included: the list was absent or empty (S22).
    Any,
    /// One of these, by index as written.
    Only(Vec<Peer>),
}

/// One entry of `from` or `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// The pods that `pods` selects in the namespaces that `namespaces` selects (S31 to S34).
    Pods {
        /// Which namespaces.
        namespaces: Namespaces,
        /// Which pods in them; an absent podSelector is the empty one here.
        pods: LabelSelector,
    },
    /// Addresses, of pods or not (S130, S136).
    Block(IpBlock),
    /// An entry that could not be understood: it matches nothing (S38, S49).
    Unreadable,
}

/// The namespaces in which a peer's podSelector looks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespaces {
    /// The policy's own: there was no namespaceSelector (S27).
    Own,
    /// Those whose labels match (S32, S35).
    Selected(LabelSelector),
}

/// An ipBlock; host bits are masked (S131), and an IPv4-mapped block is the IPv4 block it stands for (S132).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpBlock {
    /// The block.
    pub cidr: IpNet,
    /// What it leaves out; subtracts from this block only (S130, S139).
    pub except: Vec<IpNet>,
}

/// What may be spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// Any port of any protocol, ICMP included: the list was absent or empty (S23, S120).
    Any,
    /// One of these, by index as written (S99).
    Only(Vec<PortMatch>),
}

/// One entry of `ports`: always about the destination's port, after translation (S91, S92).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortMatch {
    /// Ports by number, both ends included. An entry without a port is 0 to 65535 of its protocol (S25, S96).
    Range {
        /// The protocol.
        protocol: Protocol,
        /// The lowest port.
        first: u16,
        /// The highest port.
        last: u16,
    },
    /// The port that the destination pod's containers declare by this name and protocol (S100 to S105).
    Named {
        /// The protocol.
        protocol: Protocol,
        /// The name.
        name: Arc<str>,
    },
    /// An entry that could not be understood: it matches nothing.
    Unreadable,
}

/// A Service: policy never sees one (S150), but the lab dials it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The pods behind it; `None` when it has no selector, and then nothing is behind it.
    pub selector: Option<Labels>,
    /// `spec.clusterIPs`, or `spec.clusterIP`; empty until assigned.
    pub cluster_addresses: Vec<IpAddr>,
    /// `clusterIP: None`: its name stands for the pods' own addresses (S154).
    pub headless: bool,
    /// The ports.
    pub ports: Vec<ServicePort>,
    /// Where it was read.
    pub location: Option<Location>,
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// The protocol.
    pub protocol: Protocol,
    /// The port that clients dial.
    pub port: u16,
    /// The port of the pods.
    pub target: TargetPort,
}

/// A Service's `targetPort`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By the name of a container port; the first container that declares it counts (S105).
    Named(Arc<str>),
}
