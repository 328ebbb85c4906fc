//! Peers and ports of policies in words.

use podwall_policy::read::printable;
use podwall_policy::{Endpoint, IpBlock, LabelSelector, Labels, Namespaces, Peer, PortMatch, Requirement};

/// `pods role=frontend of its own namespace`, and so on.
pub fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Unreadable => "an entry that cannot be read".to_owned(),
        Peer::Block(it) => block(it),
        Peer::Pods { namespaces, pods } => {
            let whom = match pods.is_empty() {
                true => "all pods".to_owned(),
                false => format!("pods {}", selector(pods)),
            };
            match namespaces {
                Namespaces::Own => format!("{whom} of its own namespace"),
                Namespaces::Selected(it) if it.is_empty() => format!("{whom} of all namespaces"),
                Namespaces::Selected(it) => format!("{whom} of namespaces {}", selector(it)),
            }
        }
    }
}

/// `10.0.0.0/8 except 10.1.0.0/16`
pub fn block(block: &IpBlock) -> String {
    match block.except.as_slice() {
        [] => block.cidr.to_string(),
        some => {
            let except: Vec<String> = some.iter().map(ToString::to_string).collect();
            format!("{} except {}", block.cidr, crate::page::listed(&except, 4))
        }
    }
}

/// `TCP/80`, `TCP/8000-8080`, `TCP/http`, `TCP`
pub fn port(port: &PortMatch) -> String {
    match port {
        PortMatch::Unreadable => "an entry that cannot be read".to_owned(),
        PortMatch::Named { protocol, name } => format!("{protocol}/{name}"),
        PortMatch::Range { protocol, first: 0, last: u16::MAX } => format!("{protocol}, any port"),
        PortMatch::Range { protocol, first, last } if first == last => format!("{protocol}/{first}"),
        PortMatch::Range { protocol, first, last } => format!("{protocol}/{first}-{last}"),
    }
}

/// A selector as kubectl writes it, bounded.
pub fn selector(selector: &LabelSelector) -> String {
    match selector.is_empty() {
        true => "{} (all)".to_owned(),
        false => printable(&selector.to_string()),
    }
}

/// What of `labels` a requirement that does not hold has to do with: `has role=fronted`, `has no label role`.
pub fn has(requirement: &Requirement, labels: &Labels) -> String {
    match labels.get(&requirement.key) {
        Some(value) => format!("has {}", printable(&format!("{}={value}", requirement.key))),
        None => format!("has no label {}", printable(&requirement.key)),
    }
}

/// An end of a connection as answers name it.
pub fn endpoint(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Pod { pod, .. } => pod.to_string(),
        Endpoint::Node { node, .. } => format!("node/{node}"),
        Endpoint::Outside(address) => address.to_string(),
    }
}
