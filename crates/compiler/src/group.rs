//! Groups: the local pods that are subject to the same program.
//!
//! What makes a group is which policies isolate its pods and what those policies' port names mean on them. Pods
//! of a group share one chain, so that a hundred replicas cost what one costs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podwall_policy::{
    Cluster, Consequence, ContainerPort, Labels, Mode, NetworkPolicy, ObjectKey, Peers, PortMatch, Ports,
    Problem, Rule,
};

use crate::chains::GroupChains;
use crate::program::{Direction, PAIRS_MAX, Program, ResolvedPorts};

/// The policies of the cluster.
pub type Policies = BTreeMap<ObjectKey, NetworkPolicy>;

/// What makes a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Whether it is judged by the policies that are enforced, or by all of them, to see what those in audit mode would
    /// deny.
    pub mode: Mode,
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
    /// The group of a pod that these policies select, sorted by name, or `None` when none of them isolates it in this
    /// direction (S3, S4), or none of those is in audit mode.
    pub fn of(
        selecting: &[Selecting<'_>],
        mode: Mode,
        direction: Direction,
        namespace: &Arc<str>,
        ports: &[ContainerPort],
    ) -> Option<Self> {
        let in_direction = || selecting.iter().filter(|it| rules(it.policy, direction).is_some());
        if !in_direction().any(|it| it.mode == mode) {
            return None;
        }
        let judging = in_direction().filter(|it| mode == Mode::Audit || it.mode == Mode::Enforce);
        let isolating: Vec<(&ObjectKey, &[Rule])> =
            judging.filter_map(|it| Some((it.key, rules(it.policy, direction)?))).collect();
        let resolved = match direction {
            Direction::Ingress => resolve(isolating.iter().flat_map(|(_, rules)| *rules), ports),
            Direction::Egress => ResolvedPorts::new(),
        };
        let policies = isolating.into_iter().map(|(key, _)| key.clone()).collect();
        Some(Self { mode, direction, namespace: namespace.clone(), policies, resolved })
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

/// A policy that selects a pod.
#[derive(Debug, Clone, Copy)]
pub struct Selecting<'a> {
    /// Its name.
    pub key: &'a ObjectKey,
    /// The policy.
    pub policy: &'a NetworkPolicy,
    /// Whether it is enforced.
    pub mode: Mode,
}

/// The policies that select the pods of these labels, sorted by name (S2).
pub fn selecting<'a>(cluster: &'a Cluster, namespace: &Arc<str>, labels: &Labels) -> Vec<Selecting<'a>> {
    let policies = &cluster.policies;
    policies
        .range(ObjectKey::new(namespace.clone(), "")..)
        .take_while(|(key, _)| key.namespace == *namespace)
        .filter(|(_, policy)| policy.pod_selector.matches(labels))
        .map(|(key, policy)| Selecting { key, policy, mode: cluster.mode(key, policy) })
        .collect()
}

/// What to say of groups whose policies say too much together: it is laid at the door of the policy that says most.
pub fn excesses<'a>(
    groups: impl Iterator<Item = (&'a Group, &'a Arc<GroupChains>)>,
    policies: &Policies,
) -> Vec<Problem> {
    let worst = |group: &'a Group| {
        let size = |key: &&ObjectKey| policies.get(*key).map_or(0, |it| size(it, group.direction));
        Some((group.policies.iter().max_by_key(size)?, group.direction))
    };
    let enforced = groups.filter(|(group, _)| group.mode == Mode::Enforce);
    let excessive = enforced.filter(|(_, chains)| chains.excessive).filter_map(|(group, _)| worst(group));
    excessive.collect::<BTreeSet<_>>().into_iter().map(|(key, direction)| excess(key, direction)).collect()
}

fn excess(policy: &ObjectKey, direction: Direction) -> Problem {
    Problem {
        file: None,
        line: None,
        object: Some(format!("NetworkPolicy {policy}")),
        field: Some(format!("spec.{}", direction.word())),
        message: format!(
            "with the other policies of the same pods, its rules make more than {PAIRS_MAX} pairs of a peer and a \
             range of ports: those pods are closed for {}; ask for fewer peers or ports",
            direction.word()
        ),
        consequence: Consequence::Closed,
    }
}

/// How many pairs of a peer and a port its rules write.
fn size(policy: &NetworkPolicy, direction: Direction) -> usize {
    let pairs = |rule: &Rule| {
        let peers = if let Peers::Only(peers) = &rule.peers { peers.len() } else { 1 };
        let ports = if let Ports::Only(ports) = &rule.ports { ports.len() } else { 1 };
        peers * ports
    };
    rules(policy, direction).unwrap_or_default().iter().map(pairs).sum()
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
