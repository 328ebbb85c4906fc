//! Who is asked about: names of pods, workloads, Services, nodes, and addresses.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use podwall_policy::read::{printable, suggestion};
use podwall_policy::{Endpoint, ObjectKey, WorkloadKind};

use crate::snapshot::Snapshot;

/// Who opens a connection, or whom it is meant for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// A pod.
    Pod(ObjectKey),
    /// The pods of a workload.
    Workload(WorkloadKind, ObjectKey),
    /// A Service: the pods behind it.
    Service(ObjectKey),
    /// A node.
    Node(Arc<str>),
    /// An address: of a pod, a node, a Service, or of nobody here.
    Address(IpAddr),
}

/// A name that nothing has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::page::escaped(&self.0))
    }
}

/// The kinds that names may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pod,
    Service,
    Workload(WorkloadKind),
}

fn kind_of(text: &str) -> Option<Kind> {
    Some(match text.to_ascii_lowercase().as_str() {
        "pod" | "po" | "pods" => Kind::Pod,
        "service" | "svc" | "services" => Kind::Service,
        "deployment" | "deploy" | "deployments" => Kind::Workload(WorkloadKind::Deployment),
        "statefulset" | "sts" | "statefulsets" => Kind::Workload(WorkloadKind::StatefulSet),
        "replicaset" | "rs" | "replicasets" => Kind::Workload(WorkloadKind::ReplicaSet),
        "daemonset" | "ds" | "daemonsets" => Kind::Workload(WorkloadKind::DaemonSet),
        "job" | "jobs" => Kind::Workload(WorkloadKind::Job),
        _ => return None,
    })
}

impl FromStr for Party {
    type Err = String;

    /// `NAMESPACE/POD`, `NAMESPACE/KIND/NAME` or, as expectations write it, `KIND/NAMESPACE/NAME`; `node/NAME`; an
    /// address.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Party::Address(address));
        }
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(expected(text));
        }
        match parts.as_slice() {
            ["node" | "nodes", name] => Ok(Party::Node((*name).into())),
            [namespace, name] => Ok(Party::Pod(ObjectKey::new(*namespace, *name))),
            [first, second, name] => match (kind_of(second), kind_of(first)) {
                (Some(kind), _) => Ok(Self::new(kind, ObjectKey::new(*first, *name))),
                (None, Some(kind)) => Ok(Self::new(kind, ObjectKey::new(*second, *name))),
                (None, None) => Err(expected(text)),
            },
            _ => Err(expected(text)),
        }
    }
}

fn expected(text: &str) -> String {
    format!(
        "{:?} is not NAMESPACE/POD, NAMESPACE/deployment/NAME (or another kind of workload), NAMESPACE/service/NAME, \
         node/NAME or an IP address",
        printable(text)
    )
}

impl Party {
    fn new(kind: Kind, key: ObjectKey) -> Self {
        match kind {
            Kind::Pod => Party::Pod(key),
            Kind::Service => Party::Service(key),
            Kind::Workload(kind) => Party::Workload(kind, key),
        }
    }

    /// The object that has this address, if one has; otherwise itself.
    pub fn known_as(&self, snapshot: &Snapshot) -> Party {
        let Party::Address(address) = self else { return self.clone() };
        let cluster = &snapshot.cluster;
        let owner = || cluster.address_owners().get(address).map(|key| Party::Pod((*key).clone()));
        let service = || {
            let mut services = cluster.services.iter();
            let found = services.find(|(_, service)| service.cluster_addresses.contains(address));
            found.map(|(key, _)| Party::Service(key.clone()))
        };
        let node = || {
            let found = cluster.nodes.iter().find(|(_, node)| node.addresses.contains(address));
            found.map(|(name, _)| Party::Node(name.clone()))
        };
        owner().or_else(service).or_else(node).unwrap_or_else(|| self.clone())
    }

    /// What it is to policy, each address an endpoint. A Service is the pods behind it.
    pub fn endpoints(&self, snapshot: &Snapshot) -> Result<Vec<Endpoint>, Unknown> {
        let cluster = &snapshot.cluster;
        match self.known_as(snapshot) {
            Party::Address(address) => Ok(vec![Endpoint::Outside(address)]),
            Party::Node(node) => match cluster.nodes.get(&node) {
                Some(it) => Ok(it
                    .addresses
                    .iter()
                    .map(|address| Endpoint::Node { node: node.clone(), address: *address })
                    .collect()),
                None => Err(unknown(self, cluster.nodes.keys().map(|name| format!("node/{name}")))),
            },
            Party::Pod(key) => match cluster.pods.contains_key(&key) {
                true => pod_endpoints(snapshot, [&key]),
                false => Err(unknown(self, cluster.pods.keys().map(ToString::to_string))),
            },
            Party::Workload(kind, key) => match snapshot.workloads.get(&(kind, key)) {
                Some(pods) if pods.is_empty() => Err(Unknown(format!("{self} has no pods"))),
                Some(pods) => pod_endpoints(snapshot, pods),
                None => Err(unknown(self, snapshot.workloads.keys().map(workload_name))),
            },
            Party::Service(key) => match cluster.services.get(&key) {
                Some(service) => {
                    let pods = crate::service::backends(snapshot, &key, service);
                    match pods.is_empty() {
                        true => Err(Unknown(crate::service::no_backend(snapshot, &key, service))),
                        false => pod_endpoints(snapshot, pods),
                    }
                }
                None => Err(unknown(self, cluster.services.keys().map(service_name))),
            },
        }
    }
}

/// `NAMESPACE/service/NAME`
pub fn service_name(key: &ObjectKey) -> String {
    format!("{}/service/{}", key.namespace, key.name)
}

/// `NAMESPACE/deployment/NAME`, and so on.
pub fn workload_name((kind, key): &(WorkloadKind, ObjectKey)) -> String {
    format!("{}/{}/{}", key.namespace, kind.name().to_lowercase(), key.name)
}

fn pod_endpoints<'p>(
    snapshot: &Snapshot,
    pods: impl IntoIterator<Item = &'p ObjectKey>,
) -> Result<Vec<Endpoint>, Unknown> {
    let (mut found, mut without) = (Vec::new(), Vec::new());
    for key in pods {
        let Some(pod) = snapshot.cluster.pods.get(key) else { continue };
        let endpoints =
            pod.addresses.iter().map(|address| Endpoint::Pod { pod: key.clone(), address: *address });
        match pod.addresses.is_empty() || pod.finished {
            true => without.push(key.to_string()),
            false => found.extend(endpoints),
        }
    }
    match found.is_empty() {
        true => Err(Unknown(format!(
            "{} takes part in nothing: it has finished, or has no address of the families asked about",
            without.join(", ")
        ))),
        false => Ok(found),
    }
}

/// The names most like the one that is missing: misspelt, of another namespace, or the first there are.
fn unknown(party: &Party, names: impl Iterator<Item = String>) -> Unknown {
    const MOST: usize = 5;
    let names: BTreeSet<String> = names.collect();
    let wanted = party.to_string();
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let is_near = |name: &&String| {
        let (own, other) = (last(&wanted), last(name));
        suggestion(&own, &[other.as_str()]).is_some()
            || other.strip_prefix(&own).is_some_and(|it| it.starts_with('-'))
    };
    let mut near: Vec<String> = names.iter().filter(is_near).cloned().collect();
    // Those of the same namespace come first.
    let namespace = wanted.split('/').next().unwrap_or_default();
    near.sort_by_key(|name| name.split('/').next() != Some(namespace));
    let hint = match (near.is_empty(), names.is_empty()) {
        (false, _) => format!("nearest: {}", crate::page::listed(&near, MOST)),
        (true, false) => {
            let names: Vec<String> = names.into_iter().collect();
            format!("there are {}", crate::page::listed(&names, MOST))
        }
        (true, true) => "the manifests have none of this kind".to_owned(),
    };
    Unknown(format!("there is no {wanted}; {hint}"))
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Pod(key) => write!(f, "{key}"),
            Party::Workload(kind, key) => f.write_str(&workload_name(&(*kind, key.clone()))),
            Party::Service(key) => f.write_str(&service_name(key)),
            Party::Node(name) => write!(f, "node/{name}"),
            Party::Address(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(text: &str) -> Party {
        text.parse().unwrap()
    }

    #[test]
    fn names_of_parties() {
        let web = ObjectKey::new("shop", "web");
        assert_eq!(party("shop/web"), Party::Pod(web.clone()));
        assert_eq!(party("pod/shop/web"), Party::Pod(web.clone()));
        assert_eq!(party("shop/deployment/web"), Party::Workload(WorkloadKind::Deployment, web.clone()));
        assert_eq!(party("deployment/shop/web"), Party::Workload(WorkloadKind::Deployment, web.clone()));
        assert_eq!(party("shop/svc/web"), Party::Service(web));
        assert_eq!(party("node/a"), Party::Node("a".into()));
        assert_eq!(party("2001:db8::1"), Party::Address("2001:db8::1".parse().unwrap()));
        for bad in ["", "web", "a/b/c", "a//b", "shop/", "a/b/c/d"] {
            assert!(bad.parse::<Party>().is_err(), "{bad:?} was taken");
        }
    }
}
