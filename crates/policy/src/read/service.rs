//! Services, Namespaces and Nodes: what surrounds the pods.

use std::sync::Arc;

use super::address::parse_address;
use super::fault::{Reading, printable};
use super::field::Field;
use super::metadata::{NameRule, check_top_level, read_metadata, read_mode};
use super::rule::{check_port_name, read_protocol};
use crate::cluster::NAMESPACE_NAME_LABEL;
use crate::model::{Mode, Node, ObjectKey, Service, ServicePort, TargetPort};
use crate::selector::Labels;

/// Reads a Service. One of type ExternalName is a name for something else: headless, with nothing behind it.
pub(super) fn read_service(root: &Field, default_namespace: &Arc<str>) -> Reading<(ObjectKey, Service)> {
    check_top_level(root, &["selector", "ports", "clusterIP", "clusterIPs", "type", "externalName"])?;
    let metadata = read_metadata(root, NameRule::Label, default_namespace)?;
    let spec = root.require("spec")?;
    spec.mapping()?;
    let mut service = Service {
        selector: spec.get("selector").map(|field| field.string_map()).transpose()?,
        cluster_addresses: Vec::new(),
        headless: false,
        ports: Vec::new(),
        location: None,
    };
    // An empty selector selects nothing here, unlike a policy's.
    service.selector = service.selector.filter(|selector| !selector.is_empty());
    if let Some(ports) = spec.get("ports") {
        service.ports = ports.list()?.map(|port| read_port(&port)).collect::<Reading<_>>()?;
    }
    if spec.text("type")?.is_some_and(|name| &**name == "ExternalName") {
        service.headless = true;
        service.selector = None;
        return Ok((metadata.key(), service));
    }
    if let Some(list) = spec.get("clusterIPs") {
        for field in list.list()? {
            read_cluster_address(&field, &mut service)?;
        }
    } else if let Some(field) = spec.get("clusterIP") {
        read_cluster_address(&field, &mut service)?;
    }
    Ok((metadata.key(), service))
}

fn read_cluster_address(field: &Field, service: &mut Service) -> Reading<()> {
    let text = field.string()?;
    match &**text {
        "None" => service.headless = true,
        "" => {}
        _ => {
            let address = parse_address(text)
                .ok_or_else(|| field.fault(format!("\"{}\" is not an IP address", printable(text))))?;
            if service.cluster_addresses.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
                return Err(field.fault("a Service has at most one cluster address of each family"));
            }
            service.cluster_addresses.push(address);
        }
    }
    Ok(())
}

fn read_port(entry: &Field) -> Reading<ServicePort> {
    entry.mapping()?;
    let port = entry.require("port")?.port()?;
    let target = match entry.get("targetPort") {
        None => TargetPort::Number(port),
        Some(field) => match field.string() {
            Ok(name) => {
                check_port_name(name).map_err(|message| field.fault(message))?;
                TargetPort::Named(name.clone())
            }
            Err(_) => TargetPort::Number(field.port()?),
        },
    };
    Ok(ServicePort { protocol: read_protocol(entry)?, port, target })
}

/// A Namespace.
pub(super) struct DeclaredNamespace {
    pub name: Arc<str>,
    /// With the one that all have (S48).
    pub labels: Labels,
    /// Whether its policies are enforced; where that cannot be read they are, and the fault is for people.
    pub mode: Reading<Mode>,
}

/// What becomes of a namespace whose annotation cannot be read.
pub(super) const ENFORCED: &str = "its policies are enforced until the annotation is mended";

/// Reads a Namespace.
pub(super) fn read_namespace(root: &Field) -> Reading<DeclaredNamespace> {
    check_top_level(root, &["finalizers"])?;
    let metadata = read_metadata(root, NameRule::Label, &"".into())?;
    let mut labels = metadata.labels;
    labels.insert(NAMESPACE_NAME_LABEL.into(), metadata.name.clone());
    let mode = read_mode(root).map(Option::unwrap_or_default);
    Ok(DeclaredNamespace { name: metadata.name, labels, mode })
}

/// Reads a Node: its name and its internal addresses.
pub(super) fn read_node(root: &Field) -> Reading<(Arc<str>, Node)> {
    check_top_level(root, &["addresses", "podCIDR", "podCIDRs", "taints"])?;
    let metadata = read_metadata(root, NameRule::Subdomain, &"".into())?;
    let mut node = Node::default();
    if let Some(list) = root.get("status").and_then(|status| status.get("addresses")) {
        for entry in list.list()? {
            entry.mapping()?;
            if entry.text("type")?.is_none_or(|name| &**name != "InternalIP") {
                continue;
            }
            let field = entry.require("address")?;
            let text = field.string()?;
            let address = parse_address(text)
                .ok_or_else(|| field.fault(format!("\"{}\" is not an IP address", printable(text))))?;
            if !node.addresses.contains(&address) {
                node.addresses.push(address);
            }
        }
    }
    Ok((metadata.name, node))
}
