//! The cluster that the clauses speak of, and who is who in it.

use std::net::IpAddr;

use podwall_policy::read::{Source, read};
use podwall_policy::{Cluster, Endpoint, Flow, ObjectKey, PlacementOptions, Protocol, Transport, place};

/// The cluster with these policies (namespace and spec), and with other objects, which replace those of their name.
pub fn cluster(policies: &[(&str, &str)], objects: &str) -> Cluster {
    let mut yaml =
        String::from("apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: {ns: x}}\n---\n");
    yaml.push_str("apiVersion: v1\nkind: Namespace\nmetadata: {name: y, labels: {ns: y, team: ops}}\n");
    for (index, namespace) in ["x", "y", "z"].into_iter().enumerate() {
        for (number, pod) in ["a", "b", "c"].into_iter().enumerate() {
            let (node, host) = if pod == "a" { (0, 10 + index) } else { (1, 10 + index * 10 + number) };
            let labels = if (namespace, pod) == ("x", "c") { String::new() } else { format!("pod: {pod}") };
            let ports = match (namespace, pod) {
                ("x", "a") => "{name: http, containerPort: 80}",
                ("x", "b") => {
                    "{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}"
                }
                _ => "",
            };
            yaml.push_str(&format!(
                "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {pod}, namespace: {namespace}, labels: {{{labels}}}}}\n\
                 spec: {{nodeName: node-{}, containers: [{{name: c, ports: [{ports}]}}]}}\n\
                 status: {{podIPs: [{{ip: 10.244.{node}.{host}}}, {{ip: 'fd00:{node}::{host}'}}]}}\n",
                node + 1
            ));
        }
    }
    for (index, (namespace, spec)) in policies.iter().enumerate() {
        let spec = spec.replace('\n', "\n  ");
        yaml.push_str(&format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
             metadata: {{name: policy-{index}, namespace: {namespace}}}\nspec:\n  {spec}\n"
        ));
    }
    yaml.push_str("---\n");
    yaml.push_str(objects);
    let manifests = read(&[Source { name: "clauses.yaml".into(), bytes: yaml.into_bytes() }], "default");
    place(&manifests, &PlacementOptions { node_count: 2, ipv4: true, ipv6: true }, None)
}

/// `x/a`, `x/a6` (its IPv6 address), `node-1`, `outside` and other addresses by name.
fn endpoint(cluster: &Cluster, text: &str) -> Endpoint {
    let outside = [
        ("outside", "203.0.113.98"),
        ("outside-2", "203.0.113.9"),
        ("outside-3", "203.0.113.50"),
        ("outside6", "2001:db8::98"),
        ("metadata", "169.254.169.254"),
        ("service", "10.96.0.1"),
        ("stray", "10.244.1.200"),
        ("shared", "10.244.1.77"),
        ("shared-2", "10.244.1.78"),
        ("only6", "fd00:1::80"),
        ("both4", "10.244.1.81"),
        ("both6", "fd00:1::81"),
    ];
    if let Some((_, address)) = outside.iter().find(|(name, _)| *name == text) {
        return Endpoint::Outside(address.parse().unwrap());
    }
    if let Some(node) = text.strip_prefix("like-") {
        return Endpoint::Outside(cluster.nodes[node].addresses[0]);
    }
    if let Some((node, it)) = cluster.nodes.get_key_value(text) {
        return Endpoint::Node { node: node.clone(), address: it.addresses[0] };
    }
    let (namespace, pod) = text.split_once('/').unwrap();
    let key = ObjectKey::new(namespace, pod.trim_end_matches('6'));
    let address: IpAddr = cluster.pods[&key].addresses[usize::from(pod.ends_with('6'))];
    Endpoint::Pod { pod: key, address }
}

/// `from` opens a connection to `to`, speaking `TCP/80` or `Other`.
pub fn flow(cluster: &Cluster, [from, to, spoken]: [&str; 3]) -> Flow {
    let transport = match spoken.split_once('/') {
        None => Transport::Other,
        Some((protocol, port)) => {
            let known = Protocol::ALL.into_iter().find(|it| it.to_string() == protocol);
            Transport::Port(known.unwrap(), port.parse().unwrap())
        }
    };
    let mut from = endpoint(cluster, from);
    let to = endpoint(cluster, to);
    // A connection has one family: the pod answers with its address of the other end's.
    if let Endpoint::Pod { pod, address } = &mut from {
        *address =
            *cluster.pods[pod].addresses.iter().find(|it| it.is_ipv4() == to.address().is_ipv4()).unwrap();
    }
    let to = match to {
        Endpoint::Pod { pod, .. } => {
            let family = from.address().is_ipv4();
            let address = *cluster.pods[&pod].addresses.iter().find(|it| it.is_ipv4() == family).unwrap();
            Endpoint::Pod { pod, address }
        }
        other => other,
    };
    Flow { from, to, transport }
}
