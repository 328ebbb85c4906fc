//! From one state of a cluster to another, one thing at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use podwall_compiler::{Attachment, Closed, Engine, FlowLog, NodeOptions, NodeState, compile};
use podwall_conformance::Random;
use podwall_policy::{Cluster, Labels, Mode, NetworkPolicy, ObjectKey, Pod};
use podwall_ruleset::{InterfaceName, Ruleset};

const NODE: &str = "node-1";

/// Something is there in this version, or is gone.
#[derive(Debug, Clone)]
enum Event {
    Pod(ObjectKey, Option<Pod>),
    Namespace(Arc<str>, Option<Labels>, Mode),
    Policy(ObjectKey, Option<NetworkPolicy>),
}

/// What makes `after` of `before`; each thing once.
fn events(before: &Cluster, after: &Cluster) -> Vec<Event> {
    let pods = before.pods.keys().chain(after.pods.keys());
    let audited = before.audited_namespaces.iter().chain(&after.audited_namespaces);
    let namespaces = before.namespaces.keys().chain(after.namespaces.keys()).chain(audited);
    let policies = before.policies.keys().chain(after.policies.keys());
    let mut events: BTreeMap<String, Event> = BTreeMap::new();
    for key in pods {
        events.insert(format!("pod {key}"), Event::Pod(key.clone(), after.pods.get(key).cloned()));
    }
    for name in namespaces {
        let mode = Mode::audit_if(after.audited_namespaces.contains(name));
        let event = Event::Namespace(name.clone(), after.namespaces.get(name).cloned(), mode);
        events.insert(format!("namespace {name}"), event);
    }
    for key in policies {
        events.insert(format!("policy {key}"), Event::Policy(key.clone(), after.policies.get(key).cloned()));
    }
    events.into_values().collect()
}

/// With what policies in audit mode need.
fn options() -> NodeOptions {
    NodeOptions { flow_log: Some(FlowLog { group: 9427, allowed: true }), ..NodeOptions::default() }
}

/// An engine of the node that has heard of nothing.
pub fn engine() -> Engine {
    Engine::new(NODE.into(), options())
}

/// An engine knows of no nodes.
pub fn without_nodes(cluster: Cluster) -> Cluster {
    Cluster { nodes: BTreeMap::new(), ..cluster }
}

/// Goes from one state to the next in an order that chance decides, and commits where chance says so, and at the end.
pub fn go(
    engine: &mut Engine,
    before: &Cluster,
    after: &Cluster,
    random: &mut Random,
    commit: &mut impl FnMut(&mut Engine) -> Result<(), String>,
) -> Result<(), String> {
    let mut events = events(before, after);
    let patience = 1 + random.below(8);
    while !events.is_empty() {
        let event = events.swap_remove(random.below(events.len()));
        tell(engine, event);
        if random.below(patience) == 0 {
            commit(engine)?;
        }
    }
    commit(engine)
}

fn tell(engine: &mut Engine, event: Event) {
    match event {
        Event::Pod(key, Some(pod)) => {
            engine.set_attachment(key.clone(), attachment(&key));
            engine.set_pod(key, pod);
        }
        Event::Pod(key, None) => {
            engine.remove_pod(&key);
            engine.set_attachment(key, None);
        }
        Event::Namespace(name, labels, mode) => {
            match labels {
                Some(labels) => engine.set_namespace(name.clone(), labels),
                None => engine.remove_namespace(&name),
            }
            engine.set_namespace_mode(&name, mode);
        }
        Event::Policy(key, Some(policy)) => engine.set_policy(key, policy),
        Event::Policy(key, None) => engine.remove_policy(&key),
    }
}

fn attachment(key: &ObjectKey) -> Option<Attachment> {
    let interface = InterfaceName::new(&format!("veth-{}", key.name)).unwrap();
    match key.name.as_bytes().last() {
        Some(b'0') => None,
        Some(b'1' | b'4') => Some(Attachment::Bridged { port: interface, hardware_address: None }),
        _ => Some(Attachment::Routed(interface)),
    }
}

/// What the state is without history.
pub fn from_scratch(cluster: &Cluster) -> Ruleset {
    let attachments: BTreeMap<ObjectKey, Attachment> =
        cluster.pods.keys().filter_map(|key| Some((key.clone(), attachment(key)?))).collect();
    let options = options();
    let closed = Closed::default();
    compile(NodeState { cluster, node: NODE, attachments: &attachments, closed: &closed, options: &options })
        .ruleset
}
