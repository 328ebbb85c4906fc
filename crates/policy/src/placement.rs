//! Placement: the nodes and addresses that manifests leave open. The same input gives the same placement, in
//! whatever order its files are read, and what was placed before stays where it is.

mod pool;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::model::{Node, ObjectKey, Pod, Service};
use crate::read::Manifests;
use crate::workload::expand;
use pool::{Pool, Range};

/// What to place on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacementOptions {
    /// How many nodes there are at least; more when the manifests name more. There is always one.
    pub node_count: usize,
    /// Assign IPv4 addresses.
    pub ipv4: bool,
    /// Assign IPv6 addresses.
    pub ipv6: bool,
}

/// Makes a cluster of manifests: workloads become pods, and every pod gets a node and addresses, every Service its
/// cluster addresses. What manifests pin is kept as it is; then what `previous` had; the rest is assigned in the order
/// of names. Addresses of `previous` are not given to anybody else.
pub fn place(manifests: &Manifests, options: &PlacementOptions, previous: Option<&Cluster>) -> Cluster {
    let empty = Cluster::default();
    let previous = previous.unwrap_or(&empty);
    let names = node_names(manifests, options.node_count);
    let mut pods = expand(manifests, &names);
    let mut pool = Pool::new(options, previous);
    pool.take(manifests.nodes.values().flat_map(|node| &node.addresses));
    pool.take(pods.values().flat_map(|pod| &pod.addresses));
    pool.take(manifests.services.values().flat_map(|service| &service.cluster_addresses));
    let nodes = place_nodes(manifests, &names, previous, &mut pool);
    keep_addresses(&mut pods, previous, &mut pool);
    let services = keep_services(manifests, previous, &mut pool);
    assign_nodes(&mut pods, &names, previous);
    assign_addresses(&mut pods, &names, &nodes, &mut pool);
    Cluster {
        namespaces: manifests.namespaces.clone(),
        audited_namespaces: manifests.audited_namespaces.clone(),
        pods,
        policies: manifests.policies.clone(),
        services: assign_services(services, &mut pool),
        nodes,
    }
}

/// The nodes in their order: those that the manifests name, sorted, then `node-1` and so on.
fn node_names(manifests: &Manifests, count: usize) -> Vec<Arc<str>> {
    let named = manifests.named_nodes();
    let missing = count.max(1).saturating_sub(named.len());
    let numbered =
        (1..).map(|number| Arc::from(format!("node-{number}"))).filter(|name| !named.contains(name));
    let numbered: Vec<Arc<str>> = numbered.take(missing).collect();
    named.into_iter().chain(numbered).collect()
}

fn place_nodes(
    manifests: &Manifests,
    names: &[Arc<str>],
    previous: &Cluster,
    pool: &mut Pool,
) -> BTreeMap<Arc<str>, Node> {
    let mut nodes: BTreeMap<Arc<str>, Node> = BTreeMap::new();
    for name in names {
        let declared = manifests.nodes.get(name).filter(|node| !node.addresses.is_empty());
        let addresses = match (declared, previous.nodes.get(name)) {
            (Some(node), _) => node.addresses.clone(),
            (None, Some(node)) => pool.keep(&node.addresses),
            (None, None) => Vec::new(),
        };
        nodes.insert(name.clone(), Node { addresses });
    }
    for (index, name) in names.iter().enumerate() {
        if let Some(node) = nodes.get_mut(name)
            && manifests.nodes.get(name).is_none_or(|node| node.addresses.is_empty())
        {
            pool.complete(&mut node.addresses, Range::Nodes { first: index });
        }
    }
    nodes
}

/// True for a pod that needs addresses of its own and pins none.
fn is_open(pod: &Pod) -> bool {
    pod.addresses.is_empty() && pod.takes_part()
}

fn keep_addresses(pods: &mut BTreeMap<ObjectKey, Pod>, previous: &Cluster, pool: &mut Pool) {
    for (key, pod) in pods.iter_mut().filter(|(_, pod)| is_open(pod)) {
        // What it had on the host's network was the node's.
        if let Some(before) = previous.pods.get(key).filter(|before| !before.host_network) {
            pod.addresses = pool.keep(&before.addresses);
        }
    }
}

/// Gives every pod a node: the one it pins, the one it had, or the one with the fewest pods.
fn assign_nodes(pods: &mut BTreeMap<ObjectKey, Pod>, names: &[Arc<str>], previous: &Cluster) {
    let indices: BTreeMap<&Arc<str>, usize> = names.iter().zip(0..).collect();
    let mut load = vec![0_usize; names.len()];
    for (key, pod) in pods.iter_mut() {
        if pod.node.is_none() {
            let before = previous.pods.get(key).and_then(|before| before.node.clone());
            pod.node = before.filter(|node| indices.contains_key(node));
        }
        if let Some(index) = pod.node.as_ref().and_then(|node| indices.get(node)) {
            load[*index] += 1;
        }
    }
    let mut by_load: BTreeSet<(usize, usize)> = load.into_iter().zip(0..).collect();
    for pod in pods.values_mut().filter(|pod| pod.node.is_none()) {
        if let Some((load, index)) = by_load.pop_first() {
            pod.node = Some(names[index].clone());
            by_load.insert((load + 1, index));
        }
    }
}

fn assign_addresses(
    pods: &mut BTreeMap<ObjectKey, Pod>,
    names: &[Arc<str>],
    nodes: &BTreeMap<Arc<str>, Node>,
    pool: &mut Pool,
) {
    let indices: BTreeMap<&Arc<str>, usize> = names.iter().zip(0..).collect();
    for pod in pods.values_mut() {
        let Some(node) = &pod.node else { continue };
        if pod.host_network && pod.addresses.is_empty() && !pod.finished {
            let of = |ipv4: bool| nodes.get(node)?.addresses.iter().find(|address| address.is_ipv4() == ipv4);
            pod.addresses = [true, false].into_iter().filter_map(of).copied().collect();
        } else if pod.takes_part() && !pool.is_pinned(&pod.addresses) {
            pool.complete(
                &mut pod.addresses,
                Range::Pods { node: indices.get(node).copied().unwrap_or_default() },
            );
        }
    }
}

/// The Services with the cluster addresses they pin or had.
fn keep_services(manifests: &Manifests, previous: &Cluster, pool: &mut Pool) -> BTreeMap<ObjectKey, Service> {
    let mut services = manifests.services.clone();
    for (key, service) in &mut services {
        if service.cluster_addresses.is_empty()
            && !service.headless
            && let Some(before) = previous.services.get(key)
        {
            service.cluster_addresses = pool.keep(&before.cluster_addresses);
        }
    }
    services
}

fn assign_services(
    mut services: BTreeMap<ObjectKey, Service>,
    pool: &mut Pool,
) -> BTreeMap<ObjectKey, Service> {
    for service in services.values_mut() {
        if !service.headless && !pool.is_pinned(&service.cluster_addresses) {
            pool.complete(&mut service.cluster_addresses, Range::Services);
        }
    }
    services
}
