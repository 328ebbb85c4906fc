//! The literal reading of the specification: which policies isolate, and which rule allows.
//!
//! Written to be compared with the text, clause by clause, and not to be fast. It shares nothing with the
//! compiler but the parsed objects and label matching: what they agree on was understood twice.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::cluster::Cluster;
use crate::model::{
    IpBlock, Mode, Namespaces, NetworkPolicy, ObjectKey, Peer, Peers, Pod, PortMatch, Ports, Protocol, Rule,
};
use crate::selector::Labels;

/// A connection that somebody opens: who, to whom, and what they speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Who opens it, with the source address before any masquerading (S150).
    pub from: Endpoint,
    /// Whom it reaches, with the destination address after translation (S92, S150).
    pub to: Endpoint,
    /// What is spoken.
    pub transport: Transport,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A pod, by one of its addresses.
    Pod {
        /// The pod.
        pod: ObjectKey,
        /// Its address.
        address: IpAddr,
    },
    /// A node, or what runs on its network.
    Node {
        /// The node.
        node: Arc<str>,
        /// The address it uses.
        address: IpAddr,
    },
    /// Anything else.
    Outside(IpAddr),
}

impl Endpoint {
    /// The address.
    pub fn address(&self) -> IpAddr {
        match self {
            Endpoint::Pod { address, .. } | Endpoint::Node { address, .. } | Endpoint::Outside(address) => {
                *address
            }
        }
    }
}

/// What is spoken over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A protocol with ports, to this destination port.
    Port(Protocol, u16),
    /// Any other protocol: ICMP echo, GRE and so on (S120, S125).
    Other,
}

impl Transport {
    /// What a packet of this protocol, by its number, and destination port speaks.
    pub fn of(protocol: u8, port: Option<u16>) -> Self {
        match (Protocol::from_number(protocol), port) {
            (Some(protocol), Some(port)) => Transport::Port(protocol, port),
            _ => Transport::Other,
        }
    }
}

/// What the specification says of a connection, direction by direction (S6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What the source's side says.
    pub egress: Verdict,
    /// What the destination's side says.
    pub ingress: Verdict,
}

impl Decision {
    /// True when both sides allow.
    pub fn allowed(&self) -> bool {
        self.egress.allows() && self.ingress.allows()
    }
}

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Policy has no say.
    Exempt(Exemption),
    /// No policy isolates the pod in this direction (S4).
    NotIsolated,
    /// The pod is isolated, and a rule allows.
    Allowed {
        /// The policies that isolate it, sorted.
        isolating: Vec<ObjectKey>,
        /// The first rule that allows.
        grant: Grant,
    },
    /// The pod is isolated, and no rule allows.
    Denied {
        /// The policies that isolate it, sorted.
        isolating: Vec<ObjectKey>,
    },
}

impl Verdict {
    /// True unless denied.
    pub fn allows(&self) -> bool {
        !matches!(self, Verdict::Denied { .. })
    }
}

/// Why policy has no say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exemption {
    /// This end is not a pod that takes part in policy (S2, S63, S67).
    NotAPod,
    /// The pod's own node opened the connection (S60, S61).
    OwnNode,
    /// Both ends are the same pod (S70, S73).
    Itself,
}

/// The rule that allows, by index as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The policy.
    pub policy: ObjectKey,
    /// Index in `spec.ingress` or `spec.egress`.
    pub rule: usize,
    /// Index in `from` or `to`; `None` when the rule is for any peer.
    pub peer: Option<usize>,
    /// Index in `ports`; `None` when the rule is for any port.
    pub port: Option<usize>,
}

/// Reads the specification literally: may this connection be opened?
pub fn evaluate(cluster: &Cluster, flow: &Flow) -> Decision {
    let (from, to) = (pod_of(cluster, &flow.from), pod_of(cluster, &flow.to));
    if let (Some((from, _)), Some((to, _))) = (&from, &to)
        && from == to
    {
        let itself = Verdict::Exempt(Exemption::Itself);
        return Decision { egress: itself.clone(), ingress: itself };
    }
    Decision { egress: egress(cluster, flow, from), ingress: ingress(cluster, flow, to) }
}

/// The pod at this end, if it takes part in policy: not when it is finished (S81) or on its node's network
/// (S63).
fn pod_of<'a>(cluster: &'a Cluster, endpoint: &'a Endpoint) -> Option<(&'a ObjectKey, &'a Pod)> {
    let Endpoint::Pod { pod: key, .. } = endpoint else { return None };
    let pod = cluster.pods.get(key)?;
    pod.takes_part().then_some((key, pod))
}

fn egress(cluster: &Cluster, flow: &Flow, from: Option<(&ObjectKey, &Pod)>) -> Verdict {
    let Some((key, pod)) = from else { return Verdict::Exempt(Exemption::NotAPod) };
    judge(cluster, key, pod, |policy| policy.egress.as_deref(), flow.to.address(), flow)
}

fn ingress(cluster: &Cluster, flow: &Flow, to: Option<(&ObjectKey, &Pod)>) -> Verdict {
    let Some((key, pod)) = to else { return Verdict::Exempt(Exemption::NotAPod) };
    if originates_on_node_of(cluster, &flow.from, pod) {
        return Verdict::Exempt(Exemption::OwnNode);
    }
    judge(cluster, key, pod, |policy| policy.ingress.as_deref(), flow.from.address(), flow)
}

/// S60, S61: the pod's own node, by origin and not by address. A pod on the node's network is the node (S63).
fn originates_on_node_of(cluster: &Cluster, from: &Endpoint, pod: &Pod) -> bool {
    let node = match from {
        Endpoint::Node { node, .. } => Some(node),
        Endpoint::Pod { pod, .. } => {
            cluster.pods.get(pod).filter(|it| it.host_network).and_then(|it| it.node.as_ref())
        }
        Endpoint::Outside(_) => None,
    };
    node.is_some() && node == pod.node.as_ref()
}

/// S3 to S8: the union of what the rules of the policies that isolate the pod allow. A policy in audit mode is not
/// one of them.
fn judge(
    cluster: &Cluster,
    key: &ObjectKey,
    pod: &Pod,
    rules_of: impl Fn(&NetworkPolicy) -> Option<&[Rule]>,
    other_end: IpAddr,
    flow: &Flow,
) -> Verdict {
    let isolating: Vec<(&ObjectKey, &[Rule])> = cluster
        .policies
        .iter()
        .filter(|(policy, it)| policy.namespace == key.namespace && it.pod_selector.matches(&pod.labels))
        .filter(|(policy, it)| cluster.mode(policy, it) == Mode::Enforce)
        .filter_map(|(policy, it)| Some((policy, rules_of(it)?)))
        .collect();
    if isolating.is_empty() {
        return Verdict::NotIsolated;
    }
    let names = isolating.iter().map(|(policy, _)| (*policy).clone()).collect();
    let (other, to) = (Other::at(cluster, other_end), owner_of(cluster, flow.to.address()));
    let grant = isolating.iter().find_map(|(policy, rules)| {
        rules.iter().enumerate().find_map(|(index, rule)| {
            let peer = allowing_peer(&other, &policy.namespace, &rule.peers)?;
            let port = allowing_port(&rule.ports, flow.transport, to)?;
            Some(Grant { policy: (*policy).clone(), rule: index, peer, port })
        })
    });
    match grant {
        Some(grant) => Verdict::Allowed { isolating: names, grant },
        None => Verdict::Denied { isolating: names },
    }
}

/// The other end, as peers see it.
struct Other<'a> {
    address: IpAddr,
    /// The pod behind the address, with the labels of its namespace.
    owner: Option<(&'a ObjectKey, &'a Pod, Labels)>,
}

impl<'a> Other<'a> {
    fn at(cluster: &'a Cluster, address: IpAddr) -> Self {
        let owner = owner_of(cluster, address);
        Self { address, owner: owner.map(|(key, pod)| (key, pod, cluster.namespace_labels(&key.namespace))) }
    }
}

/// The peer that matches the other end: outer `None` when none does, inner `None` when the rule is for any.
fn allowing_peer(other: &Other, namespace: &Arc<str>, peers: &Peers) -> Option<Option<usize>> {
    let Peers::Only(peers) = peers else { return Some(None) };
    peers.iter().position(|peer| peer_matches(other, namespace, peer)).map(Some)
}

fn peer_matches(other: &Other, namespace: &Arc<str>, peer: &Peer) -> bool {
    match peer {
        Peer::Unreadable => false,
        Peer::Block(block) => block_holds(block, other.address),
        Peer::Pods { namespaces, pods } => {
            // S36: by identity, realised through the address; an address that is no live pod's matches nothing.
            let Some((key, pod, namespace_labels)) = &other.owner else { return false };
            let in_scope = match namespaces {
                Namespaces::Own => key.namespace == *namespace,
                Namespaces::Selected(selector) => selector.matches(namespace_labels),
            };
            in_scope && pods.matches(&pod.labels)
        }
    }
}

/// S130, S134, S141: within the block and not within what it leaves out; another family never matches.
fn block_holds(block: &IpBlock, address: IpAddr) -> bool {
    let holds = |net: &IpNet| net.contains(&address);
    holds(&block.cidr) && !block.except.iter().any(holds)
}

/// S84: the pod that this address belongs to now.
fn owner_of(cluster: &Cluster, address: IpAddr) -> Option<(&ObjectKey, &Pod)> {
    let candidates =
        cluster.pods.iter().filter(|(_, pod)| pod.takes_part() && pod.addresses.contains(&address));
    candidates.max_by(|(a, left), (b, right)| (&left.started, a).cmp(&(&right.started, b)))
}

/// The port entry that matches: outer `None` when none does, inner `None` when the rule is for any.
fn allowing_port(
    ports: &Ports,
    transport: Transport,
    to: Option<(&ObjectKey, &Pod)>,
) -> Option<Option<usize>> {
    let Ports::Only(ports) = ports else { return Some(None) };
    let Transport::Port(spoken, number) = transport else { return None };
    ports.iter().position(|port| port_matches(port, spoken, number, to)).map(Some)
}

/// S91 to S105: always the port of the destination, and a name is what the destination pod means by it.
fn port_matches(port: &PortMatch, spoken: Protocol, number: u16, to: Option<(&ObjectKey, &Pod)>) -> bool {
    match port {
        PortMatch::Unreadable => false,
        PortMatch::Range { protocol, first, last } => {
            *protocol == spoken && (*first..=*last).contains(&number)
        }
        PortMatch::Named { protocol, name } => {
            let Some((_, pod)) = to else { return false };
            let declares =
                |it: &crate::model::ContainerPort| it.name.as_ref() == Some(name) && it.protocol == spoken;
            *protocol == spoken && pod.ports.iter().any(|it| declares(it) && it.port == number)
        }
    }
}
