//! What can happen to a cluster and its node, one thing at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use podwall_compiler::{
    Attachment, Closed, Compiled, Engine, FlowLog, NodeOptions, NodeState, UnknownPods, compile,
};
use podwall_policy::{Cluster, Labels, Mode, NetworkPolicy, ObjectKey, Pod};
use podwall_ruleset::{HardwareAddress, InterfaceName};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::cluster::{NAMESPACES, addresses, labels, pod, policy, text};

const NODE: &str = "node-1";
const PODS_PER_NAMESPACE: usize = 5;
const POLICIES_PER_NAMESPACE: usize = 3;

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// A pod is there, new or with everything changed.
    SetPod(usize, Arc<str>, Box<Pod>),
    /// One thing about a pod that is there changes.
    ChangePod(Index, PodChange),
    /// A pod that is there is gone.
    RemovePod(Index),
    /// A namespace is there.
    SetNamespace(Arc<str>, Labels),
    /// Whether a namespace's policies are enforced.
    SetNamespaceMode(Arc<str>, Mode),
    /// A namespace is gone.
    RemoveNamespace(Arc<str>),
    /// A policy is there.
    SetPolicy(usize, Arc<str>, Box<NetworkPolicy>),
    /// A policy that is there is gone.
    RemovePolicy(Index),
    /// How a pod is attached, whether it is there or not.
    SetAttachment(usize, Arc<str>, Option<Attachment>),
    /// What is closed.
    SetClosed(Closed),
    /// What the operator chose.
    SetOptions(NodeOptions),
    /// The changes are taken.
    Take,
    /// The state is asked for, and the changes are not taken.
    Look,
}

/// One thing about a pod.
#[derive(Debug, Clone)]
pub enum PodChange {
    /// Other labels.
    Labels(Labels),
    /// Another node, or none.
    Node(Option<Arc<str>>),
    /// Other addresses.
    Addresses(Vec<IpAddr>),
    /// It finished, or did not.
    Finished(bool),
    /// It is on the host's network, or not.
    HostNetwork(bool),
    /// The annotation.
    AntiSpoofing(Option<bool>),
    /// It started at another time.
    Started(Arc<str>),
    /// Something that does not matter to policy.
    Terminating(bool),
    /// The ports of another pod, in effect.
    Ports(Box<Pod>),
}

/// Any event. That the changes are taken is one in six.
pub fn event() -> impl Strategy<Value = Event> {
    let pod_number = 0..PODS_PER_NAMESPACE;
    prop_oneof![
        6 => (pod_number.clone(), pod(), pod_addresses())
            .prop_map(|(number, (namespace, mut pod), addresses)| {
                pod.addresses = addresses;
                Event::SetPod(number, namespace, Box::new(pod))
            }),
        6 => (any::<Index>(), pod_change()).prop_map(|(index, change)| Event::ChangePod(index, change)),
        2 => any::<Index>().prop_map(Event::RemovePod),
        2 => (text(&NAMESPACES), labels()).prop_map(|(name, labels)| Event::SetNamespace(name, labels)),
        1 => text(&NAMESPACES).prop_map(Event::RemoveNamespace),
        2 => (text(&NAMESPACES), prop::sample::select(vec![Mode::Audit, Mode::Enforce]))
            .prop_map(|(name, mode)| Event::SetNamespaceMode(name, mode)),
        5 => (0..POLICIES_PER_NAMESPACE, text(&NAMESPACES), policy())
            .prop_map(|(number, namespace, policy)| Event::SetPolicy(number, namespace, Box::new(policy))),
        2 => any::<Index>().prop_map(Event::RemovePolicy),
        4 => (pod_number, text(&NAMESPACES), prop::option::weighted(0.8, attachment()))
            .prop_map(|(number, namespace, it)| Event::SetAttachment(number, namespace, it)),
        1 => closed().prop_map(Event::SetClosed),
        1 => options().prop_map(Event::SetOptions),
        6 => Just(Event::Take),
        2 => Just(Event::Look),
    ]
}

/// Mostly the one or two addresses of a number; sometimes what no pod should report.
fn pod_addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    let few = (0usize..8, 0u8..=3).prop_map(|(number, families)| addresses(number, families));
    let many = prop::collection::vec((0usize..8, 1u8..=3), 0..4).prop_map(|all| {
        all.into_iter().flat_map(|(number, families)| addresses(number, families)).rev().collect()
    });
    prop_oneof![9 => few, 1 => many]
}

fn pod_change() -> impl Strategy<Value = PodChange> {
    let times = ["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-02T00:00:00.000000001Z"];
    let time = prop::sample::select(times.to_vec()).prop_map(Arc::from);
    prop_oneof![
        4 => labels().prop_map(PodChange::Labels),
        2 => prop::option::weighted(0.9, text(&["node-1", "node-2"])).prop_map(PodChange::Node),
        2 => pod_addresses().prop_map(PodChange::Addresses),
        1 => any::<bool>().prop_map(PodChange::Finished),
        1 => any::<bool>().prop_map(PodChange::HostNetwork),
        1 => any::<Option<bool>>().prop_map(PodChange::AntiSpoofing),
        1 => time.prop_map(PodChange::Started),
        1 => any::<bool>().prop_map(PodChange::Terminating),
        2 => pod().prop_map(|(_, pod)| PodChange::Ports(Box::new(pod))),
    ]
}

/// Few interfaces, so that pods get in one another's way.
fn interface() -> impl Strategy<Value = InterfaceName> {
    (0u8..8).prop_map(|number| InterfaceName::new(&format!("veth{number}")).unwrap())
}

fn attachment() -> impl Strategy<Value = Attachment> {
    let hardware = prop::option::of((0u8..3).prop_map(|last| HardwareAddress([2, 0, 0, 0, 0, last])));
    prop_oneof![
        3 => interface().prop_map(Attachment::Routed),
        1 => (interface(), hardware)
            .prop_map(|(port, hardware_address)| Attachment::Bridged { port, hardware_address }),
    ]
}

fn closed() -> impl Strategy<Value = Closed> {
    let interfaces = prop::collection::btree_set(interface(), 0..3);
    let addresses = prop::collection::vec((0usize..9, 1u8..=3), 0..3)
        .prop_map(|all| all.into_iter().flat_map(|(number, families)| addresses(number, families)).collect());
    (interfaces, addresses).prop_map(|(interfaces, addresses)| Closed { interfaces, addresses })
}

fn options() -> impl Strategy<Value = NodeOptions> {
    let range = prop::sample::select(vec!["10.244.0.0/24", "10.244.0.0/30", "fd00:10:244::/64"]);
    let drop =
        (any::<bool>(), prop::collection::vec(range, 0..3)).prop_map(|(prefix, ranges)| UnknownPods::Drop {
            interface_prefixes: prefix.then(|| InterfaceName::new("veth").unwrap()).into_iter().collect(),
            bridge_ranges: ranges.into_iter().map(|range| range.parse().unwrap()).collect(),
        });
    let flow_log = prop::option::weighted(0.7, any::<bool>());
    let unknown_pods = prop_oneof![Just(UnknownPods::Accept), drop];
    (any::<bool>(), unknown_pods, flow_log).prop_map(|(anti_spoofing, unknown_pods, flow_log)| NodeOptions {
        anti_spoofing,
        unknown_pods,
        flow_log: flow_log.map(|allowed| FlowLog { group: 1, allowed }),
        ..NodeOptions::default()
    })
}

/// What has happened so far, kept the plain way.
#[derive(Debug, Default)]
pub struct History {
    /// The cluster.
    pub cluster: Cluster,
    /// How pods are attached.
    pub attachments: BTreeMap<ObjectKey, Attachment>,
    closed: Closed,
    options: NodeOptions,
}

impl History {
    /// An engine for the node, without history.
    pub fn engine() -> Engine {
        Engine::new(NODE.into(), NodeOptions::default())
    }

    /// What the reference makes of it.
    pub fn compiled(&self) -> Compiled {
        compile(NodeState {
            cluster: &self.cluster,
            node: NODE,
            attachments: &self.attachments,
            closed: &self.closed,
            options: &self.options,
        })
    }

    /// The pods of this node that take part in policy.
    pub fn local_pods(&self) -> Vec<&ObjectKey> {
        let is_local = |pod: &Pod| pod.takes_part() && pod.node.as_deref() == Some(NODE);
        self.cluster.pods.iter().filter(|(_, pod)| is_local(pod)).map(|(key, _)| key).collect()
    }

    /// Lets an event happen, here and to the engine. True when the changes are to be taken.
    pub fn happen(&mut self, event: &Event, engine: &mut Engine) -> bool {
        let pod_key = |number: usize, namespace: &Arc<str>| {
            ObjectKey::new(namespace.clone(), format!("pod-{}", number % PODS_PER_NAMESPACE))
        };
        match event {
            Event::SetPod(number, namespace, pod) => {
                self.set_pod(pod_key(*number, namespace), (**pod).clone(), engine);
            }
            Event::ChangePod(index, change) => {
                let keys: Vec<ObjectKey> = self.cluster.pods.keys().cloned().collect();
                if !keys.is_empty() {
                    let key = index.get(&keys).clone();
                    let pod = changed(self.cluster.pods[&key].clone(), change);
                    self.set_pod(key, pod, engine);
                }
            }
            Event::RemovePod(index) => {
                let keys: Vec<ObjectKey> = self.cluster.pods.keys().cloned().collect();
                if !keys.is_empty() {
                    self.cluster.pods.remove(index.get(&keys));
                    engine.remove_pod(index.get(&keys));
                }
            }
            Event::SetNamespace(name, labels) => {
                self.cluster.namespaces.insert(name.clone(), labels.clone());
                engine.set_namespace(name.clone(), labels.clone());
            }
            Event::SetNamespaceMode(name, mode) => {
                match mode {
                    Mode::Audit => self.cluster.audited_namespaces.insert(name.clone()),
                    Mode::Enforce => self.cluster.audited_namespaces.remove(name),
                };
                engine.set_namespace_mode(name, *mode);
            }
            Event::RemoveNamespace(name) => {
                self.cluster.audited_namespaces.remove(name);
                self.cluster.namespaces.remove(name);
                engine.remove_namespace(name);
            }
            Event::SetPolicy(number, namespace, policy) => {
                let key = ObjectKey::new(namespace.clone(), format!("policy-{number}"));
                self.cluster.policies.insert(key.clone(), (**policy).clone());
                engine.set_policy(key, (**policy).clone());
            }
            Event::RemovePolicy(index) => {
                let keys: Vec<ObjectKey> = self.cluster.policies.keys().cloned().collect();
                if !keys.is_empty() {
                    self.cluster.policies.remove(index.get(&keys));
                    engine.remove_policy(index.get(&keys));
                }
            }
            Event::SetAttachment(number, namespace, attachment) => {
                let key = pod_key(*number, namespace);
                match attachment {
                    Some(attachment) => self.attachments.insert(key.clone(), attachment.clone()),
                    None => self.attachments.remove(&key),
                };
                engine.set_attachment(key, attachment.clone());
            }
            Event::SetClosed(closed) => {
                self.closed = closed.clone();
                engine.set_closed(closed.clone());
            }
            Event::SetOptions(options) => {
                self.options = options.clone();
                engine.set_options(options.clone());
            }
            Event::Take => return true,
            Event::Look => {}
        }
        false
    }

    fn set_pod(&mut self, key: ObjectKey, pod: Pod, engine: &mut Engine) {
        self.cluster.pods.insert(key.clone(), pod.clone());
        engine.set_pod(key, pod);
    }
}

fn changed(pod: Pod, change: &PodChange) -> Pod {
    match change.clone() {
        PodChange::Labels(labels) => Pod { labels, ..pod },
        PodChange::Node(node) => Pod { node, ..pod },
        PodChange::Addresses(addresses) => Pod { addresses, ..pod },
        PodChange::Finished(finished) => Pod { finished, ..pod },
        PodChange::HostNetwork(host_network) => Pod { host_network, ..pod },
        PodChange::AntiSpoofing(anti_spoofing) => Pod { anti_spoofing, ..pod },
        PodChange::Started(started) => Pod { started, ..pod },
        PodChange::Terminating(terminating) => Pod { terminating, ..pod },
        PodChange::Ports(other) => Pod { ports: other.ports, ..pod },
    }
}
