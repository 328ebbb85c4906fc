//! The way a connection's first packet takes through the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use podwall_compiler::{Attachment, Closed, FlowLog, NodeOptions, NodeState, compile};
use podwall_policy::{Cluster, Endpoint, Flow, ObjectKey, Protocol, Transport};
use podwall_ruleset::{CtState, Hook, InterfaceName, Packet, Ruleset, Statement, Verdict, judge};

/// What revokes a connection.
pub const REVOKED: u32 = 0x1000_0000;

/// What every node's kernel holds, and which pods have an interface.
pub struct Nodes {
    rulesets: BTreeMap<Arc<str>, Ruleset>,
    interfaces: BTreeMap<ObjectKey, InterfaceName>,
}

impl Nodes {
    /// Compiles every node. Pods in `without_interface` are known by address only.
    pub fn compile(
        cluster: &Cluster,
        without_interface: &BTreeSet<ObjectKey>,
        flow_log: Option<FlowLog>,
    ) -> Self {
        let with_interface = cluster.pods.keys().filter(|key| !without_interface.contains(*key));
        let name = |key: &ObjectKey| InterfaceName::new(&format!("veth-{}", key.name)).unwrap();
        let interfaces: BTreeMap<ObjectKey, InterfaceName> =
            with_interface.map(|key| (key.clone(), name(key))).collect();
        let rulesets = cluster
            .nodes
            .keys()
            .map(|node| {
                let attach = |key: &ObjectKey| (key.clone(), Attachment::Routed(interfaces[key].clone()));
                let attachments = interfaces.keys().map(attach).collect();
                let options = NodeOptions {
                    revoked_mark: Some(REVOKED),
                    counters: true,
                    flow_log,
                    ..NodeOptions::default()
                };
                let compiled = compile(NodeState {
                    cluster,
                    node,
                    attachments: &attachments,
                    closed: &Closed::default(),
                    options: &options,
                });
                assert!(compiled.problems.is_empty());
                (node.clone(), compiled.ruleset)
            })
            .collect();
        Self { rulesets, interfaces }
    }

    /// The same nodes, but that what is logged with this word in its prefix meets this verdict instead.
    pub fn with_logs_as(&self, word: &str, verdict: &Verdict) -> Self {
        let mut rulesets = self.rulesets.clone();
        let tables = rulesets.values_mut().flat_map(|ruleset| ruleset.tables.values_mut());
        for rule in tables.flat_map(|table| table.chains.values_mut()).flat_map(|chain| &mut chain.rules) {
            if matches!(&rule.statement, Statement::Log(log) if log.prefix.as_str().contains(word)) {
                rule.statement = Statement::Verdict(verdict.clone());
            }
        }
        Self { rulesets, interfaces: self.interfaces.clone() }
    }

    /// The rulesets by node.
    pub fn rulesets(&self) -> impl Iterator<Item = &Ruleset> {
        self.rulesets.values()
    }

    /// True when no node on the way drops the connection's first packet.
    pub fn pass(&self, cluster: &Cluster, flow: &Flow) -> bool {
        self.pass_with(cluster, flow, None, 0)
    }

    /// The same for a packet of a connection in this state and with this mark.
    pub fn pass_with(&self, cluster: &Cluster, flow: &Flow, state: Option<CtState>, mark: u32) -> bool {
        let (from, to) = (self.place(cluster, &flow.from), self.place(cluster, &flow.to));
        let uplink = || Some(InterfaceName::new("eth0").unwrap());
        let mut way = Vec::new();
        let local_from = from.interface.clone().filter(|_| from.is_pod);
        let local_to = to.interface.clone().filter(|_| to.is_pod);
        if from.is_pod {
            // Same node: one packet, seen once, with both interfaces.
            let (hook, output) = match to.node == from.node {
                true if to.is_pod => (Hook::Forward, local_to.clone()),
                true => (Hook::Input, None),
                false => (Hook::Forward, uplink()),
            };
            way.push((from.node.clone(), hook, local_from, output));
        }
        if to.is_pod && to.node != from.node {
            way.push((to.node.clone(), Hook::Forward, uplink(), local_to));
        } else if to.is_pod && !from.is_pod {
            way.push((to.node.clone(), Hook::Output, None, local_to));
        } else if !to.is_pod && to.node != from.node && to.node.is_some() {
            way.push((to.node.clone(), Hook::Input, uplink(), None));
        }
        way.into_iter().all(|(node, hook, input_interface, output_interface)| {
            let ruleset = &self.rulesets[&node.expect("a pod or node has a node")];
            let at = |hook, output: &Option<InterfaceName>| {
                let packet = packet(flow, hook, input_interface.clone(), output.clone());
                judge(ruleset, &Packet { state, mark, ..packet })
            };
            // What arrives is seen before it is routed, too.
            (input_interface.is_none() || at(Hook::Prerouting, &None)) && at(hook, &output_interface)
        })
    }

    /// True when the pod's node lets a packet in from the pod's interface that says it comes from `source`.
    pub fn may_send_from(&self, cluster: &Cluster, pod: &ObjectKey, source: IpAddr) -> bool {
        let node = cluster.pods[pod].node.as_ref().expect("a pod has a node");
        let end = |address| Endpoint::Outside(address);
        let flow = Flow { from: end(source), to: end(source), transport: Transport::Port(Protocol::Udp, 9) };
        let interface = Some(self.interfaces[pod].clone());
        judge(&self.rulesets[node], &packet(&flow, Hook::Prerouting, interface, None))
    }

    fn place(&self, cluster: &Cluster, end: &Endpoint) -> Place {
        match end {
            Endpoint::Pod { pod, .. } => {
                let interface = self.interfaces.get(pod).cloned().or_else(|| InterfaceName::new("br0").ok());
                Place { node: cluster.pods[pod].node.clone(), interface, is_pod: true }
            }
            Endpoint::Node { node, .. } => Place { node: Some(node.clone()), interface: None, is_pod: false },
            Endpoint::Outside(_) => Place { node: None, interface: None, is_pod: false },
        }
    }
}

struct Place {
    node: Option<Arc<str>>,
    interface: Option<InterfaceName>,
    is_pod: bool,
}

fn same_pod(from: &Endpoint, to: &Endpoint) -> bool {
    matches!((from, to), (Endpoint::Pod { pod: from, .. }, Endpoint::Pod { pod: to, .. }) if from == to)
}

fn packet(
    flow: &Flow,
    hook: Hook,
    input_interface: Option<InterfaceName>,
    output_interface: Option<InterfaceName>,
) -> Packet {
    let (source, destination) = (flow.from.address(), flow.to.address());
    let number = |protocol: Protocol| match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    };
    let echo = if source.is_ipv4() { 1 } else { 58 };
    let (protocol, port) = match flow.transport {
        Transport::Port(protocol, port) => (number(protocol), Some(port)),
        Transport::Other => (echo, None),
    };
    Packet {
        hook,
        input_interface,
        output_interface,
        source,
        destination,
        protocol,
        source_port: port.map(|_| 40_000),
        destination_port: port,
        icmpv6_type: (protocol == 58).then_some(128),
        state: None,
        mark: 0,
        // A pod meets itself outside of itself only by a Service.
        translated: source == destination || same_pod(&flow.from, &flow.to),
    }
}
