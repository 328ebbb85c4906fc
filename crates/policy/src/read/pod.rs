//! Pods, and the templates of pods in workloads. Only what policy needs is read; the rest of their schema is not
//! ours to check.

use std::sync::Arc;

use super::address::parse_address;
use super::fault::{Fault, Reading, printable};
use super::field::Field;
use super::metadata::{Metadata, NameRule, check_top_level, read_labels, read_metadata};
use super::rule::read_protocol;
use crate::model::{ContainerPort, ObjectKey, Pod};
use crate::selector::Labels;

/// Fields of a pod's spec and below that are no fields of the object itself.
const SPEC: [&str; 7] =
    ["containers", "initContainers", "nodeName", "hostNetwork", "restartPolicy", "volumes", "image"];

/// Switches the check of the source addresses of a pod's packets: `enabled` or `disabled`.
const ANTI_SPOOFING_ANNOTATION: &str = "podwall.io/anti-spoofing";

/// Reads a pod of a manifest: anything wrong with it is a fault of the whole.
pub(super) fn read_pod(root: &Field, default_namespace: &Arc<str>) -> Reading<(ObjectKey, Pod)> {
    let mut left_out = Vec::new();
    let read = read_pod_leniently(root, default_namespace, &mut left_out)?;
    first_fault(left_out)?;
    Ok(read)
}

/// Reads a pod. An address, a port or an annotation that cannot be read is left out.
pub(super) fn read_pod_leniently(
    root: &Field,
    default_namespace: &Arc<str>,
    left_out: &mut Vec<Fault>,
) -> Reading<(ObjectKey, Pod)> {
    check_top_level(root, &SPEC)?;
    let metadata = read_metadata(root, NameRule::Subdomain, default_namespace)?;
    let key = metadata.key();
    let mut pod = read_spec(root.get("spec"), metadata.labels.clone(), left_out)?;
    pod.anti_spoofing = take(read_anti_spoofing(root.get("metadata")), left_out);
    read_status(root, metadata, &mut pod, left_out)?;
    Ok((key, pod))
}

fn first_fault(faults: Vec<Fault>) -> Reading<()> {
    faults.into_iter().next().map_or(Ok(()), Err)
}

/// What was read; after a fault, nothing.
fn take<T: Default>(reading: Reading<T>, left_out: &mut Vec<Fault>) -> T {
    reading.unwrap_or_else(|fault| {
        left_out.push(fault);
        T::default()
    })
}

/// Reads `spec.template` of a workload.
pub(super) fn read_template(template: &Field) -> Reading<Pod> {
    template.known(&["metadata", "spec"])?;
    let labels = template.get("metadata").map_or(Ok(Labels::new()), |metadata| read_labels(&metadata))?;
    let mut left_out = Vec::new();
    let mut pod = read_spec(template.get("spec"), labels, &mut left_out)?;
    first_fault(left_out)?;
    pod.anti_spoofing = read_anti_spoofing(template.get("metadata"))?;
    Ok(pod)
}

/// The one annotation that is ours.
fn read_anti_spoofing(metadata: Option<Field>) -> Reading<Option<bool>> {
    let Some(annotations) = metadata.and_then(|it| it.get("annotations")) else { return Ok(None) };
    annotations.mapping()?;
    let Some(field) = annotations.get(ANTI_SPOOFING_ANNOTATION) else { return Ok(None) };
    match &**field.string()? {
        "enabled" => Ok(Some(true)),
        "disabled" => Ok(Some(false)),
        other => Err(field.fault(format!("{} is neither enabled nor disabled", printable(other)))),
    }
}

fn read_spec(spec: Option<Field>, labels: Labels, left_out: &mut Vec<Fault>) -> Reading<Pod> {
    let mut pod = Pod {
        labels,
        node: None,
        addresses: Vec::new(),
        host_network: false,
        finished: false,
        terminating: false,
        started: "".into(),
        ports: Vec::new(),
        anti_spoofing: None,
        location: None,
    };
    let Some(spec) = spec else { return Ok(pod) };
    spec.mapping()?;
    pod.node = spec.text("nodeName")?.filter(|name| !name.is_empty()).cloned();
    pod.host_network = spec.get("hostNetwork").map_or(Ok(false), |field| field.boolean())?;
    if let Some(containers) = spec.get("containers") {
        for container in containers.list()? {
            read_container_ports(&container, &mut pod.ports, left_out)?;
        }
    }
    // Of the init containers, those that keep running: sidecars (S106).
    if let Some(containers) = spec.get("initContainers") {
        for container in containers.list()? {
            container.mapping()?;
            if container.text("restartPolicy")?.is_some_and(|policy| &**policy == "Always") {
                read_container_ports(&container, &mut pod.ports, left_out)?;
            }
        }
    }
    Ok(pod)
}

fn read_container_ports(
    container: &Field,
    ports: &mut Vec<ContainerPort>,
    left_out: &mut Vec<Fault>,
) -> Reading<()> {
    container.mapping()?;
    let Some(list) = container.get("ports") else { return Ok(()) };
    for entry in list.list()? {
        ports.extend(take(read_container_port(&entry).map(Some), left_out));
    }
    Ok(())
}

fn read_container_port(entry: &Field) -> Reading<ContainerPort> {
    entry.mapping()?;
    Ok(ContainerPort {
        name: entry.text("name")?.filter(|name| !name.is_empty()).cloned(),
        port: entry.require("containerPort")?.port()?,
        protocol: read_protocol(entry)?,
    })
}

fn read_status(root: &Field, metadata: Metadata, pod: &mut Pod, left_out: &mut Vec<Fault>) -> Reading<()> {
    pod.terminating = metadata.terminating;
    pod.started = metadata.created;
    let Some(status) = root.get("status") else { return Ok(()) };
    status.mapping()?;
    let phase = status.text("phase")?;
    pod.finished = phase.is_some_and(|phase| matches!(&**phase, "Succeeded" | "Failed" | "Completed"));
    if let Some(started) = status.text("startTime")? {
        pod.started = started.clone();
    }
    // The list is the truth; old fixtures have only the single address (S89).
    if let Some(list) = status.get("podIPs") {
        for entry in list.list()? {
            let field = entry.known(&["ip"]).and_then(|()| entry.require("ip"));
            take(field.and_then(|field| add_address(pod, &field)), left_out);
        }
    }
    if pod.addresses.is_empty()
        && let Some(field) = status.get("podIP")
        && field.string().map_or(true, |text| !text.is_empty())
    {
        take(add_address(pod, &field), left_out);
    }
    Ok(())
}

fn add_address(pod: &mut Pod, field: &Field) -> Reading<()> {
    let text = field.string()?;
    let address = parse_address(text)
        .ok_or_else(|| field.fault(format!("\"{}\" is not an IP address", printable(text))))?;
    if pod.addresses.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
        return Err(field.fault("a pod has at most one address of each family"));
    }
    pod.addresses.push(address);
    Ok(())
}
