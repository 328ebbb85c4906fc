//! One side of a connection: what its policies say.

use podwall_policy::{Endpoint, Exemption, Flow, Grant, ObjectKey, Peers, Ports, Verdict};
use serde::Serialize;

use crate::alone::Alone;
use crate::field::{Direction, FieldPath};
use crate::miss::{Denied, Miss};
use crate::page::counted;
use crate::snapshot::Snapshot;
use crate::written::Place;
use crate::{describe, near};

/// What one side says, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Which side.
    pub direction: Direction,
    /// Whose.
    pub of: String,
    /// `exempt`, `not isolated`, `allowed` or `denied`.
    pub verdict: &'static str,
    /// Why policy has no say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exempt: Option<&'static str>,
    /// Every policy that isolates.
    pub isolating: Vec<PolicyPlace>,
    /// Every rule that allows, first the one that decides by order of names.
    pub allowing: Vec<GrantPlace>,
    /// When denied: why each rule does not allow, the nearest first.
    pub misses: Vec<PlacedMiss>,
    /// When not isolated: policies of the namespace that do not select it, or not in this direction.
    pub not_selecting: Vec<String>,
}

/// A policy and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyPlace {
    /// `NAMESPACE/NAME`
    pub policy: String,
    /// Its file and line.
    pub place: Option<Place>,
}

/// A rule that allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantPlace {
    /// The policy, `NAMESPACE/NAME`.
    pub policy: String,
    /// The peer or, where the rule is for any, the rule.
    pub field: FieldPath,
    /// The entry of `ports`; `None` when the rule is for any.
    pub port_field: Option<FieldPath>,
    /// Whom and what it allows, in words.
    pub allows: String,
    /// Where it stands.
    pub place: Option<Place>,
}

/// A miss and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlacedMiss {
    /// The miss.
    #[serde(flatten)]
    pub miss: Miss,
    /// Where it stands.
    pub place: Option<Place>,
}

impl Side {
    pub(super) fn new(snapshot: &Snapshot, flow: &Flow, direction: Direction, verdict: &Verdict) -> Self {
        let end = match direction {
            Direction::Egress => &flow.from,
            Direction::Ingress => &flow.to,
        };
        let mut side = Self {
            direction,
            of: describe::endpoint(end),
            verdict: "",
            exempt: None,
            isolating: Vec::new(),
            allowing: Vec::new(),
            misses: Vec::new(),
            not_selecting: Vec::new(),
        };
        match verdict {
            Verdict::Exempt(exemption) => {
                (side.verdict, side.exempt) = ("exempt", Some(exempt(snapshot, end, *exemption)));
            }
            Verdict::NotIsolated => {
                side.verdict = "not isolated";
                side.not_selecting = not_selecting(snapshot, end, direction);
            }
            Verdict::Allowed { isolating, grant } => {
                side.verdict = "allowed";
                side.isolating = places(snapshot, isolating);
                side.allowing = grants(snapshot, flow, direction, isolating, grant);
            }
            Verdict::Denied { isolating } => {
                side.verdict = "denied";
                side.isolating = places(snapshot, isolating);
                let misses = Denied { cluster: &snapshot.cluster, flow, direction }.misses(isolating);
                let placed =
                    |miss: Miss| PlacedMiss { place: snapshot.place_of(&miss.key, &miss.field), miss };
                side.misses = misses.into_iter().map(placed).collect();
            }
        }
        side
    }
}

fn exempt(snapshot: &Snapshot, end: &Endpoint, exemption: Exemption) -> &'static str {
    match (exemption, end) {
        (Exemption::OwnNode, _) => "a pod's own node always reaches it",
        (Exemption::Itself, _) => "a pod always reaches itself",
        (Exemption::NotAPod, Endpoint::Pod { pod, .. }) => {
            match snapshot.cluster.pods.get(pod).is_some_and(|pod| pod.finished) {
                true => "the pod has finished, and policy does not hold for it",
                false => "the pod is on its node's network, and policy does not hold for it",
            }
        }
        (Exemption::NotAPod, Endpoint::Node { .. }) => "policy does not hold for nodes",
        (Exemption::NotAPod, Endpoint::Outside(_)) => "policy does not hold outside the cluster",
    }
}

fn places(snapshot: &Snapshot, policies: &[ObjectKey]) -> Vec<PolicyPlace> {
    let place = |key: &ObjectKey| PolicyPlace {
        policy: key.to_string(),
        place: snapshot.place_of(key, &FieldPath::default()),
    };
    policies.iter().map(place).collect()
}

/// The rule that `evaluate` named, and all others that would allow without it.
fn grants(
    snapshot: &Snapshot,
    flow: &Flow,
    direction: Direction,
    isolating: &[ObjectKey],
    first: &Grant,
) -> Vec<GrantPlace> {
    let mut grants = vec![grant_place(snapshot, direction, first)];
    let mut alone = Alone::new(&snapshot.cluster, flow, direction);
    for key in isolating {
        let rules = snapshot.cluster.policies.get(key).and_then(|policy| direction.rules(policy));
        for (index, rule) in rules.unwrap_or_default().iter().enumerate() {
            if (key, index) == (&first.policy, first.rule) || !alone.rule(key, rule) {
                continue;
            }
            let peer = match &rule.peers {
                Peers::Any => None,
                Peers::Only(peers) => peers.iter().position(|peer| alone.peer(key, peer)),
            };
            let port = match &rule.ports {
                Ports::Any => None,
                Ports::Only(ports) => ports.iter().position(|port| alone.port(key, port)),
            };
            let grant = Grant { policy: key.clone(), rule: index, peer, port };
            grants.push(grant_place(snapshot, direction, &grant));
        }
    }
    grants
}

fn grant_place(snapshot: &Snapshot, direction: Direction, grant: &Grant) -> GrantPlace {
    let field = match grant.peer {
        Some(peer) => FieldPath::peer(direction, grant.rule, peer),
        None => FieldPath::rule(direction, grant.rule),
    };
    let port_field = grant.port.map(|port| FieldPath::port(direction, grant.rule, port));
    let policy = snapshot.cluster.policies.get(&grant.policy);
    let rule = policy.and_then(|policy| direction.rules(policy)?.get(grant.rule));
    let allows = rule.map(|rule| {
        let peer = match (&rule.peers, grant.peer) {
            (Peers::Only(peers), Some(index)) => describe::peer(&peers[index]),
            _ => "anyone".to_owned(),
        };
        let port = match (&rule.ports, grant.port) {
            (Ports::Only(ports), Some(index)) => describe::port(&ports[index]),
            _ => "any port".to_owned(),
        };
        format!("{peer}, {port}")
    });
    GrantPlace {
        policy: grant.policy.to_string(),
        place: snapshot.place_of(&grant.policy, &field),
        field,
        port_field,
        allows: allows.unwrap_or_default(),
    }
}

/// Policies that people may have meant to isolate the pod, the nearest first.
fn not_selecting(snapshot: &Snapshot, end: &Endpoint, direction: Direction) -> Vec<String> {
    let Endpoint::Pod { pod: key, .. } = end else { return Vec::new() };
    let Some(pod) = snapshot.cluster.pods.get(key) else { return Vec::new() };
    let policies = snapshot.cluster.policies.iter().filter(|(policy, _)| policy.namespace == key.namespace);
    let mut found: Vec<(usize, String)> = policies
        .map(|(name, policy)| {
            let distance = near::distance(&policy.pod_selector, &pod.labels);
            if distance == 0 && direction.rules(policy).is_some() {
                return (0, format!("{name} selects it, but is in audit mode: it is not enforced"));
            }
            if distance == 0 {
                let kind = direction.policy_type();
                return (0, format!("{name} selects it, but its policyTypes do not have {kind}"));
            }
            let selected = snapshot.selected(name, policy).len();
            let text = format!(
                "{name} selects pods {} ({}); {}",
                describe::selector(&policy.pod_selector),
                if selected == 0 { "there is none".to_owned() } else { counted(selected, "pod") },
                near::difference(&policy.pod_selector, &key.to_string(), &pod.labels)
            );
            // A policy that selects nothing was meant for somebody.
            (distance + if selected == 0 { 0 } else { 10 }, text)
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, text)| text).collect()
}
