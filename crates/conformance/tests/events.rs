//! The path does not matter, event by event: in whatever order things come, however many are taken at once, with
//! all of it gone in between or not, the engine ends where a compile from scratch does, and its changes turn what
//! the kernel held into that.

#[path = "../../compiler/tests/properties/cluster.rs"]
#[allow(dead_code)] // the connections: the agreement's business
mod cluster;
#[path = "../../compiler/tests/properties/kernel.rs"]
mod kernel;

use std::collections::BTreeMap;
use std::sync::Arc;

use podwall_compiler::{Attachment, Closed, Engine, NodeOptions, NodeState, compile};
use podwall_conformance::Random;
use podwall_policy::{Cluster, Labels, NetworkPolicy, ObjectKey, Pod};
use podwall_ruleset::{InterfaceName, Ruleset};
use proptest::prelude::*;

use cluster::cluster;
use kernel::apply;

const NODE: &str = "node-1";

/// Something is there in this version, or is gone.
#[derive(Debug, Clone)]
enum Event {
    Pod(ObjectKey, Option<Pod>),
    Namespace(Arc<str>, Option<Labels>),
    Policy(ObjectKey, Option<NetworkPolicy>),
}

/// What makes `after` of `before`; each thing once.
fn events(before: &Cluster, after: &Cluster) -> Vec<Event> {
    let pods = before.pods.keys().chain(after.pods.keys());
    let namespaces = before.namespaces.keys().chain(after.namespaces.keys());
    let policies = before.policies.keys().chain(after.policies.keys());
    let mut events: BTreeMap<String, Event> = BTreeMap::new();
    for key in pods {
        events.insert(format!("pod {key}"), Event::Pod(key.clone(), after.pods.get(key).cloned()));
    }
    for name in namespaces {
        let event = Event::Namespace(name.clone(), after.namespaces.get(name).cloned());
        events.insert(format!("namespace {name}"), event);
    }
    for key in policies {
        events.insert(format!("policy {key}"), Event::Policy(key.clone(), after.policies.get(key).cloned()));
    }
    events.into_values().collect()
}

/// An engine and the kernel that takes its changes.
struct Node {
    engine: Engine,
    kernel: Ruleset,
}

impl Node {
    fn new() -> Self {
        Self { engine: Engine::new(NODE.into(), NodeOptions::default()), kernel: Ruleset::default() }
    }

    fn take(&mut self, event: Event) {
        let engine = &mut self.engine;
        match event {
            Event::Pod(key, Some(pod)) => {
                engine.set_attachment(key.clone(), attachment(&key));
                engine.set_pod(key, pod);
            }
            Event::Pod(key, None) => {
                engine.remove_pod(&key);
                engine.set_attachment(key, None);
            }
            Event::Namespace(name, Some(labels)) => engine.set_namespace(name, labels),
            Event::Namespace(name, None) => engine.remove_namespace(&name),
            Event::Policy(key, Some(policy)) => engine.set_policy(key, policy),
            Event::Policy(key, None) => engine.remove_policy(&key),
        }
    }

    fn commit(&mut self) -> Result<(), TestCaseError> {
        let transaction = self.engine.take_changes();
        self.kernel = apply(&self.kernel, &transaction).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&self.kernel, &self.engine.ruleset());
        Ok(())
    }

    /// Goes from one state to the next in an order that chance decides, and commits where chance says so.
    fn go(&mut self, before: &Cluster, after: &Cluster, random: &mut Random) -> Result<(), TestCaseError> {
        let mut events = events(before, after);
        let patience = 1 + random.below(8);
        while !events.is_empty() {
            let event = events.swap_remove(random.below(events.len()));
            self.take(event);
            if random.below(patience) == 0 {
                self.commit()?;
            }
        }
        self.commit()
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

fn from_scratch(cluster: &Cluster) -> Ruleset {
    let attachments: BTreeMap<ObjectKey, Attachment> =
        cluster.pods.keys().filter_map(|key| Some((key.clone(), attachment(key)?))).collect();
    let options = NodeOptions::default();
    let closed = Closed::default();
    compile(NodeState { cluster, node: NODE, attachments: &attachments, closed: &closed, options: &options })
        .ruleset
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_events_ends_where_a_compile_from_scratch_does(
        before in cluster(), after in cluster(), seed in any::<u64>(), emptied in any::<bool>(),
    ) {
        // An engine knows of no nodes.
        let [before, after] = [before, after].map(|it| Cluster { nodes: BTreeMap::new(), ..it });
        let (mut node, mut random) = (Node::new(), Random(seed));
        node.go(&Cluster::default(), &before, &mut random)?;
        prop_assert_eq!(&node.kernel, &from_scratch(&before));
        if emptied {
            node.go(&before, &Cluster::default(), &mut random)?;
            prop_assert_eq!(&node.kernel, &from_scratch(&Cluster::default()));
            node.go(&Cluster::default(), &after, &mut random)?;
        } else {
            node.go(&before, &after, &mut random)?;
        }
        prop_assert_eq!(&node.kernel, &from_scratch(&after));
        prop_assert!(node.engine.take_changes().is_empty(), "the same state asks for nothing");
    }
}
