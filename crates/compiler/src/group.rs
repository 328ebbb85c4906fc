//! Groups: the local pods that are subject to the same program.
//!
//! What makes a group is which policies isolate its pods and what those policies' port names mean on them. Pods
//! of a group share one chain, so that a hundred replicas cost what one costs.

use std::collections::BTreeMap;
use std::sync::Arc;

use podwall_policy::{ContainerPort, Labels, NetworkPolicy, ObjectKey, PortMatch, Ports, Rule};

use crate::program::{Direction, Program, ResolvedPorts};

/// The policies of the cluster.
pub type Policies = BTreeMap<ObjectKey, NetworkPolicy>;

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
    pub fn of(
        policies: &Policies,
        direction: Direction,
        namespace: &Arc<str>,
        labels: &Labels,
        ports: &[ContainerPort],
    ) -> Option<Self> {
        let isolating: Vec<(&ObjectKey, &[Rule])> = policies
            .range(ObjectKey::new(namespace.clone(), "")..)
            .take_while(|(key, _)| key.namespace == *namespace)
            .filter(|(_, policy)| policy.pod_selector.matches(labels))
            .filter_map(|(key, policy)| Some((key, rules(policy, direction)?)))
            .collect();
        if isolating.is_empty() {
            return None;
        }
        let resolved = match direction {
            Direction::Ingress => resolve(isolating.iter().flat_map(|(_, rules)| *rules), ports),
            Direction::Egress => ResolvedPorts::new(),
        };
        let policies = isolating.into_iter().map(|(key, _)| key.clone()).collect();
        Some(Self { direction, namespace: namespace.clone(), policies, resolved })
    }

    /// What the policies allow together.
    pub fn program(&self, policies: &Policies) -> Program {
        let rules = self.policies.iter().flat_map(|key| {
            let rules = policies.get(key).and_then(|it| rules(it, self.direction)).unwrap_or_default();
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
fn resolve<'a>(rules: impl Iterator<Item = &'a Rule>, ports: &[ContainerPort]) -> ResolvedPorts {
    let mut resolved = ResolvedPorts::new();
    for rule in rules {
        let Ports::Only(named) = &rule.ports else { continue };
        for port in named {
            let PortMatch::Named { protocol, name } = port else { continue };
            let declared =
                ports.iter().filter(|it| it.name.as_ref() == Some(name) && it.protocol == *protocol);
            let numbers = resolved.entry((*protocol, name.clone())).or_default();
            numbers.extend(declared.map(|it| it.port));
        }
    }
    resolved
}
