//! A cluster of a named size, object by object, so that nobody needs to hold all of it.
//!
//! Pods and policies are spread evenly over namespaces. A policy lets the next application of its namespace reach one,
//! and one application of the namespaces of a team. The last pods are a StatefulSet's in
//! `namespace-0`: each has a label of its own.

use std::net::Ipv4Addr;
use std::sync::Arc;

use podwall_compiler::{Attachment, Engine, NodeOptions};
use podwall_policy::{
    LabelSelector, Labels, Namespaces, NetworkPolicy, ObjectKey, Operator, Peer, Peers, Pod, PortMatch,
    Ports, Protocol, Requirement, Rule,
};
use podwall_ruleset::InterfaceName;

use crate::event::Event;
use crate::figure::Size;

/// The node that is enforced.
pub const NODE: &str = "node-1";
/// Peers of the policy whose adding is measured.
pub const PEERS: u32 = 50;
/// However large the cluster is: then an event means as many elements in a large one as in a small one.
const NAMESPACES: u32 = 100;
const APPS: u32 = 5;
const TEAMS: u32 = 10;
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Cluster {
    /// How large it is.
    pub size: Size,
}

impl Cluster {
    /// A cluster of this size.
    pub fn new(size: Size) -> Self {
        assert!(size.pods >= 1_000 && size.local_pods < 600, "too few pods elsewhere");
        Self { size }
    }

    /// All objects, and where the local pods are attached, in the order in which an agent lists them.
    pub fn events(self) -> impl Iterator<Item = Event> {
        let namespaces = (0..NAMESPACES).map(move |index| self.namespace(index));
        let pods = (0..self.size.pods).flat_map(move |index| self.pod_events(index));
        let policies = (0..self.size.policies)
            .map(move |index| Event::SetPolicy(self.policy_key(index), self.policy(index)));
        namespaces.chain(pods).chain(policies)
    }

    /// An engine that has heard all of it.
    pub fn engine(self) -> Engine {
        let mut engine = Engine::new(NODE.into(), NodeOptions::default());
        self.events().for_each(|event| event.tell(&mut engine));
        engine
    }

    /// The name of a namespace.
    pub fn namespace_name(self, index: u32) -> Arc<str> {
        format!("namespace-{}", index % NAMESPACES).into()
    }

    /// A namespace, with the label of its team.
    pub fn namespace(self, index: u32) -> Event {
        self.namespace_of_team(index, &format!("team-{}", index % TEAMS))
    }

    /// A namespace of another team.
    pub fn namespace_of_team(self, index: u32, team: &str) -> Event {
        let name = self.namespace_name(index);
        let labels = [("kubernetes.io/metadata.name".into(), name.clone()), ("team".into(), team.into())];
        Event::SetNamespace(name, Labels::from(labels))
    }

    /// What a pod is called.
    pub fn pod_key(self, index: u32) -> ObjectKey {
        let namespace = if self.is_of_set(index) { 0 } else { index };
        ObjectKey::new(self.namespace_name(namespace), format!("pod-{index}"))
    }

    /// A pod, of this node if it is one of the first.
    pub fn pod(self, index: u32) -> Pod {
        let app = format!("app-{}", index / NAMESPACES % APPS);
        let mut labels: Vec<(Arc<str>, Arc<str>)> =
            vec![("app".into(), app.into()), ("pod-template-hash".into(), "6d4b75cb6d".into())];
        if self.is_of_set(index) {
            labels.push((POD_NAME_LABEL.into(), format!("pod-{index}").into()));
        }
        let node = if index < self.size.local_pods { NODE } else { "node-2" };
        Pod {
            labels: labels.into_iter().collect(),
            node: Some(node.into()),
            addresses: vec![Ipv4Addr::from(0x0a00_0000 + index).into()],
            host_network: false,
            finished: false,
            terminating: false,
            started: "".into(),
            ports: vec![],
            anti_spoofing: None,
            location: None,
        }
    }

    /// A pod of the cluster that is not of this node, in the namespace of the first pod, and reached by a policy.
    pub fn distant_peer(self) -> u32 {
        let first = self.size.local_pods.div_ceil(NAMESPACES);
        (first..).find(|row| row % APPS == 1).expect("one in five is") * NAMESPACES
    }

    fn is_of_set(self, index: u32) -> bool {
        index + PEERS >= self.size.pods
    }

    /// What is told of a pod: its object and, for one of this node, where it is attached.
    pub fn pod_events(self, index: u32) -> Vec<Event> {
        let (key, pod) = (self.pod_key(index), self.pod(index));
        let mut events = vec![Event::SetPod(key.clone(), pod)];
        if index < self.size.local_pods {
            let interface = InterfaceName::new(&format!("veth{index:08x}")).expect("short");
            events.push(Event::SetAttachment(key, Some(Attachment::Routed(interface))));
        }
        events
    }

    /// What a policy is called.
    pub fn policy_key(self, index: u32) -> ObjectKey {
        ObjectKey::new(self.namespace_name(index), format!("policy-{index}"))
    }

    /// A policy: the next application of the namespace, and one of a team's, may reach a port.
    pub fn policy(self, index: u32) -> NetworkPolicy {
        let row = index / NAMESPACES;
        let app = |number: u32| selector("app", &format!("app-{}", number % APPS));
        let team = selector("team", &format!("team-{}", (index + 1) % TEAMS));
        let peers = vec![
            Peer::Pods { namespaces: Namespaces::Own, pods: app(row + 1) },
            Peer::Pods { namespaces: Namespaces::Selected(team), pods: app(row + 2) },
        ];
        policy(app(row), peers, 1_000 + (row % 1_000) as u16)
    }

    /// A policy of many peers for the first local pod's application. With `edited`, one of them is another.
    pub fn policy_of_many_peers(self, edited: bool) -> NetworkPolicy {
        let peer = |index: u32| Peer::Pods {
            namespaces: Namespaces::Own,
            pods: selector(POD_NAME_LABEL, &format!("pod-{}", self.size.pods - 1 - index)),
        };
        let first = u32::from(edited);
        let mut peers: Vec<Peer> = (first..PEERS).map(peer).collect();
        peers.extend(
            edited.then(|| Peer::Pods { namespaces: Namespaces::Own, pods: selector("app", "app-2") }),
        );
        policy(selector("app", "app-0"), peers, 8080)
    }
}

/// Labels of which one must be this.
pub fn selector(name: &str, value: &str) -> LabelSelector {
    let operator = Operator::In([value.into()].into());
    LabelSelector::new([Requirement { key: name.into(), operator }])
}

fn policy(pod_selector: LabelSelector, peers: Vec<Peer>, port: u16) -> NetworkPolicy {
    let ports = Ports::Only(vec![PortMatch::Range { protocol: Protocol::Tcp, first: port, last: port }]);
    let rule = Rule { peers: Peers::Only(peers), ports };
    NetworkPolicy { pod_selector, ingress: Some(vec![rule]), egress: None, mode: None, location: None }
}
