//! Objects as the API server takes them.

use anyhow::{Context, Result, bail};
use podwall_policy::tree::{self, ScalarKind, Tree, Value};
use podwall_policy::{ObjectKey, Pod, Service, TargetPort};
use serde_json::{Map, Value as Json, json};

/// The documents of a manifest, empty ones left out.
pub fn documents(bytes: &[u8]) -> Result<Vec<Json>> {
    let documents = tree::parse(bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
    documents.iter().filter(|document| !document.is_null()).map(json_of).collect()
}

fn json_of(tree: &Tree) -> Result<Json> {
    if let Some(defect) = tree.first_defect() {
        bail!("line {:?}: {}", defect.line, defect.message);
    }
    Ok(match &tree.value {
        Value::Scalar(scalar) => match scalar.kind {
            ScalarKind::Null => Json::Null,
            ScalarKind::Boolean(value) => value.into(),
            ScalarKind::Integer(number) => number.into(),
            ScalarKind::Number => serde_json::from_str(&scalar.text).context("a number of an odd shape")?,
            ScalarKind::String => (&*scalar.text).into(),
        },
        Value::Sequence(items) => Json::Array(items.iter().map(json_of).collect::<Result<_>>()?),
        Value::Mapping(mapping) => {
            let field = |entry: &tree::Entry| Ok((entry.key.text.to_string(), json_of(&entry.value)?));
            Json::Object(mapping.entries.iter().map(field).collect::<Result<Map<_, _>>>()?)
        }
    })
}

/// A pod as somebody creates it, on the node that it is to run on.
pub fn pod(key: &ObjectKey, pod: &Pod) -> Json {
    let port = |port: &podwall_policy::ContainerPort| match &port.name {
        Some(name) => {
            json!({"name": &**name, "containerPort": port.port, "protocol": port.protocol.to_string()})
        }
        None => json!({"containerPort": port.port, "protocol": port.protocol.to_string()}),
    };
    let ports: Vec<Json> = pod.ports.iter().filter(|port| port.port > 0).map(port).collect();
    let labels: Map<String, Json> =
        pod.labels.iter().map(|(name, value)| (name.to_string(), (&**value).into())).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": &*key.name, "namespace": &*key.namespace, "labels": labels},
        "spec": {
            "nodeName": pod.node.as_deref(),
            "hostNetwork": pod.host_network,
            "containers": [{"name": "main", "image": "none", "ports": ports}],
        },
    })
}

/// What the kubelet reports of a pod that runs.
pub fn running(pod: &Pod, host: Option<std::net::IpAddr>) -> Json {
    let addresses: Vec<Json> =
        pod.addresses.iter().map(|address| json!({"ip": address.to_string()})).collect();
    json!({"status": {
        "phase": if pod.finished { "Succeeded" } else { "Running" },
        "podIP": pod.addresses.first().map(ToString::to_string),
        "podIPs": addresses,
        "hostIP": host.map(|address| address.to_string()),
        "hostIPs": host.map(|address| vec![json!({"ip": address.to_string()})]),
        "startTime": if pod.started.is_empty() { "2026-01-01T00:00:00Z" } else { &*pod.started },
    }})
}

/// A Service with the addresses that it has been given.
pub fn service(key: &ObjectKey, service: &Service) -> Json {
    let addresses: Vec<String> = service.cluster_addresses.iter().map(ToString::to_string).collect();
    let families: Vec<&str> = service
        .cluster_addresses
        .iter()
        .map(|address| if address.is_ipv4() { "IPv4" } else { "IPv6" })
        .collect();
    let target = |target: &TargetPort| match target {
        TargetPort::Number(number) => json!(number),
        TargetPort::Named(name) => json!(&**name),
    };
    let ports = service.ports.iter().enumerate().map(|(index, port)| {
        json!({"name": format!("port-{index}"), "protocol": port.protocol.to_string(), "port": port.port,
               "targetPort": target(&port.target)})
    });
    let selector = service.selector.iter().flatten();
    let selector: Map<String, Json> =
        selector.map(|(name, value)| (name.to_string(), (&**value).into())).collect();
    let mut spec = json!({"selector": selector, "ports": ports.collect::<Vec<_>>()});
    if service.headless {
        spec["clusterIP"] = "None".into();
    } else {
        spec["clusterIP"] = addresses.first().cloned().into();
        spec["clusterIPs"] = json!(addresses);
        spec["ipFamilies"] = json!(families);
        spec["ipFamilyPolicy"] = if families.len() > 1 { "RequireDualStack" } else { "SingleStack" }.into();
    }
    json!({"apiVersion": "v1", "kind": "Service",
           "metadata": {"name": &*key.name, "namespace": &*key.namespace}, "spec": spec})
}
