//! Small makers for tests.

use std::collections::BTreeMap;

use podwall_policy::{
    Cluster, ContainerPort, Decision, Node, ObjectKey, Pod, Protocol, Service, ServicePort, TargetPort,
    Transport, Verdict,
};

use crate::attempt::Outcome;
use crate::plan::{Probe, Via};
use crate::report::ProbeResult;
use crate::scene::Party;

/// A pod of the namespace `default` on `node-1` without ports; its address comes from its name's length.
pub fn pod(name: &str) -> (ObjectKey, Pod) {
    pod_on(name, "node-1", &format!("10.0.0.{}", name.len()))
}

/// A pod of the namespace `default`, labelled `app=NAME`.
pub fn pod_on(name: &str, node: &str, address: &str) -> (ObjectKey, Pod) {
    let pod = Pod {
        labels: BTreeMap::from([("app".into(), name.into())]),
        node: Some(node.into()),
        addresses: vec![address.parse().unwrap()],
        host_network: false,
        finished: false,
        terminating: false,
        started: "".into(),
        anti_spoofing: None,
        ports: Vec::new(),
        location: None,
    };
    (ObjectKey::new("default", name), pod)
}

/// The same pod with a port that its containers declare.
pub fn with_port((key, mut pod): (ObjectKey, Pod), name: Option<&str>, port: u16) -> (ObjectKey, Pod) {
    pod.ports.push(ContainerPort { name: name.map(Into::into), port, protocol: Protocol::Tcp });
    (key, pod)
}

/// A cluster of two nodes with these pods.
pub fn cluster(pods: Vec<(ObjectKey, Pod)>) -> Cluster {
    let node = |address: &str| Node { addresses: vec![address.parse().unwrap()] };
    Cluster {
        nodes: BTreeMap::from([("node-1".into(), node("172.18.0.1")), ("node-2".into(), node("172.18.0.2"))]),
        pods: pods.into_iter().collect(),
        ..Cluster::default()
    }
}

/// A Service of the pods labelled `app=APP`, TCP.
pub fn service(app: &str, address: &str, port: u16, target: TargetPort) -> (ObjectKey, Service) {
    let service = Service {
        selector: Some(BTreeMap::from([("app".into(), app.into())])),
        cluster_addresses: vec![address.parse().unwrap()],
        headless: false,
        ports: vec![ServicePort { protocol: Protocol::Tcp, port, target }],
        location: None,
    };
    (ObjectKey::new("default", app), service)
}

/// A direct TCP probe between two pods of the namespace `default`, and what became of it.
pub fn probe_result(from: &str, to: &str, port: u16, outcome: Outcome, evaluated: bool) -> ProbeResult {
    let ingress = match evaluated {
        true => Verdict::NotIsolated,
        false => Verdict::Denied { isolating: vec![ObjectKey::new("default", format!("deny-{to}"))] },
    };
    let probe = Probe {
        from: Party::Pod(ObjectKey::new("default", from)),
        to: Party::Pod(ObjectKey::new("default", to)),
        via: Via::Direct,
        source: "10.0.0.1".parse().unwrap(),
        address: "10.0.0.2".parse().unwrap(),
        transport: Transport::Port(Protocol::Tcp, port),
        decision: Decision { egress: Verdict::NotIsolated, ingress },
        closed: None,
    };
    ProbeResult { probe, outcome }
}
