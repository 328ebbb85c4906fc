//! What a step wants the lab to look like: which hosts there are, where, with which addresses. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use podwall_compiler::Attachment;
use podwall_policy::{Cluster, ContainerPort, Endpoint, ObjectKey, Pod};
use podwall_ruleset::{HardwareAddress, InterfaceName};

use crate::host::hardware_address;

/// Which address families take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    /// IPv4
    pub ipv4: bool,
    /// IPv6
    pub ipv6: bool,
}

impl Families {
    /// True when the address's family takes part.
    pub fn contain(self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// How pods are attached to their nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// By an interface each, as the ptp plugin does.
    #[default]
    Routed,
    /// By a bridge, as the bridge plugin does.
    Bridged,
}

/// A host outside the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideHost {
    /// What it is called in reports.
    pub name: Arc<str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Somebody who opens connections or is reached by them, as reports name them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A pod.
    Pod(ObjectKey),
    /// A node.
    Node(Arc<str>),
    /// A host outside the cluster.
    Outside(Arc<str>),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Pod(pod) => write!(f, "pod/{pod}"),
            Party::Node(name) => write!(f, "node/{name}"),
            Party::Outside(name) => write!(f, "outside/{name}"),
        }
    }
}

/// All hosts of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scene {
    /// The nodes' addresses.
    pub nodes: BTreeMap<Arc<str>, Vec<IpAddr>>,
    /// The pods; those on the host's network too.
    pub pods: BTreeMap<ObjectKey, PodPlace>,
    /// The hosts outside.
    pub outside: BTreeMap<Arc<str>, Vec<IpAddr>>,
    /// The pods that no node has been told of.
    pub unknown: BTreeSet<ObjectKey>,
    /// Where the addresses of each node's pods are from, and nobody else's.
    pub pod_networks: BTreeMap<Arc<str>, BTreeSet<IpNet>>,
}

/// Where a pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPlace {
    /// Its node.
    pub node: Arc<str>,
    /// The addresses it is reached by.
    pub addresses: Vec<IpAddr>,
    /// The host side of its link; `None` for a pod on the host's network.
    pub interface: Option<InterfaceName>,
    /// The ports its containers declare: these are listened on.
    pub ports: BTreeSet<ContainerPort>,
}

impl Scene {
    /// The hosts that `cluster` asks for. Left out are pods that have finished, pods without a node, and pods
    /// whose addresses belong to others by now.
    pub fn new(cluster: &Cluster, outside: &[OutsideHost], families: Families) -> Self {
        let keep = |addresses: &[IpAddr]| -> Vec<IpAddr> {
            addresses.iter().copied().filter(|address| families.contain(*address)).collect()
        };
        let nodes: BTreeMap<_, _> =
            cluster.nodes.iter().map(|(name, node)| (name.clone(), keep(&node.addresses))).collect();
        let owners = cluster.address_owners();
        let mut taken = BTreeSet::new();
        let mut pods = BTreeMap::new();
        for (key, pod) in cluster.pods.iter().filter(|(_, pod)| !pod.finished) {
            let Some((node, node_addresses)) = pod.node.as_ref().and_then(|node| nodes.get_key_value(node))
            else {
                continue;
            };
            let addresses = match pod.host_network {
                true => node_addresses.clone(),
                false => {
                    let owned = |address: &IpAddr| owners.get(address) == Some(&key);
                    keep(&pod.addresses).into_iter().filter(owned).collect()
                }
            };
            if addresses.is_empty() {
                continue;
            }
            let interface = (!pod.host_network).then(|| interface_name(node, key, &mut taken));
            let ports = pod.ports.iter().filter(|port| port.port > 0).cloned().collect();
            pods.insert(key.clone(), PodPlace { node: node.clone(), addresses, interface, ports });
        }
        let outside = outside.iter().map(|host| (host.name.clone(), keep(&host.addresses))).collect();
        let mut scene = Self { nodes, pods, outside, ..Self::default() };
        scene.find_pod_networks(cluster);
        scene
    }

    /// The addresses of a party.
    pub fn addresses(&self, party: &Party) -> &[IpAddr] {
        match party {
            Party::Pod(key) => self.pods.get(key).map(|place| place.addresses.as_slice()),
            Party::Node(name) => self.nodes.get(name).map(Vec::as_slice),
            Party::Outside(name) => self.outside.get(name).map(Vec::as_slice),
        }
        .unwrap_or_default()
    }

    /// The party's address of the same family as `other`.
    pub fn address_like(&self, party: &Party, other: IpAddr) -> Option<IpAddr> {
        self.addresses(party).iter().copied().find(|address| address.is_ipv4() == other.is_ipv4())
    }

    /// The party that runs the network a party is in: itself, or the node of a pod on the host's network.
    pub fn host_of(&self, party: &Party) -> Party {
        match party {
            Party::Pod(key) => match self.pods.get(key) {
                Some(place) if place.interface.is_none() => Party::Node(place.node.clone()),
                _ => party.clone(),
            },
            _ => party.clone(),
        }
    }

    /// True for a pod that no node has been told of.
    pub fn is_unknown(&self, party: &Party) -> bool {
        matches!(party, Party::Pod(key) if self.unknown.contains(key))
    }

    /// What the party is to policy. A pod that nobody knows is an address like any other.
    pub fn endpoint(&self, party: &Party, address: IpAddr) -> Endpoint {
        match self.host_of(party) {
            Party::Pod(pod) if self.unknown.contains(&pod) => Endpoint::Outside(address),
            Party::Pod(pod) => Endpoint::Pod { pod, address },
            Party::Node(node) => Endpoint::Node { node, address },
            Party::Outside(_) => Endpoint::Outside(address),
        }
    }

    /// How the pods on `node` are attached.
    pub fn attachments(&self, node: &str, layout: Layout) -> BTreeMap<ObjectKey, Attachment> {
        let attachment = |place: &PodPlace| {
            let interface = place.interface.clone()?;
            let hardware =
                || place.addresses.first().map(|address| HardwareAddress(hardware_address(*address)));
            Some(match layout {
                Layout::Routed => Attachment::Routed(interface),
                Layout::Bridged => Attachment::Bridged { port: interface, hardware_address: hardware() },
            })
        };
        let local = self.pods.iter().filter(|(_, place)| &*place.node == node);
        local.filter_map(|(key, place)| Some((key.clone(), attachment(place)?))).collect()
    }

    /// A node's range is wide where nobody else has an address in it, and a single address where somebody has.
    fn find_pod_networks(&mut self, cluster: &Cluster) {
        let mut users: BTreeMap<IpNet, BTreeSet<Option<&Arc<str>>>> = BTreeMap::new();
        let services = cluster.services.values().flat_map(|service| &service.cluster_addresses);
        let others = self.nodes.values().chain(self.outside.values()).flatten().chain(services);
        for address in others {
            users.entry(pod_range(*address)).or_default().insert(None);
        }
        let attached = || self.pods.values().filter(|place| place.interface.is_some());
        for place in attached() {
            for address in &place.addresses {
                users.entry(pod_range(*address)).or_default().insert(Some(&place.node));
            }
        }
        let mut networks: BTreeMap<Arc<str>, BTreeSet<IpNet>> = BTreeMap::new();
        for place in attached() {
            let of_node = networks.entry(place.node.clone()).or_default();
            of_node.extend(place.addresses.iter().map(|address| match users[&pod_range(*address)].len() {
                1 => pod_range(*address),
                _ => IpNet::from(*address),
            }));
        }
        self.pod_networks = networks;
    }

    /// Every host with what is listened on there: its addresses and ports.
    pub fn listening(&self) -> BTreeMap<Party, (Vec<IpAddr>, BTreeSet<ContainerPort>)> {
        let mut hosts: BTreeMap<Party, (Vec<IpAddr>, BTreeSet<ContainerPort>)> = BTreeMap::new();
        for (name, addresses) in &self.nodes {
            hosts.insert(Party::Node(name.clone()), (addresses.clone(), BTreeSet::new()));
        }
        for (name, addresses) in &self.outside {
            hosts.insert(Party::Outside(name.clone()), (addresses.clone(), BTreeSet::new()));
        }
        for (key, place) in &self.pods {
            let host = hosts.entry(self.host_of(&Party::Pod(key.clone())));
            let (_, ports) = host.or_insert_with(|| (place.addresses.clone(), BTreeSet::new()));
            ports.extend(place.ports.iter().map(|port| ContainerPort { name: None, ..port.clone() }));
        }
        hosts
    }
}

/// The network that an address of a pod is from: /24 and /64, as clusters hand them out to nodes.
fn pod_range(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 24 } else { 64 };
    IpNet::new(address, length).expect("shorter than an address").trunc()
}

/// True when a Service sends traffic to the pod, if its selector selects it.
pub fn is_ready(pod: &Pod) -> bool {
    !pod.finished && !pod.terminating
}

/// How the names of pods' interfaces begin.
pub const INTERFACE_PREFIX: &str = "veth";

/// The prefix and a hash of the pod's name, as CNI plugins do; a name that another pod of the node has is hashed
/// again.
fn interface_name(
    node: &Arc<str>,
    key: &ObjectKey,
    taken: &mut BTreeSet<(Arc<str>, InterfaceName)>,
) -> InterfaceName {
    for attempt in 0_u32.. {
        let text = if attempt == 0 { key.to_string() } else { format!("{key}#{attempt}") };
        let name = InterfaceName::new(&format!("{INTERFACE_PREFIX}{}", short_hash(&text)))
            .expect("letters and digits");
        if taken.insert((node.clone(), name.clone())) {
            return name;
        }
    }
    unreachable!("some hash is free")
}

/// FNV-1a, folded to eight hexadecimal digits: the same on every machine and in every version.
pub fn short_hash(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{:08x}", (hash >> 32) as u32 ^ hash as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, pod_on};

    fn scene(pods: Vec<(ObjectKey, Pod)>) -> Scene {
        let cluster = crate::testing::cluster(pods);
        Scene::new(&cluster, &[], Families { ipv4: true, ipv6: false })
    }

    #[test]
    fn pods_that_are_not_there_are_left_out() {
        let finished = (pod("finished").0, Pod { finished: true, ..pod("finished").1 });
        let scene = scene(vec![pod("web"), finished]);
        assert_eq!(scene.pods.keys().map(ToString::to_string).collect::<Vec<_>>(), ["default/web"]);
    }

    #[test]
    fn the_later_of_two_pods_has_the_address() {
        let (key, mut later) = pod_on("later", "node-1", "10.0.0.1");
        later.started = "2026-01-02T00:00:00Z".into();
        let scene = scene(vec![pod_on("earlier", "node-1", "10.0.0.1"), (key.clone(), later)]);
        assert_eq!(scene.pods.keys().collect::<Vec<_>>(), [&key]);
    }

    #[test]
    fn a_pod_on_the_hosts_network_is_its_node() {
        let (key, mut host) = pod("host");
        host.host_network = true;
        let scene = scene(vec![(key.clone(), host)]);
        let party = Party::Pod(key);
        assert_eq!(scene.host_of(&party), Party::Node("node-1".into()));
        let address = scene.addresses(&party)[0];
        assert_eq!(address.to_string(), "172.18.0.1");
        assert_eq!(scene.endpoint(&party, address), Endpoint::Node { node: "node-1".into(), address });
    }

    #[test]
    fn interface_names_are_unique_per_node() {
        let mut taken = BTreeSet::new();
        let key = ObjectKey::new("default", "web");
        let first = interface_name(&"node-1".into(), &key, &mut taken);
        let second = interface_name(&"node-1".into(), &key, &mut taken);
        let elsewhere = interface_name(&"node-2".into(), &key, &mut taken);
        assert_ne!(first, second);
        assert_eq!(first, elsewhere);
        assert_eq!(first.as_str().len(), 12);
    }
}
