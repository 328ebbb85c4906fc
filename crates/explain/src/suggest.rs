//! `suggest`: the policies that recorded flows ask for, and no more.
//!
//! ```text
//! flow records ─► demands: workload to workload and port ─► one policy per workload ─► YAML with the flows as comments
//!            └──► refusals: what no policy can say, or nobody knows what it was
//! ```
//!
//! The rules, each of which a property test holds:
//!
//! 1. A workload is the pods of a namespace that agree in their labels, those that controllers generate left out. A
//!    selector names all of these labels, and excludes what has more of them: it selects its workload and no other.
//! 2. Every workload that a flow was seen of gets one policy, which isolates it both ways.
//! 3. A rule allows the peers and ports that were seen together. Peers are pods by labels, in another namespace by its
//!    name; what is not a pod is an ipBlock of one address.
//! 4. DNS is the exception to 3: who asked the DNS pods over UDP or TCP may use both, because an answer that is too
//!    long for the one is asked for again over the other.
//! 5. What reaches a pod from its own node, and what a pod says to itself, needs no rule.

mod demand;
#[cfg(test)]
mod tests;
mod text;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::{FlowRecord, Protocol};

use crate::field::Direction;
use crate::snapshot::Snapshot;
use demand::{Demand, demands};
use workload::{Workload, workloads};

/// Which flows are to be allowed, and for whom policies are made.
#[derive(Debug, Clone, Default)]
pub struct SuggestOptions {
    /// Flows that were denied are to be allowed as well.
    pub denied_too: bool,
    /// Only workloads of these namespaces get policies; none means all but `kube-system`.
    pub namespaces: BTreeSet<Arc<str>>,
}

/// The policies that flows ask for.
#[derive(Debug)]
pub struct Suggestion {
    policies: Vec<SuggestedPolicy>,
    /// Flows that no policy here is for, each with the reason.
    pub refusals: Vec<String>,
}

/// The policy of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SuggestedPolicy {
    workload: Workload,
    name: String,
    ingress: Vec<SuggestedRule>,
    egress: Vec<SuggestedRule>,
}

/// Peers that were seen on the same ports.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SuggestedRule {
    peers: BTreeMap<SuggestedPeer, Vec<Evidence>>,
    ports: BTreeSet<(Protocol, u16)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SuggestedPeer {
    Workload(Workload),
    Address(IpAddr),
}

/// Flows that asked for a peer and port, as a line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Evidence(String);

impl Suggestion {
    /// What `records` ask for, their pods looked up in `snapshot`.
    pub fn new(snapshot: &Snapshot, records: &[FlowRecord], options: &SuggestOptions) -> Self {
        let workloads = workloads(snapshot);
        let (demands, refusals) = demands(snapshot, &workloads, records, options.denied_too);
        let wanted = |namespace: &Arc<str>| match options.namespaces.is_empty() {
            true => &**namespace != "kube-system",
            false => options.namespaces.contains(namespace),
        };
        let subjects: BTreeSet<&Workload> =
            demands.iter().flat_map(Demand::workloads).filter(|it| wanted(&it.namespace)).collect();
        let mut names = BTreeMap::new();
        let policy = |workload: &Workload| SuggestedPolicy {
            workload: workload.clone(),
            name: free_name(workload, &mut names),
            ingress: rules(Direction::Ingress, workload, &demands),
            egress: rules(Direction::Egress, workload, &demands),
        };
        Self { policies: subjects.into_iter().map(policy).collect(), refusals }
    }

    /// How many policies there are.
    pub fn policy_count(&self) -> usize {
        self.policies.len()
    }
}

/// `suggested-NAME`, with a number where two workloads of a namespace are called the same.
fn free_name(workload: &Workload, taken: &mut BTreeMap<(Arc<str>, String), usize>) -> String {
    let name = format!("suggested-{}", workload.name);
    let count = taken.entry((workload.namespace.clone(), name.clone())).or_default();
    *count += 1;
    if *count == 1 { name } else { format!("{name}-{count}") }
}

/// First the ports of each peer, then the peers with the same ports together: exactly what was seen, in few rules.
fn rules(direction: Direction, workload: &Workload, demands: &[Demand]) -> Vec<SuggestedRule> {
    type Seen = (BTreeSet<(Protocol, u16)>, Vec<Evidence>);
    let mut by_peer: BTreeMap<SuggestedPeer, Seen> = BTreeMap::new();
    for demand in demands {
        let Some(peer) = demand.peer_of(workload, direction) else { continue };
        let (ports, evidence) = by_peer.entry(peer).or_default();
        ports.extend(demand.ports());
        evidence.push(demand.evidence());
    }
    let mut by_ports: BTreeMap<_, BTreeMap<SuggestedPeer, Vec<Evidence>>> = BTreeMap::new();
    for (peer, (ports, evidence)) in by_peer {
        by_ports.entry(ports).or_default().insert(peer, evidence);
    }
    by_ports.into_iter().map(|(ports, peers)| SuggestedRule { peers, ports }).collect()
}
