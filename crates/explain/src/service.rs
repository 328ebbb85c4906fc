//! Services: which pods are behind one, and what its ports lead to.

use std::net::IpAddr;

use podwall_policy::{
    Endpoint, LabelSelector, ObjectKey, Operator, Pod, Requirement, Service, TargetPort, Transport,
};

use crate::near;
use crate::page::listed;
use crate::party::{service_name, workload_name};
use crate::port::{Dialled, declared, named, transport_name};
use crate::snapshot::Snapshot;

/// One pod's port that a Service's port leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The pod, by one of its addresses.
    pub endpoint: Endpoint,
    /// What is dialled at the Service.
    pub dialled: Transport,
    /// What the pod sees.
    pub reached: Transport,
}

/// The pods behind a Service: those of its selector that are neither finished nor going.
pub fn backends<'s>(snapshot: &'s Snapshot, key: &ObjectKey, service: &Service) -> Vec<&'s ObjectKey> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let pods = snapshot.cluster.pods.iter();
    pods.filter(|(pod, it)| {
        pod.namespace == key.namespace && !it.finished && !it.terminating && selector.matches(&it.labels)
    })
    .map(|(pod, _)| pod)
    .collect()
}

fn selector(service: &Service) -> Option<LabelSelector> {
    let pairs = service.selector.as_ref()?.iter();
    Some(LabelSelector::new(pairs.map(|(key, value)| Requirement {
        key: key.clone(),
        operator: Operator::In([value.clone()].into()),
    })))
}

/// Why nothing is behind a Service, with the pod that nearly is.
pub fn no_backend(snapshot: &Snapshot, key: &ObjectKey, service: &Service) -> String {
    let name = service_name(key);
    let Some(selector) = selector(service) else {
        return format!("{name} has no selector: which addresses are behind it, the manifests do not say");
    };
    let pods =
        snapshot.cluster.pods.iter().filter(|(pod, it)| pod.namespace == key.namespace && !it.finished);
    let nearest = pods.min_by_key(|(_, pod)| near::distance(&selector, &pod.labels));
    match nearest {
        None => format!("{name} selects {selector}, and its namespace has no pods"),
        Some((pod, it)) => format!(
            "{name} selects {selector}, which no pod has; nearest: {}",
            near::difference(&selector, &pod.to_string(), &it.labels)
        ),
    }
}

/// What dialling a Service leads to, pod by pod; without `dialled`, by all its ports.
pub fn reach(
    snapshot: &Snapshot,
    key: &ObjectKey,
    service: &Service,
    dialled: Option<&Dialled>,
) -> Result<Vec<Backend>, String> {
    let name = service_name(key);
    let ports: Vec<_> = match dialled {
        None => service.ports.iter().collect(),
        Some(Dialled::Number(transport)) => {
            let is_it = |it: &&_| transport_of(it) == *transport;
            service.ports.iter().filter(is_it).collect()
        }
        Some(Dialled::Named(..)) => return Err(format!("{name}: ask by the number of its port")),
    };
    if ports.is_empty() {
        let has: Vec<String> = service.ports.iter().map(|port| transport_name(transport_of(port))).collect();
        let asked = dialled.map_or_else(|| "any port".to_owned(), ToString::to_string);
        return Err(format!("{name} does not have {asked}; its ports: {}", listed(&has, 10)));
    }
    let (mut found, mut without) = (Vec::new(), Vec::new());
    for pod_key in backends(snapshot, key, service) {
        let pod = &snapshot.cluster.pods[pod_key];
        for port in &ports {
            let Some(number) = target(pod, port) else {
                without.push(format!("{pod_key} declares {}", declared(pod)));
                continue;
            };
            let reached = Transport::Port(port.protocol, number);
            for address in pod.addresses.iter().filter(|address| is_served(service, **address)) {
                let endpoint = Endpoint::Pod { pod: pod_key.clone(), address: *address };
                found.push(Backend { endpoint, dialled: transport_of(port), reached });
            }
        }
    }
    match (found.is_empty(), without.is_empty()) {
        (false, _) => Ok(found),
        (true, false) => Err(format!(
            "{name} leads to {}, which no pod behind it declares: {}",
            listed(&ports.iter().map(|port| target_name(&port.target)).collect::<Vec<_>>(), 4),
            listed(&without, 2)
        )),
        (true, true) => Err(no_backend(snapshot, key, service)),
    }
}

fn is_served(service: &Service, address: IpAddr) -> bool {
    service.cluster_addresses.is_empty()
        || service.cluster_addresses.iter().any(|own| own.is_ipv4() == address.is_ipv4())
}

fn transport_of(port: &podwall_policy::ServicePort) -> Transport {
    Transport::Port(port.protocol, port.port)
}

fn target(pod: &Pod, port: &podwall_policy::ServicePort) -> Option<u16> {
    match &port.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Named(name) => named(pod, port.protocol, name),
    }
}

fn target_name(target: &TargetPort) -> String {
    match target {
        TargetPort::Number(number) => format!("targetPort {number}"),
        TargetPort::Named(name) => format!("targetPort {name}"),
    }
}

/// The workload that a pod is of, or the pod itself.
pub fn owner_name(snapshot: &Snapshot, pod: &ObjectKey) -> String {
    let owner = snapshot.workloads.iter().find(|(_, pods)| pods.contains(pod));
    owner.map_or_else(|| pod.to_string(), |(workload, _)| workload_name(workload))
}
