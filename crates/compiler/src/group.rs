//! Groups: the local pods that are subject to the same program.
//!
//! What makes a group is which policies isolate its pods and what those policies' port names mean on them. Pods
//! of a group share one chain, so that a hundred replicas cost what one costs.

use std::sync::Arc;

use podwall_policy::{Cluster, NetworkPolicy, ObjectKey, Pod, PortMatch, Ports, Rule};

use crate::program::{Direction, Program, ResolvedPorts};

/// What makes a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Ingress or egress.
    pub direction: Direction,
    /// The namespace of the pods and of the policies (S2).
    pub namespace: Arc<str>,
    /// The policies that isolate, sorted; never empty.
    pub policies: Vec<ObjectKey>,
    /// What the policies' port names mean on the pods; empty for egress, where the peer decides.
    pub resolved: ResolvedPorts,
}

impl Group {
    /// The group of a pod, or `None` when no policy isolates it in this direction (S3, S4).
    pub fn of(cluster: &Cluster, direction: Direction, key: &ObjectKey, pod: &Pod) -> Option<Self> {
        let in_namespace = cluster.policies.range(ObjectKey::new(key.namespace.clone(), "")..);
        let policies: Vec<ObjectKey> = in_namespace
            .take_while(|(policy, _)| policy.namespace == key.namespace)
            .filter(|(_, it)| rules(it, direction).is_some() && it.pod_selector.matches(&pod.labels))
            .map(|(policy, _)| policy.clone())
            .collect();
        if policies.is_empty() {
            return None;
        }
        let resolved = match direction {
            Direction::Ingress => resolve(cluster, &policies, pod),
            Direction::Egress => ResolvedPorts::new(),
        };
        Some(Self { direction, namespace: key.namespace.clone(), policies, resolved })
    }

    /// What the policies allow together.
    pub fn program(&self, cluster: &Cluster) -> Program {
        let rules = self.policies.iter().flat_map(|key| {
            let policy = cluster.policies.get(key);
            let rules = policy.and_then(|it| rules(it, self.direction)).unwrap_or_default();
            rules.iter().map(move |rule| (&key.namespace, rule))
        });
        Program::merge(self.direction, rules, &self.resolved)
    }
}

/// The rules of a policy for a direction; `None` when it does not isolate in it.
fn rules(policy: &NetworkPolicy, direction: Direction) -> Option<&[Rule]> {
    match direction {
        Direction::Ingress => policy.ingress.as_deref(),
        Direction::Egress => policy.egress.as_deref(),
    }
}

/// The numbers that the port names of ingress rules have on a pod: of every container that declares the name for
/// the rule's protocol (S100, S101, S105). A name that it does not declare has none, and matches nothing (S103).
fn resolve(cluster: &Cluster, policies: &[ObjectKey], pod: &Pod) -> ResolvedPorts {
    let mut resolved = ResolvedPorts::new();
    let rules = policies.iter().filter_map(|key| cluster.policies.get(key)?.ingress.as_deref()).flatten();
    for rule in rules {
        let Ports::Only(ports) = &rule.ports else { continue };
        for port in ports {
            let PortMatch::Named { protocol, name } = port else { continue };
            let declared =
                pod.ports.iter().filter(|it| it.name.as_ref() == Some(name) && it.protocol == *protocol);
            let numbers = resolved.entry((*protocol, name.clone())).or_default();
            numbers.extend(declared.map(|it| it.port));
        }
    }
    resolved
}
