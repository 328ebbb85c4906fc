//! Clusters and connections for properties.

use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::{
    Cluster, ContainerPort, Endpoint, Flow, IpBlock, LabelSelector, Labels, Mode, NAMESPACE_NAME_LABEL,
    Namespaces, NetworkPolicy, Node, ObjectKey, Operator, Peer, Peers, Pod, PortMatch, Ports, Protocol,
    Requirement, Rule, Transport,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The namespaces that pods and policies are in.
pub const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const NODES: [&str; 2] = ["node-1", "node-2"];
const KEYS: [&str; 3] = ["app", "tier", "kubernetes.io/metadata.name"];
const VALUES: [&str; 4] = ["a", "b", "", "x"];
const PORTS: [u16; 8] = [53, 67, 79, 80, 81, 547, 8080, 65535];
const PORT_NAMES: [&str; 3] = ["http", "dns", "nowhere"];

/// One of some texts.
pub fn text(choices: &'static [&'static str]) -> impl Strategy<Value = Arc<str>> {
    select(choices).prop_map(Arc::from)
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(&Protocol::ALL[..])
}

/// Labels of a pod or namespace.
pub fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map(text(&KEYS[..2]), text(&VALUES), 0..3)
}

fn selector() -> impl Strategy<Value = LabelSelector> {
    let values = || prop::collection::btree_set(text(&VALUES), 1..3);
    let operator = prop_oneof![
        4 => values().prop_map(Operator::In),
        2 => values().prop_map(Operator::NotIn),
        1 => Just(Operator::Exists),
        1 => Just(Operator::DoesNotExist),
    ];
    let requirement = (text(&KEYS), operator).prop_map(|(key, operator)| Requirement { key, operator });
    prop::collection::vec(requirement, 0..3).prop_map(LabelSelector::new)
}

/// Blocks around the addresses that pods, nodes and outside hosts have.
fn block() -> impl Strategy<Value = IpBlock> {
    let cidr = select(
        &[
            "0.0.0.0/0",
            "::/0",
            "10.244.0.0/16",
            "10.244.0.0/30",
            "10.244.0.2/32",
            "10.244.1.0/24",
            "172.18.0.0/16",
            "203.0.113.0/24",
            "0.0.0.0/1",
            "128.0.0.0/1",
            "fd00::/16",
            "fd00:10:244::/64",
            "fd00:10:244::2/128",
        ][..],
    );
    (cidr, prop::collection::vec(0u8..=255, 0..3)).prop_map(|(cidr, cuts)| {
        let cidr: ipnet::IpNet = cidr.parse().unwrap();
        let cut = |bits: &u8| {
            let length = (cidr.prefix_len() + 1 + bits % 8).min(cidr.max_prefix_len());
            cidr.subnets(length).ok()?.nth(usize::from(bits / 8) % (1 << (length - cidr.prefix_len()).min(8)))
        };
        let except = cuts.iter().filter_map(cut).filter(|it| it.prefix_len() > cidr.prefix_len()).collect();
        IpBlock { cidr, except }
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    let namespaces = prop_oneof![Just(Namespaces::Own), selector().prop_map(Namespaces::Selected)];
    prop_oneof![
        5 => (namespaces, selector()).prop_map(|(namespaces, pods)| Peer::Pods { namespaces, pods }),
        3 => block().prop_map(Peer::Block),
        1 => Just(Peer::Unreadable),
    ]
}

fn port_match() -> impl Strategy<Value = PortMatch> {
    let range = (protocol(), select(&PORTS[..]), select(&PORTS[..]))
        .prop_map(|(protocol, a, b)| PortMatch::Range { protocol, first: a.min(b), last: a.max(b) });
    let single = (protocol(), select(&PORTS[..])).prop_map(|(protocol, port)| PortMatch::Range {
        protocol,
        first: port,
        last: port,
    });
    prop_oneof![
        4 => single,
        2 => range,
        1 => protocol().prop_map(|protocol| PortMatch::Range { protocol, first: 0, last: u16::MAX }),
        3 => (protocol(), text(&PORT_NAMES)).prop_map(|(protocol, name)| PortMatch::Named { protocol, name }),
        1 => Just(PortMatch::Unreadable),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let peers = prop_oneof![
        1 => Just(Peers::Any),
        5 => prop::collection::vec(peer(), 1..7).prop_map(Peers::Only),
    ];
    let ports = prop_oneof![
        1 => Just(Ports::Any),
        3 => prop::collection::vec(port_match(), 1..4).prop_map(Ports::Only),
    ];
    (peers, ports).prop_map(|(peers, ports)| Rule { peers, ports })
}

/// A policy.
pub fn policy() -> impl Strategy<Value = NetworkPolicy> {
    let rules = || prop::option::weighted(0.6, prop::collection::vec(rule(), 0..4));
    let pod_selector = prop_oneof![Just(LabelSelector::default()), selector()];
    let mode = prop_oneof![8 => Just(None), 2 => Just(Some(Mode::Audit)), 1 => Just(Some(Mode::Enforce))];
    (pod_selector, rules(), rules(), mode).prop_map(|(pod_selector, ingress, egress, mode)| NetworkPolicy {
        pod_selector,
        ingress,
        egress,
        mode,
        location: None,
    })
}

/// A pod without addresses, and its namespace.
pub fn pod() -> impl Strategy<Value = (Arc<str>, Pod)> {
    let ports = prop::collection::vec(
        (prop::option::of(text(&PORT_NAMES[..2])), select(&PORTS[..]), protocol())
            .prop_map(|(name, port, protocol)| ContainerPort { name, port, protocol }),
        0..4,
    );
    let kind = prop_oneof![10 => Just((false, false)), 1 => Just((true, false)), 1 => Just((false, true))];
    let started = select(&["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"][..]).prop_map(Arc::from);
    (text(&NAMESPACES), labels(), text(&NODES), ports, kind, started).prop_map(
        |(namespace, labels, node, ports, (host_network, finished), started)| {
            let pod = Pod {
                labels,
                node: Some(node),
                addresses: Vec::new(),
                host_network,
                finished,
                terminating: false,
                started,
                ports,
                anti_spoofing: None,
                location: None,
            };
            (namespace, pod)
        },
    )
}

/// The addresses of a pod's number, of those families whose bits are set. Two pods may be given one number (S84).
pub fn addresses(number: usize, families: u8) -> Vec<IpAddr> {
    let addresses = [format!("10.244.0.{}", 2 + number), format!("fd00:10:244::{}", 2 + number)];
    let wanted = addresses.iter().enumerate().filter(|(family, _)| families >> family & 1 == 1);
    wanted.map(|(_, address)| address.parse().unwrap()).collect()
}

/// Any cluster: pods of both families on two nodes, some of them finished, on the host's network or with an
/// address that another pod has too.
pub fn cluster() -> impl Strategy<Value = Cluster> {
    let namespaces = prop::collection::btree_map(text(&NAMESPACES), labels(), 0..=3);
    let pods = prop::collection::vec((pod(), prop::bool::weighted(0.1), 1u8..=3), 1..9);
    let policies = prop::collection::vec((text(&NAMESPACES), policy()), 1..9);
    let audited = prop::collection::btree_set(text(&NAMESPACES), 0..2);
    (namespaces, pods, policies, audited).prop_map(|(namespaces, pods, policies, audited_namespaces)| {
        let mut cluster = Cluster { namespaces, audited_namespaces, ..Cluster::default() };
        for (name, labels) in &mut cluster.namespaces {
            labels.insert(NAMESPACE_NAME_LABEL.into(), name.clone());
        }
        for (index, name) in NODES.iter().enumerate() {
            let addresses = [format!("172.18.0.{}", 10 + index), format!("fc00::{}", 10 + index)];
            let addresses = addresses.iter().map(|it| it.parse().unwrap()).collect();
            cluster.nodes.insert((*name).into(), Node { addresses });
        }
        for (index, ((namespace, mut pod), shared, families)) in pods.into_iter().enumerate() {
            pod.addresses = addresses(if shared { 0 } else { index }, families);
            if pod.host_network {
                pod.addresses = cluster.nodes[pod.node.as_ref().unwrap()].addresses.clone();
            }
            cluster.pods.insert(ObjectKey::new(namespace, format!("pod-{index}")), pod);
        }
        for (index, (namespace, policy)) in policies.into_iter().enumerate() {
            cluster.policies.insert(ObjectKey::new(namespace, format!("policy-{index}")), policy);
        }
        cluster
    })
}

/// How a connection is chosen from whatever cluster it will run in.
pub type FlowSeed = (Index, Index, bool, Transport);

/// Chooses a connection.
pub fn flow_seed() -> impl Strategy<Value = FlowSeed> {
    let port = prop_oneof![
        select(&PORTS[..]),
        select(&PORTS[..]).prop_map(|port| port.wrapping_add(1)),
        any::<u16>()
    ];
    let transport = prop_oneof![
        6 => (protocol(), port).prop_map(|(protocol, port)| Transport::Port(protocol, port)),
        1 => Just(Transport::Other),
    ];
    (any::<Index>(), any::<Index>(), any::<bool>(), transport)
}

/// The connection that a seed means in a cluster, if there is one: both ends of one family, not both outside, and
/// pods only by addresses that they own.
pub fn flow(cluster: &Cluster, (from, to, ipv4, transport): &FlowSeed) -> Option<Flow> {
    let owners = cluster.address_owners();
    let mut ends: Vec<Endpoint> = Vec::new();
    for (address, key) in &owners {
        ends.push(Endpoint::Pod { pod: (*key).clone(), address: *address });
    }
    for (node, it) in &cluster.nodes {
        ends.extend(
            it.addresses.iter().map(|address| Endpoint::Node { node: node.clone(), address: *address }),
        );
    }
    for outside in ["203.0.113.98", "203.0.113.99", "2001:db8::98"] {
        ends.push(Endpoint::Outside(outside.parse().unwrap()));
    }
    ends.retain(|end| end.address().is_ipv4() == *ipv4);
    let (from, to) = (from.get(&ends).clone(), to.get(&ends).clone());
    let is_pod = |end: &Endpoint| matches!(end, Endpoint::Pod { .. });
    (is_pod(&from) || is_pod(&to)).then_some(Flow { from, to, transport: *transport })
}
