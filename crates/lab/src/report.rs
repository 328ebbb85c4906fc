//! What a run found, as `--json` prints it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use podwall_policy::{Problem, Protocol, Transport};
use serde::Serialize;

use crate::attempt::Outcome;
use crate::plan::{Probe, Via};
use crate::scene::Scene;

/// The version of the format: raised when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    version: u32,
    steps: Vec<StepReport>,
    mismatches: usize,
}

impl Default for Report {
    fn default() -> Self {
        Self { version: VERSION, steps: Vec::new(), mismatches: 0 }
    }
}

impl Report {
    /// All of it on one line.
    pub fn to_line(&self) -> String {
        let text = serde_json::to_string(self).expect("names, numbers and lists can always be written");
        format!("{text}\n")
    }

    /// Appends a step.
    pub fn push(&mut self, step: &StepResult) {
        self.mismatches += step.results.iter().filter(|result| result.is_mismatch()).count();
        self.steps.push(StepReport::new(step));
    }
}

/// A step that has been probed.
#[derive(Debug, Default)]
pub struct StepResult {
    /// The number of the step; the first is 0.
    pub index: usize,
    /// Where its manifests came from.
    pub path: String,
    /// The hosts.
    pub scene: Scene,
    /// What was wrong with the manifests.
    pub problems: Vec<Problem>,
    /// The probes and what became of them.
    pub results: Vec<ProbeResult>,
}

/// A probe and what became of it.
#[derive(Debug, Clone)]
pub struct ProbeResult {
    /// The question.
    pub probe: Probe,
    /// The answer.
    pub outcome: Outcome,
}

impl ProbeResult {
    /// What the kernel did.
    pub fn allowed(&self) -> Option<bool> {
        self.outcome.allowed()
    }

    /// What should be: what the specification says, or closed where a pod is that nobody knows.
    pub fn evaluated(&self) -> bool {
        self.probe.closed.is_none() && self.probe.decision.allowed()
    }

    /// True when the two differ. A question that could not be asked is no mismatch.
    pub fn is_mismatch(&self) -> bool {
        self.allowed().is_some_and(|allowed| allowed != self.evaluated())
    }
}

#[derive(Debug, Serialize)]
struct StepReport {
    index: usize,
    path: String,
    problems: Vec<ProblemReport>,
    pods: Vec<PodReport>,
    probes: Vec<ProbeReport>,
}

/// A problem, as `--problems json` and the lab print it.
#[derive(Debug, Serialize)]
pub struct ProblemReport {
    file: Option<String>,
    line: Option<usize>,
    object: Option<String>,
    field: Option<String>,
    message: String,
}

impl From<&Problem> for ProblemReport {
    fn from(problem: &Problem) -> Self {
        let Problem { file, line, object, field, message, consequence: _ } = problem.clone();
        Self { file, line, object, field, message }
    }
}

#[derive(Debug, Serialize)]
struct PodReport {
    namespace: String,
    name: String,
    node: String,
    ips: Vec<IpAddr>,
    interface: Option<String>,
}

#[derive(Debug, Serialize)]
struct ProbeReport {
    from: String,
    to: String,
    via: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_port: Option<u16>,
    address: IpAddr,
    family: &'static str,
    protocol: &'static str,
    port: Option<u16>,
    allowed: Option<bool>,
    outcome: &'static str,
    evaluated: bool,
}

impl StepReport {
    fn new(step: &StepResult) -> Self {
        let pods = step.scene.pods.iter().map(|(key, place)| PodReport {
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            node: place.node.to_string(),
            ips: place.addresses.clone(),
            interface: place.interface.as_ref().map(ToString::to_string),
        });
        Self {
            index: step.index,
            path: step.path.clone(),
            problems: step.problems.iter().map(ProblemReport::from).collect(),
            pods: pods.collect(),
            probes: step.results.iter().map(ProbeReport::new).collect(),
        }
    }
}

impl ProbeReport {
    fn new(result: &ProbeResult) -> Self {
        let probe = &result.probe;
        let (service, target_port) = match &probe.via {
            Via::Direct => (None, None),
            Via::Service { service, target_port, .. } => (Some(service.to_string()), Some(*target_port)),
        };
        let (protocol, port) = protocol_and_port(probe.transport);
        Self {
            from: probe.from.to_string(),
            to: probe.to.to_string(),
            via: via_name(probe),
            service,
            target_port,
            address: probe.address,
            family: if probe.address.is_ipv4() { "ipv4" } else { "ipv6" },
            protocol,
            port,
            allowed: result.allowed(),
            outcome: result.outcome.name(),
            evaluated: result.evaluated(),
        }
    }
}

/// `direct` or `service`.
pub fn via_name(probe: &Probe) -> &'static str {
    if probe.is_by_service() { "service" } else { "direct" }
}

/// As reports and expectations name them; ICMP has no port.
pub fn protocol_and_port(transport: Transport) -> (&'static str, Option<u16>) {
    match transport {
        Transport::Port(Protocol::Tcp, port) => ("TCP", Some(port)),
        Transport::Port(Protocol::Udp, port) => ("UDP", Some(port)),
        Transport::Port(Protocol::Sctp, port) => ("SCTP", Some(port)),
        Transport::Other => ("ICMP", None),
    }
}

/// `TCP/80`, or `ICMP`.
pub fn transport_name(transport: Transport) -> String {
    match protocol_and_port(transport) {
        (protocol, Some(port)) => format!("{protocol}/{port}"),
        (protocol, None) => protocol.to_owned(),
    }
}

/// The problems of several sources, each once, in the order they came.
pub fn distinct(problems: impl IntoIterator<Item = Problem>) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    problems.into_iter().filter(|problem| seen.insert(problem.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::probe_result;

    fn step(results: Vec<ProbeResult>) -> StepResult {
        StepResult { path: "a.yaml".to_owned(), results, ..StepResult::default() }
    }

    #[test]
    fn a_report_has_the_shape_that_others_read() {
        let mut report = Report::default();
        report.push(&step(vec![probe_result("client", "web", 80, Outcome::Timeout, true)]));
        let expected = concat!(
            r#"{"version":1,"steps":[{"index":0,"path":"a.yaml","problems":[],"pods":[],"probes":[{"#,
            r#""from":"pod/default/client","to":"pod/default/web","via":"direct","address":"10.0.0.2","#,
            r#""family":"ipv4","protocol":"TCP","port":80,"allowed":false,"outcome":"timeout","evaluated":true"#,
            r#"}]}],"mismatches":1}"#,
            "\n"
        );
        assert_eq!(report.to_line(), expected);
    }

    #[test]
    fn a_probe_by_service_names_it_and_icmp_has_no_port() {
        let mut result = probe_result("client", "web", 80, Outcome::Error("no route".to_owned()), true);
        let service = podwall_policy::ObjectKey::new("default", "api");
        result.probe.via = Via::Service { service, target_port: 8080, source_ports: 1024..=2048 };
        result.probe.transport = Transport::Other;
        let mut report = Report::default();
        report.push(&step(vec![result]));
        let text = report.to_line();
        assert!(text.contains(r#""via":"service","service":"default/api","target_port":8080,"#), "{text}");
        assert!(text.contains(r#""protocol":"ICMP","port":null,"allowed":null,"outcome":"error""#), "{text}");
        assert!(text.contains(r#""mismatches":0"#), "{text}");
    }
}
