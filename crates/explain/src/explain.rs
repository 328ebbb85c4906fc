//! `explain`: may this connection be opened, and why.

mod side;
mod text;

use std::collections::BTreeSet;

use podwall_policy::{
    Decision, Endpoint, Exemption, Flow, Mode, ObjectKey, Pod, Transport, Verdict, evaluate,
};
use serde::Serialize;

use crate::describe;
use crate::page::listed;
use crate::party::{Party, Unknown, service_name};
use crate::port::{Dialled, declared, transport_name};
use crate::service::reach;
use crate::snapshot::Snapshot;

pub use side::{GrantPlace, PolicyPlace, Side};

/// Who wants to reach whom, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who opens the connection.
    pub from: Party,
    /// Whom it is meant for.
    pub to: Party,
    /// What is dialled; `None` for all ports that the destination declares.
    pub dialled: Option<Dialled>,
}

/// What the manifests say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What was left out, so that the answer is not about all.
    pub limits: Vec<String>,
    /// Connections that are judged alike are one.
    pub connections: Vec<Connection>,
}

impl Answer {
    /// True when every connection is allowed.
    pub fn allowed(&self) -> bool {
        self.connections.iter().all(|connection| connection.allowed)
    }
}

/// Connections that are judged alike, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// Who opens it.
    pub from: String,
    /// Its address.
    pub from_address: std::net::IpAddr,
    /// Whom it reaches.
    pub to: String,
    /// Its address.
    pub to_address: std::net::IpAddr,
    /// What the destination sees, as `TCP/80`.
    pub port: String,
    /// The Service that was dialled, with its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// True when both sides allow.
    pub allowed: bool,
    /// The source's side.
    pub egress: Side,
    /// The destination's side.
    pub ingress: Side,
    /// What policy has no say in, but may be the cause.
    pub notes: Vec<String>,
    /// How many further pairs of pods and addresses are judged alike.
    pub alike: usize,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Something that the question names is not there.
    Unknown(Unknown),
    /// The question says too little.
    Unclear(String),
}

impl From<Unknown> for Refusal {
    fn from(unknown: Unknown) -> Self {
        Refusal::Unknown(unknown)
    }
}

/// How many ends of one name are looked at.
const ENDS_MAX: usize = 200;

/// A connection to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    flow: Flow,
    /// The Service and what is dialled there.
    service: Option<String>,
}

/// Answers a question.
pub fn explain(snapshot: &Snapshot, question: &Question) -> Result<Answer, Refusal> {
    explain_to(snapshot, question, None)
}

/// Answers a question about some of the ends that a Service leads to.
pub(crate) fn explain_to(
    snapshot: &Snapshot,
    question: &Question,
    only: Option<&[Endpoint]>,
) -> Result<Answer, Refusal> {
    let mut limits = Vec::new();
    let mut found: Vec<(Attempt, Decision, Connection)> = Vec::new();
    for attempt in attempts(snapshot, question, only, &mut limits)? {
        let decision = evaluate(&snapshot.cluster, &attempt.flow);
        let is_alike = |(other, judged, _): &&mut (Attempt, Decision, Connection)| {
            other.flow.transport == attempt.flow.transport
                && other.service == attempt.service
                && *judged == decision
        };
        match found.iter_mut().find(is_alike) {
            Some((_, _, connection)) => connection.alike += 1,
            None => {
                let connection = connection(snapshot, &attempt, &decision);
                found.push((attempt, decision, connection));
            }
        }
    }
    Ok(Answer { limits, connections: found.into_iter().map(|(_, _, connection)| connection).collect() })
}

/// Every pair of ends that the question speaks of, and every port.
fn attempts(
    snapshot: &Snapshot,
    question: &Question,
    only: Option<&[Endpoint]>,
    limits: &mut Vec<String>,
) -> Result<Vec<Attempt>, Refusal> {
    let sources = limited(question.from.endpoints(snapshot)?, &question.from, limits);
    let targets = targets(snapshot, question)?.into_iter();
    let targets = targets.filter(|(end, ..)| only.is_none_or(|only| only.contains(end))).collect();
    let targets = limited(targets, &question.to, limits);
    let mut attempts = Vec::new();
    for (to, transport, service) in targets {
        for from in sources.iter().filter(|from| from.address().is_ipv4() == to.address().is_ipv4()) {
            let flow = Flow { from: from.clone(), to: to.clone(), transport };
            attempts.push(Attempt { flow, service: service.clone() });
        }
    }
    // A pod of a workload reaches itself anyhow; what is asked is about the others, if there are any.
    let is_itself = |attempt: &Attempt| attempt.flow.from == attempt.flow.to;
    if !attempts.iter().all(is_itself) {
        attempts.retain(|attempt| !is_itself(attempt));
    }
    match attempts.is_empty() {
        true => {
            let message = format!("{} and {} have no addresses of one family", question.from, question.to);
            Err(Refusal::Unknown(Unknown(message)))
        }
        false => Ok(attempts),
    }
}

/// The first of many.
fn limited<T>(mut ends: Vec<T>, party: &Party, limits: &mut Vec<String>) -> Vec<T> {
    if ends.len() > ENDS_MAX {
        limits.push(format!(
            "only the first {ENDS_MAX} of {} addresses and ports of {party} were looked at",
            ends.len()
        ));
        ends.truncate(ENDS_MAX);
    }
    ends
}

/// An end, what it is sent, and the Service that leads there.
type Target = (Endpoint, Transport, Option<String>);

fn targets(snapshot: &Snapshot, question: &Question) -> Result<Vec<Target>, Refusal> {
    let to = question.to.known_as(snapshot);
    if let Party::Service(key) = &to
        && let Some(service) = snapshot.cluster.services.get(key)
        && !service.headless
    {
        let backends = reach(snapshot, key, service, question.dialled.as_ref());
        let backends = backends.map_err(|message| Refusal::Unknown(Unknown(message)))?;
        let through = |dialled| Some(format!("{} {}", service_name(key), transport_name(dialled)));
        let targets = backends.into_iter().map(|it| (it.endpoint, it.reached, through(it.dialled)));
        return Ok(targets.collect());
    }
    let ends = to.endpoints(snapshot)?;
    let mut targets = Vec::new();
    for end in &ends {
        let pod = pod_at(snapshot, end);
        match &question.dialled {
            Some(dialled) => targets.extend(dialled.on(pod).map(|it| (end.clone(), it, None))),
            None => targets.extend(declared_transports(pod).into_iter().map(|it| (end.clone(), it, None))),
        }
    }
    if !targets.is_empty() {
        return Ok(targets);
    }
    let declares = ends.first().and_then(|end| pod_at(snapshot, end)).map(declared);
    Err(match (&question.dialled, declares) {
        (Some(dialled), Some(declares)) => {
            Refusal::Unknown(Unknown(format!("{to} declares no port {dialled}; it declares {declares}")))
        }
        _ => Refusal::Unclear(format!("{to} declares no ports: say which one is meant, as TCP/443")),
    })
}

fn declared_transports(pod: Option<&Pod>) -> BTreeSet<Transport> {
    let ports = pod.into_iter().flat_map(|pod| &pod.ports);
    ports.map(|port| Transport::Port(port.protocol, port.port)).collect()
}

fn pod_at<'s>(snapshot: &'s Snapshot, end: &Endpoint) -> Option<&'s Pod> {
    match end {
        Endpoint::Pod { pod, .. } => snapshot.cluster.pods.get(pod),
        _ => None,
    }
}

fn connection(snapshot: &Snapshot, attempt: &Attempt, decision: &Decision) -> Connection {
    let Flow { from, to, transport } = &attempt.flow;
    Connection {
        from: describe::endpoint(from),
        from_address: from.address(),
        to: describe::endpoint(to),
        to_address: to.address(),
        port: transport_name(*transport),
        service: attempt.service.clone(),
        allowed: decision.allowed(),
        egress: Side::new(snapshot, &attempt.flow, crate::Direction::Egress, &decision.egress),
        ingress: Side::new(snapshot, &attempt.flow, crate::Direction::Ingress, &decision.ingress),
        notes: notes(snapshot, attempt, decision),
        alike: 0,
    }
}

/// Which policies in audit mode would deny what is allowed, were all policies enforced.
fn audit_notes(snapshot: &Snapshot, flow: &Flow) -> Vec<String> {
    let cluster = &snapshot.cluster;
    let is_audited = |key: &ObjectKey| {
        cluster.policies.get(key).is_some_and(|policy| cluster.mode(key, policy) == Mode::Audit)
    };
    if !cluster.policies.keys().any(is_audited) {
        return Vec::new();
    }
    let enforced = evaluate(&cluster.with_all_enforced(), flow);
    let denying = [enforced.egress, enforced.ingress].into_iter().filter_map(|verdict| match verdict {
        Verdict::Denied { isolating } => Some(isolating),
        _ => None,
    });
    let audited = denying.flatten().filter(is_audited);
    audited.map(|key| format!("{key} would deny this, and is in audit mode: it is not enforced")).collect()
}

/// What else may be the cause of what is seen.
fn notes(snapshot: &Snapshot, attempt: &Attempt, decision: &Decision) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Endpoint::Pod { pod: key, .. }, Transport::Port(protocol, number)) =
        (&attempt.flow.to, attempt.flow.transport)
        && let Some(pod) = snapshot.cluster.pods.get(key)
        && !pod.ports.iter().any(|port| port.protocol == protocol && port.port == number)
    {
        let leads = match &attempt.service {
            Some(service) => format!("{service} leads to {protocol}/{number}, and "),
            None => String::new(),
        };
        let says = if decision.allowed() { "policy allows, but " } else { "" };
        notes.push(format!(
            "{says}{leads}no container of {key} declares {protocol}/{number} (declared: {}): perhaps nothing listens \
             there",
            declared(pod)
        ));
    }
    if decision.allowed() {
        notes.extend(audit_notes(snapshot, &attempt.flow));
    }
    if decision.egress == Verdict::Exempt(Exemption::Itself) {
        notes.push("both ends are the same pod, which no policy closes to itself".to_owned());
    }
    if let Endpoint::Pod { pod, .. } = &attempt.flow.from
        && !decision.egress.allows()
        && is_dns(attempt.flow.transport)
    {
        notes.push(dns_note(snapshot, pod));
    }
    notes
}

fn is_dns(transport: Transport) -> bool {
    use podwall_policy::Protocol::{Tcp, Udp};
    matches!(transport, Transport::Port(Udp | Tcp, 53))
}

/// What isolation of egress without port 53 does: names do not resolve.
fn dns_note(snapshot: &Snapshot, pod: &ObjectKey) -> String {
    let dns = crate::check::dns_pods(&snapshot.cluster);
    let dns: Vec<String> = dns.iter().map(ToString::to_string).collect();
    let whom = match dns.is_empty() {
        true => "the DNS pods".to_owned(),
        false => format!("the DNS pods ({})", listed(&dns, 2)),
    };
    format!("{pod} cannot look up names: no rule allows it UDP/53 and TCP/53 to {whom}")
}

#[cfg(test)]
mod tests;
