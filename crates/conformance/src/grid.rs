//! The cluster that all cases start from.

use serde_json::{Value, json};

use crate::case::Object;

/// The namespaces; each is labelled `ns` with its name.
pub const NAMESPACES: [&str; 3] = ["x", "y", "z"];
/// The pods of each namespace; each is labelled `pod` with its name.
pub const PODS: [&str; 3] = ["a", "b", "c"];
/// The ports that every pod serves.
pub const PORTS: [u16; 2] = [80, 81];
/// The protocols that it serves them over.
pub const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
/// The nodes. Every namespace has pods on both.
pub const NODES: [&str; 2] = ["node-1", "node-2"];

/// The name that pods of the grid give a port: `serve-80-tcp`.
pub fn port_name(port: u16, protocol: &str) -> String {
    format!("serve-{port}-{}", protocol.to_lowercase())
}

/// The node and the two addresses of a pod of the grid. They are pinned, so that policies can speak of them.
pub fn addresses(namespace: &str, pod: &str) -> (&'static str, [String; 2]) {
    let index = |names: [&str; 3], name: &str| names.iter().position(|it| *it == name).unwrap_or_default();
    let (row, column) = (index(NAMESPACES, namespace), index(PODS, pod));
    let (node, host) = ((row + column) % 2, (row + 1) * 10 + column);
    (NODES[node], [format!("10.244.{node}.{host}"), format!("fd00:10:244:{node}::{host}")])
}

/// The IPv4 address of a pod of the grid.
pub(crate) fn ipv4(namespace: &str, pod: &str) -> String {
    let [ipv4, _] = addresses(namespace, pod).1;
    ipv4
}

/// All objects of the grid.
pub(crate) fn objects() -> Vec<Object> {
    let namespaces = NAMESPACES.into_iter().map(|name| namespace(name, json!({"ns": name})));
    let pods = NAMESPACES
        .into_iter()
        .flat_map(|namespace| PODS.into_iter().map(move |name| pod(namespace, name, json!({"pod": name}))));
    namespaces.chain(pods).collect()
}

/// A namespace with these labels.
pub(crate) fn namespace(name: &str, labels: Value) -> Object {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A pod of the grid with these labels, where it always is.
pub(crate) fn pod(namespace: &str, name: &str, labels: Value) -> Object {
    let (node, addresses) = addresses(namespace, name);
    pod_at(namespace, name, labels, node, &addresses)
}

/// A pod with these labels, on this node, with these addresses.
pub(crate) fn pod_at(namespace: &str, name: &str, labels: Value, node: &str, addresses: &[String]) -> Object {
    let port = |port: u16, protocol: &str| json!({"name": port_name(port, protocol), "containerPort": port, "protocol": protocol});
    let ports: Vec<Value> =
        PORTS.into_iter().flat_map(|number| PROTOCOLS.map(|protocol| port(number, protocol))).collect();
    let ips: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "serve", "image": "serve", "ports": ports}]},
        "status": {"phase": "Running", "podIPs": ips},
    })
}

/// A policy.
pub(crate) fn policy(namespace: &str, name: &str, spec: Value) -> Object {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}
