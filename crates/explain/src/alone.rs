//! Parts of policies, each put before `evaluate` alone: which rule allows, whether its peers would, whether its ports
//! would.

use std::collections::BTreeMap;

use podwall_policy::{
    Cluster, Endpoint, Flow, LabelSelector, NetworkPolicy, ObjectKey, Peer, Peers, PortMatch, Ports, Rule,
    evaluate,
};

use crate::field::Direction;

/// One side of a connection, in a cluster that holds nothing else.
#[derive(Debug)]
pub struct Alone {
    cluster: Cluster,
    flow: Flow,
    direction: Direction,
}

impl Alone {
    /// The connection as it is, without any policy.
    pub fn new(cluster: &Cluster, flow: &Flow, direction: Direction) -> Self {
        let addresses = [flow.from.address(), flow.to.address()];
        let is_end = |key: &ObjectKey| {
            [&flow.from, &flow.to]
                .into_iter()
                .any(|end| matches!(end, Endpoint::Pod { pod, .. } if pod == key))
        };
        let pods = cluster.pods.iter().filter(|(key, pod)| {
            is_end(key) || pod.addresses.iter().any(|address| addresses.contains(address))
        });
        let pods: BTreeMap<_, _> = pods.map(|(key, pod)| (key.clone(), pod.clone())).collect();
        let namespaces = pods.keys().map(|key| key.namespace.clone());
        let namespaces = namespaces.map(|name| (name.clone(), cluster.namespace_labels(&name))).collect();
        let cluster = Cluster { namespaces, pods, ..Cluster::default() };
        Self { cluster, flow: flow.clone(), direction }
    }

    /// True when the rule allows the connection.
    pub fn rule(&mut self, policy: &ObjectKey, rule: &Rule) -> bool {
        let rules = Some(vec![rule.clone()]);
        let (ingress, egress) = match self.direction {
            Direction::Ingress => (rules, None),
            Direction::Egress => (None, rules),
        };
        let only = NetworkPolicy {
            pod_selector: LabelSelector::default(),
            ingress,
            egress,
            mode: None,
            location: None,
        };
        self.cluster.policies = BTreeMap::from([(policy.clone(), only)]);
        evaluate(&self.cluster, &self.flow).allowed()
    }

    /// True when the peer is the other end.
    pub fn peer(&mut self, policy: &ObjectKey, peer: &Peer) -> bool {
        self.peers(policy, &Peers::Only(vec![peer.clone()]))
    }

    /// True when one of the peers is the other end.
    pub fn peers(&mut self, policy: &ObjectKey, peers: &Peers) -> bool {
        self.rule(policy, &Rule { peers: peers.clone(), ports: Ports::Any })
    }

    /// True when one of the ports is what is spoken.
    pub fn ports(&mut self, policy: &ObjectKey, ports: &Ports) -> bool {
        self.rule(policy, &Rule { peers: Peers::Any, ports: ports.clone() })
    }

    /// True when the port is what is spoken.
    pub fn port(&mut self, policy: &ObjectKey, port: &PortMatch) -> bool {
        self.ports(policy, &Ports::Only(vec![port.clone()]))
    }
}
