//! What policies say of pods: each selection is a pair of sets, one for each family, that holds the addresses of
//! the pods it selects. Sets are shared by all chains of the node that look the same selection up.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::{ContainerPort, Labels, Protocol};
use podwall_ruleset::{Comment, IpFamily, Key, Name, Set, Value, ValueType};

use crate::name;
use crate::peers::PodPeer;
use crate::program::NamedPort;
use crate::value::{address_type, address_value, protocol_of};

/// Pods, by what policies say of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selection {
    /// The addresses of the pods that any of the peers selects: one peer, or a union of many.
    Pods(BTreeSet<PodPeer>),
    /// Address, protocol and number of the ports that pods call by these names.
    NamedPorts(BTreeSet<NamedPort>),
}

/// Pods of one namespace with the same labels.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The namespace.
    pub namespace: &'a Arc<str>,
    /// The namespace's labels, its name included (S48).
    pub namespace_labels: &'a Labels,
    /// The pods' labels.
    pub labels: &'a Labels,
}

/// One element of a selection's set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The address of a pod.
    pub address: IpAddr,
    /// The port, if the set is of ports.
    pub port: Option<(Protocol, u16)>,
}

impl Selection {
    /// The names of the sets, one for each of [`FAMILIES`](crate::value::FAMILIES).
    pub fn names(&self) -> [Name; 2] {
        match self {
            Selection::Pods(peers) => match peers.first() {
                Some(peer) if peers.len() == 1 => name::pod_sets(peer),
                _ => name::union_sets(peers),
            },
            Selection::NamedPorts(named) => name::named_port_sets(named),
        }
    }

    /// The set of a family, without its elements.
    pub fn definition(&self, family: IpFamily) -> Set {
        match self {
            Selection::Pods(peers) => {
                let comment = match peers.first() {
                    Some(peer) if peers.len() == 1 => name::pod_set_comment(peer),
                    _ => Comment::new(&format!("{} selectors together", peers.len())),
                };
                Set::new(&[address_type(family)]).with_comment(comment)
            }
            Selection::NamedPorts(named) => {
                let names: BTreeSet<String> =
                    named.iter().map(|it| format!("{} {}", it.protocol, it.name)).collect();
                let names: Vec<String> = names.into_iter().collect();
                let comment = Comment::new(&format!("ports by name: {}", names.join(", ")));
                Set::new(&[address_type(family), ValueType::Protocol, ValueType::Port]).with_comment(comment)
            }
        }
    }

    /// All peers by selector, in whatever role.
    pub fn pod_peers(&self) -> Vec<&PodPeer> {
        match self {
            Selection::Pods(peers) => peers.iter().collect(),
            Selection::NamedPorts(named) => named.iter().flat_map(|it| &it.peers.pods).collect(),
        }
    }

    /// True when it may hold pods that no selector of it selects: of any peer, or by block.
    pub fn reaches_everyone(&self) -> bool {
        match self {
            Selection::Pods(_) => false,
            Selection::NamedPorts(named) => {
                named.iter().any(|it| it.peers.any || !it.peers.blocks.is_empty())
            }
        }
    }

    /// True when it may hold pods of this identity: of no other one does it hold any.
    pub fn concerns(&self, identity: Identity<'_>) -> bool {
        self.reaches_everyone() || self.pod_peers().iter().any(|peer| peer.selects(identity))
    }

    /// What it holds of one address of a pod of an identity that it concerns. Each pod has its own numbers, never the
    /// product of all pods and all numbers (S102). Of a block, the pods in it; of any peer, all pods; never an
    /// address that is no pod's (S104).
    pub fn members(
        &self,
        identity: Identity<'_>,
        ports: &[ContainerPort],
        address: IpAddr,
        mut hold: impl FnMut(Member),
    ) {
        let Selection::NamedPorts(named) = self else {
            return hold(Member { address, port: None });
        };
        let mut numbers = BTreeSet::new();
        for port in ports {
            let means =
                |it: &&NamedPort| port.name.as_ref() == Some(&it.name) && port.protocol == it.protocol;
            let reached = |it: &NamedPort| {
                it.peers.any
                    || it.peers.pods.iter().any(|peer| peer.selects(identity))
                    || it.peers.holds_address(&address)
            };
            if named.iter().filter(means).any(reached) {
                numbers.insert((port.protocol, port.port));
            }
        }
        numbers.into_iter().for_each(|port| hold(Member { address, port: Some(port) }));
    }
}

impl Member {
    /// The key of the element.
    pub fn key(&self) -> Key {
        let address = address_value(self.address);
        match self.port {
            None => Key::one(address),
            Some((protocol, port)) => {
                let protocol = Value::Protocol(protocol_of(protocol));
                Key::Exact([address, protocol, Value::Port(port)].into_iter().collect())
            }
        }
    }
}
