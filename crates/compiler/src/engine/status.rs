//! What people and metrics ask of the engine.

use std::net::IpAddr;

use podwall_policy::ObjectKey;
use podwall_ruleset::Name;

use super::Engine;
use crate::Attachment;
use crate::program::Direction;

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods of the cluster, whether they take part in policy or not.
    pub pods: usize,
    /// Pods of this node that take part in policy.
    pub local_pods: usize,
    /// Namespaces that were set.
    pub namespaces: usize,
    /// Policies of the cluster.
    pub policies: usize,
    /// Tables that the kernel should hold.
    pub tables: usize,
    /// Named sets and maps in them.
    pub sets: usize,
    /// Elements in those.
    pub elements: usize,
    /// Chains.
    pub chains: usize,
    /// Rules.
    pub rules: usize,
}

/// A pod of this node as it is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPodState {
    /// The pod.
    pub key: ObjectKey,
    /// The addresses that it owns (S84).
    pub addresses: Vec<IpAddr>,
    /// How it is attached, if that is known.
    pub attachment: Option<Attachment>,
    /// The chain that judges what it is sent; `None` when it is not isolated for ingress.
    pub ingress: Option<Name>,
    /// The chain that judges what it sends; `None` when it is not isolated for egress.
    pub egress: Option<Name>,
    /// The policies that isolate it in either direction, sorted.
    pub policies: Vec<ObjectKey>,
}

impl Engine {
    /// How much there is, of this node as it was when the changes were asked for last. Cheap: nothing is counted one by
    /// one but chains and sets.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            pods: self.census.pods.len(),
            local_pods: self.node.pods.len(),
            namespaces: self.namespace_names().count(),
            policies: self.node.policies.all().len(),
            tables: 1 + usize::from(self.node.has_frames()),
            ..Counts::default()
        };
        for (_, chain) in self.node.layout.chains() {
            counts.chains += 1;
            counts.rules += chain.rules.len();
        }
        for (_, set) in self.node.layout.sets() {
            counts.sets += 1;
            counts.elements += set.elements.len();
        }
        for (id, live) in self.census.selections.iter().filter(|(_, live)| live.references > 0) {
            counts.sets += live.names.len();
            counts.elements += self.census.element_count(id);
        }
        counts
    }

    /// The pods of this node that take part in policy, sorted by name, as they were when the changes were asked for
    /// last.
    pub fn local_pods(&self) -> Vec<LocalPodState> {
        let state = |pod: &crate::local::LocalPod| {
            let groups = [&pod.enforced.ingress, &pod.enforced.egress].into_iter().flatten();
            let mut policies: Vec<ObjectKey> = groups.flat_map(|group| group.policies.clone()).collect();
            policies.sort_unstable();
            policies.dedup();
            LocalPodState {
                key: pod.key.clone(),
                addresses: pod.addresses.clone(),
                attachment: pod.attachment.clone(),
                ingress: pod.enforced.chain(Direction::Ingress).cloned(),
                egress: pod.enforced.chain(Direction::Egress).cloned(),
                policies,
            }
        };
        self.node.pods.values().map(state).collect()
    }
}
