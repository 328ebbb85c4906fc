//! `test`: do the expectations hold? The same lines that the lab probes with packets, judged without any.

mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use podwall_policy::{Expectation, Protocol, Transport};

use crate::explain::{Connection, Question, Refusal, explain, explain_to};
use crate::party::{Party, service_name};
use crate::port::Dialled;
use crate::snapshot::Snapshot;

/// Hosts outside the cluster, by name.
pub type Outside = BTreeMap<String, Vec<IpAddr>>;

/// One expectation, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The expectation.
    pub expectation: Expectation,
    /// Why it does not hold; `None` when it does.
    pub failure: Option<String>,
}

/// All expectations of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The file, as it was named to us.
    pub file: String,
    /// The outcomes, in the order of lines.
    pub outcomes: Vec<Outcome>,
}

impl Trial {
    /// Judges expectations of the states of a cluster.
    pub fn new(file: &str, expectations: &[Expectation], states: &[Snapshot], outside: &Outside) -> Self {
        let outcome = |expectation: &Expectation| Outcome {
            expectation: expectation.clone(),
            failure: failure(expectation, states, outside),
        };
        Self { file: file.to_owned(), outcomes: expectations.iter().map(outcome).collect() }
    }

    /// True when all hold.
    pub fn holds(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.failure.is_none())
    }
}

fn failure(expectation: &Expectation, states: &[Snapshot], outside: &Outside) -> Option<String> {
    let states: Vec<(usize, &Snapshot)> = match expectation.step {
        None => states.iter().enumerate().collect(),
        Some(step) => states.get(step).map(|state| (step, state)).into_iter().collect(),
    };
    if states.is_empty() {
        return Some("there is no such step".to_owned());
    }
    states.into_iter().find_map(|(step, state)| {
        let differing = differing(expectation, state, outside)?;
        Some(if expectation.step.is_none() && step > 0 {
            format!("step {step}: {differing}")
        } else {
            differing
        })
    })
}

/// Why an expectation does not hold of a state.
fn differing(expectation: &Expectation, state: &Snapshot, outside: &Outside) -> Option<String> {
    let connections = match connections(expectation, state, outside) {
        Ok(connections) => connections,
        Err(message) => return Some(message),
    };
    let wrong = connections.iter().find(|connection| connection.allowed != expectation.allowed)?;
    let verdict = if wrong.allowed { "allowed" } else { "denied" };
    Some(format!("{verdict}: {}", wrong.reason()))
}

fn connections(
    expectation: &Expectation,
    state: &Snapshot,
    outside: &Outside,
) -> Result<Vec<Connection>, String> {
    let dialled = Some(Dialled::Number(transport(expectation)));
    let to = parties(&expectation.to, outside)?;
    let mut found = Vec::new();
    for from in parties(&expectation.from, outside)? {
        for to in &to {
            let question = Question { from: from.clone(), to: to.clone(), dialled: dialled.clone() };
            match expectation.via.as_str() {
                "service" => found.extend(by_service(state, &question)?),
                _ => match explain(state, &question) {
                    Ok(answer) => found.extend(answer.connections),
                    // A host outside may have one family only.
                    Err(Refusal::Unknown(_)) if is_address(&from) || is_address(to) => {}
                    Err(refusal) => return Err(message(refusal)),
                },
            }
        }
    }
    match found.is_empty() {
        true => Err("no connection is like this".to_owned()),
        false => Ok(found),
    }
}

fn is_address(party: &Party) -> bool {
    matches!(party, Party::Address(_))
}

/// The connections by all Services that lead to this pod from the port that is dialled.
fn by_service(state: &Snapshot, question: &Question) -> Result<Vec<Connection>, String> {
    let targets = question.to.endpoints(state).map_err(|unknown| unknown.to_string())?;
    let mut found = Vec::new();
    for key in state.cluster.services.keys() {
        let question = Question { to: Party::Service(key.clone()), ..question.clone() };
        if let Ok(answer) = explain_to(state, &question, Some(&targets)) {
            found.extend(answer.connections);
        }
    }
    match found.is_empty() {
        true => {
            let services: Vec<String> = state.cluster.services.keys().map(service_name).collect();
            Err(format!("no Service leads there; there are {}", crate::page::listed(&services, 5)))
        }
        false => Ok(found),
    }
}

fn message(refusal: Refusal) -> String {
    match refusal {
        Refusal::Unknown(unknown) => unknown.to_string(),
        Refusal::Unclear(message) => message,
    }
}

fn transport(expectation: &Expectation) -> Transport {
    let port = expectation.port.unwrap_or_default();
    match expectation.protocol.as_str() {
        "TCP" => Transport::Port(Protocol::Tcp, port),
        "UDP" => Transport::Port(Protocol::Udp, port),
        "SCTP" => Transport::Port(Protocol::Sctp, port),
        _ => Transport::Other,
    }
}

/// Who is meant by a name; of a host outside, each of its addresses.
fn parties(name: &str, outside: &Outside) -> Result<Vec<Party>, String> {
    let Some(host) = name.strip_prefix("outside/") else { return Ok(vec![name.parse()?]) };
    if let Ok(address) = host.parse() {
        return Ok(vec![Party::Address(address)]);
    }
    match outside.get(host) {
        Some(addresses) => Ok(addresses.iter().copied().map(Party::Address).collect()),
        None => Err(format!(
            "nothing says where outside/{host} is: name its address with --outside {host}=ADDRESS"
        )),
    }
}
