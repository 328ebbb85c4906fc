//! The lab's hosts in the kernel, and how they follow a scene by difference.
//!
//! ```text
//!               router (the lab's first namespace, no rules)
//!              ╱        │         ╲
//!         node-1      node-2      outside host
//!        ╱   │   ╲       │
//!     pod   pod   pod   pod       each link a veth pair; the gateway of every link is 169.254.1.1, fe80::1
//! ```
//!
//! Bridged, the pods of a node are behind a bridge, which then is the gateway, and talk to one another across it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use podwall_netlink::Kernel;
use podwall_policy::ObjectKey;
use podwall_ruleset::{Known, Ruleset, Transaction, diff};

use crate::bridge::{self, Neighbours};
use crate::error::LabError;
use crate::host::{FarEnd, Host, hardware_address};
use crate::namespace::NetworkNamespace;
use crate::rtnetlink::{Route, Rtnetlink};
use crate::scene::{Families, Layout, Party, PodPlace, Scene, short_hash};
use crate::sysctl;

/// All hosts as they are now.
pub struct Topology {
    settings: Settings,
    router: Host,
    nodes: BTreeMap<Arc<str>, Node>,
    pods: BTreeMap<ObjectKey, Pod>,
    outside: BTreeMap<Arc<str>, NetworkNamespace>,
}

/// How the hosts are to be made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The families that are set up.
    pub families: Families,
    /// How pods are attached to their nodes.
    pub layout: Layout,
    /// What the operator sets on every node: names as in `/proc/sys`, and values.
    pub node_sysctls: Vec<(String, String)>,
}

struct Node {
    host: Host,
    /// The bridge that its pods are on.
    bridge: Option<u32>,
    /// The router's side of its link.
    link: Link,
    kernel: Kernel,
    services: Known,
}

struct Pod {
    namespace: NetworkNamespace,
    place: PodPlace,
    /// Whom it reaches without a gateway.
    neighbours: Neighbours,
}

struct Link {
    name: String,
    index: u32,
}

impl Topology {
    /// The router alone, in the namespace that this thread is in.
    pub fn new(settings: Settings) -> Result<Self, LabError> {
        sysctl::prepare(true, settings.families.ipv6)?;
        let mut rtnetlink = Rtnetlink::open()?;
        rtnetlink.set_up("lo")?;
        let router = Host::new(NetworkNamespace::current()?, rtnetlink, Vec::new());
        Ok(Self { settings, router, nodes: BTreeMap::new(), pods: BTreeMap::new(), outside: BTreeMap::new() })
    }

    /// Removes what `scene` has not, or has elsewhere; returns who is gone.
    pub fn remove_surplus(&mut self, scene: &Scene) -> Result<Vec<Party>, LabError> {
        let stays = |name: &Arc<str>, addresses: &[IpAddr]| {
            scene.nodes.get(name).map(Vec::as_slice) == Some(addresses)
        };
        let leaving_nodes: BTreeSet<Arc<str>> = self
            .nodes
            .iter()
            .filter(|(name, node)| !stays(name, &node.host.addresses))
            .map(|(name, _)| name.clone())
            .collect();
        let leaving_pods: Vec<ObjectKey> = self
            .pods
            .iter()
            .filter(|(key, pod)| {
                leaving_nodes.contains(&pod.place.node)
                    || !scene.pods.get(*key).is_some_and(|place| same_link(place, &pod.place))
            })
            .map(|(key, _)| key.clone())
            .collect();
        let mut gone = Vec::new();
        for key in leaving_pods {
            self.remove_pod(&key)?;
            gone.push(Party::Pod(key));
        }
        for name in leaving_nodes {
            if let Some(node) = self.nodes.remove(&name) {
                self.router.rtnetlink.delete_link(&node.link.name)?;
            }
            gone.push(Party::Node(name));
        }
        let leaving_hosts: Vec<Arc<str>> =
            self.outside.keys().filter(|name| !scene.outside.contains_key(*name)).cloned().collect();
        for name in leaving_hosts {
            // While its namespace is there, so is the link.
            self.router.rtnetlink.delete_link(&outside_link(&name))?;
            self.outside.remove(&name);
            gone.push(Party::Outside(name));
        }
        Ok(gone)
    }

    fn remove_pod(&mut self, key: &ObjectKey) -> Result<(), LabError> {
        let Some(pod) = self.pods.remove(key) else { return Ok(()) };
        let Some(node) = self.nodes.get_mut(&pod.place.node) else { return Ok(()) };
        if let Some(interface) = &pod.place.interface {
            node.host.rtnetlink.delete_link(interface.as_str())?;
        }
        for address in &pod.place.addresses {
            // A bridge stays when its port goes, and so do its routes.
            if let Some(bridge) = node.bridge {
                node.host.rtnetlink.delete_route(&node.host.route_to(*address, bridge))?;
            }
            self.router.rtnetlink.delete_route(&node.underlay_route(*address))?;
        }
        Ok(())
    }

    /// Makes the nodes and outside hosts that are missing.
    pub fn add_nodes(&mut self, scene: &Scene) -> Result<(), LabError> {
        for (name, addresses) in &scene.nodes {
            if !self.nodes.contains_key(name) {
                let node = self.make_node(name, addresses)?;
                self.nodes.insert(name.clone(), node);
            }
        }
        for (name, addresses) in &scene.outside {
            if !self.outside.contains_key(name) {
                let link = outside_link(name);
                let (namespace, _) = self.router.attach(&link, &self.settings.host(addresses, false))?;
                self.outside.insert(name.clone(), namespace);
            }
        }
        Ok(())
    }

    fn make_node(&mut self, name: &Arc<str>, addresses: &[IpAddr]) -> Result<Node, LabError> {
        let link_name = format!("node{}", short_hash(name));
        let (namespace, index) = self.router.attach(&link_name, &self.settings.host(addresses, true))?;
        // The router asks for its neighbours as the gateway, whose address every node has too, for its pods: a node
        // does not answer what it takes for itself, and is lost as soon as the router forgets it.
        if let Some(first) = addresses.first() {
            for address in addresses {
                self.router.rtnetlink.add_neighbour(index, *address, hardware_address(*first))?;
            }
        }
        let (rtnetlink, kernel) = namespace.enter(|| (Rtnetlink::open(), Kernel::open()))?;
        let kernel = kernel.map_err(|error| LabError::machine(format!("node {name}"), error))?;
        let mut host = Host::new(namespace, rtnetlink?, addresses.to_vec());
        let bridge = match self.settings.layout {
            Layout::Routed => None,
            Layout::Bridged => Some(bridge::add(&mut host, self.settings.families)?),
        };
        host.namespace.enter(|| self.settings.finish_node(name))??;
        Ok(Node { host, bridge, link: Link { name: link_name, index }, kernel, services: Known::Unknown })
    }

    /// Makes the pods that are missing. Their nodes' policy must be in force by then.
    pub fn add_pods(&mut self, scene: &Scene) -> Result<(), LabError> {
        for (key, place) in &scene.pods {
            let Some(interface) = &place.interface else { continue };
            if self.pods.contains_key(key) {
                continue;
            }
            let node = self.nodes.get_mut(&place.node).expect("pods are only placed on nodes");
            let on_link = node.bridge.and(scene.pod_networks.get(&place.node)).cloned().unwrap_or_default();
            let far = FarEnd {
                on_link: &on_link,
                bridge: node.bridge,
                ..self.settings.host(&place.addresses, false)
            };
            let (namespace, _) = node.host.attach(interface.as_str(), &far)?;
            for address in &place.addresses {
                self.router.rtnetlink.add_route(&node.underlay_route(*address))?;
            }
            self.pods.insert(
                key.clone(),
                Pod { namespace, place: place.clone(), neighbours: Neighbours::on(on_link) },
            );
        }
        Ok(())
    }

    /// Tells bridged pods who is on their bridge now.
    pub fn update_neighbours(&mut self, scene: &Scene) -> Result<(), LabError> {
        let wanted: BTreeMap<Arc<str>, Neighbours> = match self.settings.layout {
            Layout::Routed => return Ok(()),
            Layout::Bridged => bridge::neighbours(scene),
        };
        for pod in self.pods.values_mut() {
            if let Some(wanted) = wanted.get(&pod.place.node) {
                let addresses = &pod.place.addresses;
                pod.namespace.enter(|| pod.neighbours.change_to(wanted, addresses))??;
            }
        }
        Ok(())
    }

    /// Waits until all new links pass packets.
    pub fn wait_for_links(&mut self) -> Result<(), LabError> {
        self.router.wait_for_links()?;
        for node in self.nodes.values_mut() {
            // A bridge is ready when one of its ports is.
            if node.host.wait_for_links()? && node.bridge.is_some() {
                node.host.rtnetlink.wait_until_ready(bridge::NAME)?;
            }
        }
        Ok(())
    }

    /// Changes what a node enforces, and waits for the kernel's acknowledgement.
    pub fn change_policy(&mut self, node: &str, transaction: &Transaction) -> Result<(), LabError> {
        let Some(node_state) = self.nodes.get_mut(node) else { return Ok(()) };
        node_state.write(node, transaction)
    }

    /// Brings what stands in for a node's kube-proxy to `ruleset`.
    pub fn set_services(&mut self, node: &str, ruleset: Ruleset) -> Result<(), LabError> {
        let Some(node_state) = self.nodes.get_mut(node) else { return Ok(()) };
        node_state.write(node, &diff(&node_state.services, &ruleset))?;
        node_state.services = Known::Exactly(ruleset);
        Ok(())
    }

    /// The namespace that a host runs in. `host` is what [`Scene::host_of`] says.
    pub fn namespace(&self, host: &Party) -> Option<&NetworkNamespace> {
        match host {
            Party::Pod(key) => self.pods.get(key).map(|pod| &pod.namespace),
            Party::Node(name) => self.nodes.get(name).map(|node| &node.host.namespace),
            Party::Outside(name) => self.outside.get(name),
        }
    }

    /// All hosts that have a namespace, without the router.
    pub fn hosts(&self) -> Vec<Party> {
        let pods = self.pods.keys().cloned().map(Party::Pod);
        let nodes = self.nodes.keys().cloned().map(Party::Node);
        pods.chain(nodes).chain(self.outside.keys().cloned().map(Party::Outside)).collect()
    }
}

/// The router's side of the link to an outside host.
fn outside_link(name: &str) -> String {
    format!("host{}", short_hash(name))
}

/// True when a pod need not be made anew; its ports may differ.
fn same_link(one: &PodPlace, other: &PodPlace) -> bool {
    one.node == other.node && one.addresses == other.addresses && one.interface == other.interface
}

impl Node {
    fn write(&mut self, name: &str, transaction: &Transaction) -> Result<(), LabError> {
        if transaction.is_empty() {
            return Ok(());
        }
        let applied = self.kernel.apply(transaction);
        applied.map_err(|error| LabError::machine(format!("node {name}"), error))
    }

    /// How the router reaches an address of a pod here.
    fn underlay_route(&self, address: IpAddr) -> Route {
        let via = self.host.addresses.iter().copied().find(|own| own.is_ipv4() == address.is_ipv4());
        Route { to: Some(address.into()), via, interface: self.link.index, source: None }
    }
}

impl Settings {
    /// The far end of a link that is the gateway itself.
    fn host<'a>(&self, addresses: &'a [IpAddr], forwarding: bool) -> FarEnd<'a> {
        const NOTHING: &BTreeSet<IpNet> = &BTreeSet::new();
        FarEnd { addresses, on_link: NOTHING, forwarding, families: self.families, bridge: None }
    }

    /// What the operator wants of a node, and what enforcement needs; in the node's namespace.
    fn finish_node(&self, name: &str) -> Result<(), LabError> {
        for (setting, value) in &self.node_sysctls {
            sysctl::write(setting, value)?;
        }
        match self.layout {
            Layout::Routed => Ok(()),
            Layout::Bridged => sysctl::check_bridge(name),
        }
    }
}
