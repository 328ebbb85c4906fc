//! Near misses: why a rule does not allow a connection, and what would have to be otherwise.

use podwall_policy::read::printable;
use podwall_policy::{
    Cluster, Endpoint, Flow, IpBlock, Namespaces, NetworkPolicy, ObjectKey, Peer, Peers, Pod, PortMatch,
    Ports, Protocol, Rule, Transport,
};
use serde::Serialize;

use crate::alone::Alone;
use crate::field::{Direction, FieldPath};
use crate::page::listed;
use crate::port::{declared, transport_name};
use crate::{describe, near};

/// Why one rule, or a policy without rules, does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// The policy.
    pub policy: String,
    #[serde(skip)]
    pub(crate) key: ObjectKey,
    /// The peer or rule that comes nearest.
    pub field: FieldPath,
    /// What it allows, and what is there instead.
    pub message: String,
    /// How far it is from allowing; 1 is a misspelt label value.
    pub distance: usize,
}

/// Further than any label: another kind of peer is needed.
const OTHER_KIND: usize = 20;
/// No rule to mend.
const NO_RULE: usize = 100;

/// A connection that one side denies.
pub struct Denied<'a> {
    pub cluster: &'a Cluster,
    pub flow: &'a Flow,
    pub direction: Direction,
}

impl Denied<'_> {
    /// The misses of all rules of the policies that isolate, nearest first.
    pub fn misses(&self, isolating: &[ObjectKey]) -> Vec<Miss> {
        let mut alone = Alone::new(self.cluster, self.flow, self.direction);
        let mut misses = Vec::new();
        for key in isolating {
            let Some(policy) = self.cluster.policies.get(key) else { continue };
            misses.extend(self.policy_misses(&mut alone, key, policy));
        }
        misses.sort_by_key(|miss| miss.distance);
        misses
    }

    fn policy_misses(&self, alone: &mut Alone, key: &ObjectKey, policy: &NetworkPolicy) -> Vec<Miss> {
        let rules = self.direction.rules(policy).unwrap_or_default();
        if rules.is_empty() {
            let message = format!("has no {} rule: it allows nothing", self.direction.name());
            let field = FieldPath::of(&["spec", self.direction.name()]);
            return vec![self.miss(key, field, message, NO_RULE)];
        }
        rules.iter().enumerate().map(|(index, rule)| self.rule_miss(alone, key, index, rule)).collect()
    }

    fn miss(&self, key: &ObjectKey, field: FieldPath, message: String, distance: usize) -> Miss {
        Miss { policy: key.to_string(), key: key.clone(), field, message, distance }
    }

    fn rule_miss(&self, alone: &mut Alone, key: &ObjectKey, index: usize, rule: &Rule) -> Miss {
        let ports = (!alone.ports(key, &rule.ports)).then(|| self.ports_miss(&rule.ports));
        let peer = match &rule.peers {
            Peers::Only(peers) if !alone.peers(key, &rule.peers) => self.nearest_peer(key, peers),
            _ => None,
        };
        let field = match &peer {
            Some((peer, ..)) => FieldPath::peer(self.direction, index, *peer),
            None => FieldPath::rule(self.direction, index).key("ports"),
        };
        let distance = peer.as_ref().map_or(0, |(_, _, distance)| *distance)
            + ports.as_ref().map_or(0, |(_, distance)| *distance);
        let parts: Vec<String> = [peer.map(|(_, message, _)| message), ports.map(|(message, _)| message)]
            .into_iter()
            .flatten()
            .collect();
        self.miss(key, field, parts.join("; and "), distance)
    }

    fn nearest_peer(&self, key: &ObjectKey, peers: &[Peer]) -> Option<(usize, String, usize)> {
        let misses = peers.iter().enumerate().map(|(index, peer)| {
            let (message, distance) = self.peer_miss(key, peer);
            (index, message, distance)
        });
        misses.min_by_key(|(_, _, distance)| *distance)
    }

    /// The other end: who it is, and the pod if it is one that takes part.
    fn other(&self) -> (&Endpoint, Option<(&ObjectKey, &Pod)>) {
        let end = match self.direction {
            Direction::Egress => &self.flow.to,
            Direction::Ingress => &self.flow.from,
        };
        let pod = match end {
            Endpoint::Pod { pod, .. } => {
                self.cluster.pods.get_key_value(pod).filter(|(_, it)| it.takes_part())
            }
            _ => None,
        };
        (end, pod)
    }

    fn peer_miss(&self, key: &ObjectKey, peer: &Peer) -> (String, usize) {
        let (end, pod) = self.other();
        let who = describe::endpoint(end);
        let allows = describe::peer(peer);
        match (peer, pod) {
            (Peer::Unreadable, _) => {
                ("is an entry that cannot be read, so it matches nothing".to_owned(), OTHER_KIND)
            }
            (Peer::Block(block), _) => (block_miss(block, end), if pod.is_some() { OTHER_KIND } else { 5 }),
            (Peer::Pods { .. }, None) => {
                let is = match end {
                    Endpoint::Pod { .. } => "is on its node's network: to policy it is its node, no pod",
                    Endpoint::Node { .. } => {
                        "is a node, no pod: only an ipBlock or a rule for anyone can match it"
                    }
                    Endpoint::Outside(_) => "is no pod's address: only an ipBlock can match it",
                };
                (format!("allows {allows}; {who} {is}"), OTHER_KIND)
            }
            (Peer::Pods { namespaces, pods }, Some((pod_key, pod))) => {
                let mut parts = Vec::new();
                let mut distance = near::distance(pods, &pod.labels);
                if distance > 0 {
                    parts.push(near::difference(pods, &who, &pod.labels));
                }
                match namespaces {
                    Namespaces::Own if pod_key.namespace != key.namespace => {
                        distance += 4;
                        parts.push(format!(
                            "{who} is in namespace {}, and without a namespaceSelector only pods of {} are meant",
                            pod_key.namespace, key.namespace
                        ));
                    }
                    Namespaces::Own => {}
                    Namespaces::Selected(selector) => {
                        let labels = self.cluster.namespace_labels(&pod_key.namespace);
                        distance += near::distance(selector, &labels);
                        if near::unmet(selector, &labels).next().is_some() {
                            parts.push(near::namespace_difference(selector, &pod_key.namespace, &labels));
                        }
                    }
                }
                (format!("allows {allows}; {}", parts.join(", and ")), distance)
            }
        }
    }

    fn ports_miss(&self, ports: &Ports) -> (String, usize) {
        let Ports::Only(ports) = ports else { return (String::new(), 0) };
        let asked = transport_name(self.flow.transport);
        let mut wanted = Vec::new();
        for port in ports {
            wanted.push(match port {
                PortMatch::Named { protocol, name } => self.named_port(*protocol, name),
                other => describe::port(other),
            });
        }
        let only_protocol = ports.iter().any(|port| self.differs_in_protocol(port));
        let hint = if only_protocol { " (the number is right, the protocol is not)" } else { "" };
        (format!("allows only {}, not {asked}{hint}", listed(&wanted, 6)), if only_protocol { 1 } else { 3 })
    }

    /// What a name means at the destination.
    fn named_port(&self, protocol: Protocol, name: &str) -> String {
        let text = format!("{protocol}/{}", printable(name));
        let Endpoint::Pod { pod: key, .. } = &self.flow.to else {
            return format!("{text} (a name means nothing where there is no pod)");
        };
        let Some(pod) = self.cluster.pods.get(key) else { return text };
        let numbers: Vec<String> = pod
            .ports
            .iter()
            .filter(|port| port.protocol == protocol && port.name.as_deref() == Some(name))
            .map(|port| port.port.to_string())
            .collect();
        match numbers.is_empty() {
            true => format!("{text} (which {key} does not declare; it declares {})", declared(pod)),
            false => format!("{text} ({} at {key})", numbers.join(", ")),
        }
    }

    fn differs_in_protocol(&self, port: &PortMatch) -> bool {
        let Transport::Port(spoken, number) = self.flow.transport else { return false };
        matches!(port, PortMatch::Range { protocol, first, last }
            if *protocol != spoken && (*first..=*last).contains(&number))
    }
}

fn block_miss(block: &IpBlock, end: &Endpoint) -> String {
    let (who, address) = (describe::endpoint(end), end.address());
    let at = match end {
        Endpoint::Outside(_) => String::new(),
        _ => format!(" ({address})"),
    };
    if block.cidr.contains(&address) {
        let except = block.except.iter().find(|except| except.contains(&address));
        let except = except.map(ToString::to_string).unwrap_or_default();
        return format!("allows {}; {who}{at} is in what is left out, {except}", describe::block(block));
    }
    let family = match (block.cidr.addr().is_ipv4(), address.is_ipv4()) {
        (true, false) => ", which is IPv4 only",
        (false, true) => ", which is IPv6 only",
        _ => "",
    };
    format!("allows {}{family}; {who}{at} is not in it", describe::block(block))
}
