//! Classes of pods that no policy of either state can tell apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use podwall_policy::{
    Cluster, LabelSelector, Labels, Mode, NetworkPolicy, ObjectKey, Peer, Peers, Pod, PortMatch, Ports,
    Protocol, Rule,
};

use super::ports::Range;
use crate::field::Direction;
use crate::party::workload_name;
use crate::snapshot::Snapshot;

/// Pods that no policy can tell apart, before and after.
#[derive(Debug)]
pub struct Class {
    pub namespace: Arc<str>,
    pub pods: Vec<ObjectKey>,
    /// The workloads they are of; the pods themselves where they are of none.
    pub names: BTreeSet<String>,
    /// True unless all is as it was: what policies see of the pods, and the policies that isolate them.
    pub changed: bool,
    /// The ports that egress rules of their policies name.
    pub sends: Vec<Range>,
    /// The ports that ingress rules of their policies name.
    pub receives: Vec<Range>,
    /// The ports of theirs that have names which policies use.
    pub named: Vec<Range>,
}

/// Everything that policies of both states ask of pods.
#[derive(Debug, Default)]
pub struct Asked {
    selectors: BTreeSet<LabelSelector>,
    /// `cidr` and `except`
    pub blocks: BTreeSet<IpNet>,
    names: BTreeSet<Arc<str>>,
}

impl Asked {
    pub fn of(before: &Snapshot, after: &Snapshot) -> Self {
        let mut asked = Self::default();
        for policy in [before, after].into_iter().flat_map(|it| it.cluster.policies.values()) {
            asked.selectors.insert(policy.pod_selector.clone());
            Direction::BOTH
                .iter()
                .flat_map(|it| it.rules(policy).unwrap_or_default())
                .for_each(|it| asked.add(it));
        }
        asked
    }

    fn add(&mut self, rule: &Rule) {
        let peers = match &rule.peers {
            Peers::Any => &[][..],
            Peers::Only(peers) => peers,
        };
        for peer in peers {
            match peer {
                Peer::Pods { pods, .. } => drop(self.selectors.insert(pods.clone())),
                Peer::Block(block) => self.blocks.extend(block.except.iter().chain([&block.cidr])),
                Peer::Unreadable => {}
            }
        }
        let Ports::Only(ports) = &rule.ports else { return };
        self.names.extend(ports.iter().filter_map(|port| match port {
            PortMatch::Named { name, .. } => Some(name.clone()),
            PortMatch::Range { .. } | PortMatch::Unreadable => None,
        }));
    }
}

/// What policies see of a pod in one state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    selected: Vec<bool>,
    /// For each address its family and the blocks it is in.
    addresses: Vec<(bool, Vec<bool>)>,
    named: BTreeSet<(Arc<str>, Protocol, u16)>,
}

impl Seen {
    fn new(asked: &Asked, pod: &Pod) -> Self {
        let in_blocks = |address: &IpAddr| {
            (address.is_ipv4(), asked.blocks.iter().map(|block| block.contains(address)).collect())
        };
        let named = pod.ports.iter().filter_map(|port| {
            let name = port.name.as_ref().filter(|name| asked.names.contains(*name))?;
            Some((name.clone(), port.protocol, port.port))
        });
        Self {
            selected: asked.selectors.iter().map(|selector| selector.matches(&pod.labels)).collect(),
            addresses: pod.addresses.iter().map(in_blocks).collect(),
            named: named.collect(),
        }
    }
}

/// The classes, in the order of namespaces.
pub fn classes(before: &Snapshot, after: &Snapshot) -> Vec<Class> {
    let asked = Asked::of(before, after);
    let owner: BTreeMap<&ObjectKey, String> = after
        .workloads
        .iter()
        .flat_map(|(workload, pods)| pods.iter().map(move |pod| (pod, workload_name(workload))))
        .collect();
    let mut found: BTreeMap<(Arc<str>, Seen, Seen), Class> = BTreeMap::new();
    let (owns_before, owns_after) = (owning(&before.cluster), owning(&after.cluster));
    for key in owns_before.intersection(&owns_after) {
        let (earlier, later) = (&before.cluster.pods[*key], &after.cluster.pods[*key]);
        let (seen_before, seen_after) = (Seen::new(&asked, earlier), Seen::new(&asked, later));
        let namespace = key.namespace.clone();
        let class = found.entry((namespace, seen_before, seen_after)).or_insert_with_key(|(_, was, is)| {
            let changed =
                was != is || surroundings(&before.cluster, key) != surroundings(&after.cluster, key);
            Class::new([before, after], key, changed, is.named.union(&was.named))
        });
        class.names.insert(owner.get(key).cloned().unwrap_or_else(|| key.to_string()));
        class.pods.push((*key).clone());
    }
    found.into_values().collect()
}

/// The pods that take part and own all their addresses.
fn owning(cluster: &Cluster) -> BTreeSet<&ObjectKey> {
    let owners = cluster.address_owners();
    let owns = |key: &ObjectKey, pod: &Pod| {
        !pod.addresses.is_empty() && pod.addresses.iter().all(|address| owners.get(address) == Some(&key))
    };
    cluster.pods.iter().filter(|(key, pod)| pod.takes_part() && owns(key, pod)).map(|(key, _)| key).collect()
}

/// A policy with its rules of both directions.
type Isolating<'c> = (&'c ObjectKey, [Option<&'c [Rule]>; 2]);

/// What is around a pod: the labels of its namespace, and the policies in force that select it without their places.
fn surroundings<'c>(cluster: &'c Cluster, key: &ObjectKey) -> (Labels, Vec<Isolating<'c>>) {
    let in_force = selecting(cluster, key).filter(|(name, it)| cluster.mode(name, it) == Mode::Enforce);
    let policies = in_force.map(|(name, policy)| (name, Direction::BOTH.map(|it| it.rules(policy))));
    (cluster.namespace_labels(&key.namespace), policies.collect())
}

/// The policies that select a pod.
pub fn selecting<'c>(
    cluster: &'c Cluster,
    key: &ObjectKey,
) -> impl Iterator<Item = (&'c ObjectKey, &'c NetworkPolicy)> {
    let labels = cluster.pods.get(key).map(|pod| &pod.labels);
    cluster.policies.iter().filter(move |(name, policy)| {
        name.namespace == key.namespace && labels.is_some_and(|labels| policy.pod_selector.matches(labels))
    })
}

impl Class {
    fn new<'n>(
        states: [&Snapshot; 2],
        key: &ObjectKey,
        changed: bool,
        named: impl Iterator<Item = &'n (Arc<str>, Protocol, u16)>,
    ) -> Self {
        let ranges = |direction: Direction| {
            let policies = states.into_iter().flat_map(|state| selecting(&state.cluster, key));
            let rules = policies.flat_map(move |(_, policy)| direction.rules(policy).unwrap_or_default());
            let found: BTreeSet<Range> = rules.flat_map(named_ranges).collect();
            found.into_iter().collect()
        };
        Self {
            namespace: key.namespace.clone(),
            pods: Vec::new(),
            names: BTreeSet::new(),
            changed,
            sends: ranges(Direction::Egress),
            receives: ranges(Direction::Ingress),
            named: named
                .map(|(_, protocol, port)| Range { protocol: *protocol, first: *port, last: *port })
                .collect(),
        }
    }
}

fn named_ranges(rule: &Rule) -> impl Iterator<Item = Range> {
    let ports = match &rule.ports {
        Ports::Any => &[][..],
        Ports::Only(ports) => ports,
    };
    ports.iter().filter_map(|port| match port {
        PortMatch::Range { protocol, first, last } => {
            Some(Range { protocol: *protocol, first: *first, last: *last })
        }
        PortMatch::Named { .. } | PortMatch::Unreadable => None,
    })
}
