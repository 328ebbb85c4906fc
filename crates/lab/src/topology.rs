//! The lab's hosts in the kernel, and how they follow a scene by difference.
//!
//! ```text
//!               router (the lab's first namespace, no rules)
//!              ╱        │         ╲
//!         node-1      node-2      outside host
//!        ╱   │   ╲       │
//!     pod   pod   pod   pod       each link a veth pair; the gateway of every link is 169.254.1.1, fe80::1
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use nix::net::if_::if_nametoindex;
use podwall_netlink::Kernel;
use podwall_policy::ObjectKey;
use podwall_ruleset::{Known, Ruleset, diff};

use crate::error::LabError;
use crate::namespace::NetworkNamespace;
use crate::rtnetlink::{Route, Rtnetlink, VethEnd, gateway};
use crate::scene::{Families, Party, PodPlace, Scene, short_hash};
use crate::sysctl;

/// What a pod, a node or an outside host calls its only link.
const INNER_INTERFACE: &str = "eth0";
/// One address of each family, to make gateways of.
const ANY_IPV4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
const ANY_IPV6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

/// All hosts as they are now.
pub struct Topology {
    families: Families,
    router: Host,
    nodes: BTreeMap<Arc<str>, Node>,
    pods: BTreeMap<ObjectKey, Pod>,
    outside: BTreeMap<Arc<str>, NetworkNamespace>,
}

/// A namespace that others are linked to.
struct Host {
    namespace: NetworkNamespace,
    rtnetlink: Rtnetlink,
    /// Its own addresses, to prefer as source towards its links; the router has none.
    addresses: Vec<IpAddr>,
    /// Links that may not be ready yet.
    new_links: Vec<NewLink>,
}

struct Node {
    host: Host,
    /// The router's side of its link.
    link: Link,
    kernel: Kernel,
    policy: Known,
    services: Known,
}

struct Pod {
    namespace: NetworkNamespace,
    place: PodPlace,
}

struct Link {
    name: String,
    index: u32,
}

/// A link that the kernel has acknowledged, and goes on making.
struct NewLink {
    name: String,
    index: u32,
    gateways: Vec<IpAddr>,
    /// A socket at the other end.
    inner: Rtnetlink,
    inner_index: u32,
    inner_addresses: Vec<IpAddr>,
}

/// Which of a node's two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// What the compiler made of the policies.
    Policy,
    /// What stands in for kube-proxy.
    Services,
}

impl Topology {
    /// The router alone, in the namespace that this thread is in.
    pub fn new(families: Families) -> Result<Self, LabError> {
        sysctl::prepare(true, families.ipv6)?;
        let mut rtnetlink = Rtnetlink::open()?;
        rtnetlink.set_up("lo")?;
        let router = Host {
            namespace: NetworkNamespace::current()?,
            rtnetlink,
            addresses: Vec::new(),
            new_links: Vec::new(),
        };
        Ok(Self { families, router, nodes: BTreeMap::new(), pods: BTreeMap::new(), outside: BTreeMap::new() })
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
        Ok(gone)
    }

    fn remove_pod(&mut self, key: &ObjectKey) -> Result<(), LabError> {
        let Some(pod) = self.pods.remove(key) else { return Ok(()) };
        let Some(node) = self.nodes.get_mut(&pod.place.node) else { return Ok(()) };
        if let Some(interface) = &pod.place.interface {
            node.host.rtnetlink.delete_link(interface.as_str())?;
        }
        for address in &pod.place.addresses {
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
                let link = format!("host{}", short_hash(name));
                let (namespace, _) = self.router.attach(&link, addresses, false, self.families)?;
                self.outside.insert(name.clone(), namespace);
            }
        }
        Ok(())
    }

    fn make_node(&mut self, name: &Arc<str>, addresses: &[IpAddr]) -> Result<Node, LabError> {
        let link_name = format!("node{}", short_hash(name));
        let (namespace, index) = self.router.attach(&link_name, addresses, true, self.families)?;
        let (rtnetlink, kernel) = namespace.enter(|| (Rtnetlink::open(), Kernel::open()))?;
        let kernel = kernel.map_err(|error| LabError::machine(format!("node {name}"), error))?;
        Ok(Node {
            host: Host {
                namespace,
                rtnetlink: rtnetlink?,
                addresses: addresses.to_vec(),
                new_links: Vec::new(),
            },
            link: Link { name: link_name, index },
            kernel,
            policy: Known::Unknown,
            services: Known::Unknown,
        })
    }

    /// Makes the pods that are missing. Their nodes' policy must be in force by then.
    pub fn add_pods(&mut self, scene: &Scene) -> Result<(), LabError> {
        for (key, place) in &scene.pods {
            let Some(interface) = &place.interface else { continue };
            if self.pods.contains_key(key) {
                continue;
            }
            let node = self.nodes.get_mut(&place.node).expect("pods are only placed on nodes");
            let (namespace, _) =
                node.host.attach(interface.as_str(), &place.addresses, false, self.families)?;
            for address in &place.addresses {
                self.router.rtnetlink.add_route(&node.underlay_route(*address))?;
            }
            self.pods.insert(key.clone(), Pod { namespace, place: place.clone() });
        }
        Ok(())
    }

    /// Waits until all new links pass packets.
    pub fn wait_for_links(&mut self) -> Result<(), LabError> {
        self.router.wait_for_links()?;
        self.nodes.values_mut().try_for_each(|node| node.host.wait_for_links())
    }

    /// Brings a table of a node to `ruleset` and waits for the kernel's acknowledgement. Without `write` the
    /// kernel hears nothing.
    pub fn apply(
        &mut self,
        node: &str,
        table: TableKind,
        ruleset: Ruleset,
        write: bool,
    ) -> Result<(), LabError> {
        let Some(node_state) = self.nodes.get_mut(node) else { return Ok(()) };
        let known = match table {
            TableKind::Policy => &mut node_state.policy,
            TableKind::Services => &mut node_state.services,
        };
        let transaction = diff(known, &ruleset);
        if write && !transaction.is_empty() {
            let applied = node_state.kernel.apply(&transaction);
            applied.map_err(|error| LabError::machine(format!("node {node}"), error))?;
        }
        *known = Known::Exactly(ruleset);
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

/// True when a pod need not be made anew; its ports may differ.
fn same_link(one: &PodPlace, other: &PodPlace) -> bool {
    one.node == other.node && one.addresses == other.addresses && one.interface == other.interface
}

impl Node {
    /// How the router reaches an address of a pod here.
    fn underlay_route(&self, address: IpAddr) -> Route {
        let via = self.host.addresses.iter().copied().find(|own| own.is_ipv4() == address.is_ipv4());
        Route { to: Some(address), via, interface: self.link.index, source: None }
    }
}

impl Host {
    /// Makes a namespace at the far end of a new link, with these addresses and a default route to us. Returns
    /// it with the index of our side of the link.
    fn attach(
        &mut self,
        link: &str,
        addresses: &[IpAddr],
        forwarding: bool,
        families: Families,
    ) -> Result<(NetworkNamespace, u32), LabError> {
        let namespace = NetworkNamespace::create()?;
        namespace.enter(|| sysctl::prepare(forwarding, families.ipv6))??;
        let ours = VethEnd { name: link, namespace: &self.namespace };
        let theirs = VethEnd { name: INNER_INTERFACE, namespace: &namespace };
        self.rtnetlink.add_veth(&ours, &theirs)?;
        let index = self.namespace.enter(|| interface_index(link))??;
        let families = [ANY_IPV4, ANY_IPV6].into_iter().filter(|any| families.contain(*any));
        let gateways: Vec<IpAddr> = families.map(gateway).collect();
        for gateway in &gateways {
            self.rtnetlink.add_address(index, *gateway, true)?;
        }
        self.rtnetlink.set_up(link)?;
        let (inner, inner_index) = namespace.enter(|| set_up_inside(addresses))??;
        for address in addresses {
            let source = self.addresses.iter().copied().find(|own| own.is_ipv4() == address.is_ipv4());
            self.rtnetlink.add_route(&Route { to: Some(*address), via: None, interface: index, source })?;
        }
        let (name, inner_addresses) = (link.to_owned(), addresses.to_vec());
        self.new_links.push(NewLink { name, index, gateways, inner, inner_index, inner_addresses });
        Ok((namespace, index))
    }

    fn wait_for_links(&mut self) -> Result<(), LabError> {
        self.new_links.drain(..).try_for_each(|link| link.wait(&mut self.rtnetlink))
    }
}

impl NewLink {
    fn wait(mut self, outer: &mut Rtnetlink) -> Result<(), LabError> {
        outer.wait_until_ready(&self.name)?;
        // Each end is told apart, and until then it has no IPv6.
        self.inner.wait_until_ready(INNER_INTERFACE)?;
        for gateway in self.gateways {
            outer.wait_until_local(gateway, self.index)?;
        }
        for address in self.inner_addresses {
            self.inner.wait_until_local(address, self.inner_index)?;
        }
        Ok(())
    }
}

/// The far end's side, from inside.
fn set_up_inside(addresses: &[IpAddr]) -> Result<(Rtnetlink, u32), LabError> {
    let mut rtnetlink = Rtnetlink::open()?;
    let interface = interface_index(INNER_INTERFACE)?;
    rtnetlink.set_up("lo")?;
    rtnetlink.set_up(INNER_INTERFACE)?;
    let mut routed = BTreeSet::new();
    for address in addresses {
        rtnetlink.add_address(interface, *address, false)?;
        // The first address of a family is the one to be seen by.
        if routed.insert(address.is_ipv4()) {
            let via = gateway(*address);
            if via.is_ipv4() {
                rtnetlink.add_route(&Route { to: Some(via), via: None, interface, source: None })?;
            }
            rtnetlink.add_route(&Route { to: None, via: Some(via), interface, source: Some(*address) })?;
        }
    }
    Ok((rtnetlink, interface))
}

fn interface_index(name: &str) -> Result<u32, LabError> {
    if_nametoindex(name)
        .map_err(|error| LabError::machine(format!("cannot find the interface {name}"), error))
}
