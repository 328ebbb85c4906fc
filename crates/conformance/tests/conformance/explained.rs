//! Every step of every case: what `explain` answers about two names, and whether `test` says that an expectation
//! holds, is what `evaluate` says of the connections between them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podwall_conformance::{Case, State};
use podwall_explain::explain::{Answer, Question, Refusal, explain};
use podwall_explain::trial::Trial;
use podwall_explain::{Dialled, Snapshot};
use podwall_policy::read::Source;
use podwall_policy::{
    Decision, Endpoint, Expectation, Flow, PlacementOptions, Protocol, Transport, Verdict, evaluate,
};

use crate::figures::Figures;
use crate::interpreted::{OUTSIDE, ends, in_shares, transports};

/// A state as the commands read it.
pub fn snapshot(state: &State, previous: Option<&Snapshot>) -> Snapshot {
    let source = Source { name: "case.yaml".into(), bytes: state.manifests().into_bytes() };
    Snapshot::read(
        &[source],
        "default",
        &PlacementOptions { node_count: 2, ipv4: true, ipv6: true },
        previous,
    )
}

pub fn judge(cases: &[Case]) -> Figures {
    in_shares("cases, explained", cases, judge_case)
}

fn judge_case(figures: &mut Figures, case: &Case) {
    let mut previous = None;
    for (step, state) in case.states().iter().enumerate() {
        let snapshot = snapshot(state, previous.as_ref());
        let mut asked = Asked { name: format!("{} step {step}", case.name), snapshot: &snapshot, figures };
        let named = by_name(&snapshot);
        for (from, sources) in &named {
            for (to, targets) in &named {
                transports().into_iter().for_each(|it| asked.judge((from, sources), (to, targets), it));
            }
        }
        previous = Some(snapshot);
    }
}

/// The ends of each name that may be asked about.
fn by_name(snapshot: &Snapshot) -> BTreeMap<String, Vec<Endpoint>> {
    let mut named: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
    for end in ends(&snapshot.cluster) {
        let name = match &end {
            Endpoint::Pod { pod, .. } => pod.to_string(),
            Endpoint::Node { node, .. } => format!("node/{node}"),
            Endpoint::Outside(address) => address.to_string(),
        };
        named.entry(name).or_default().push(end);
    }
    named
}

type Named<'a> = (&'a str, &'a [Endpoint]);

struct Asked<'a> {
    name: String,
    snapshot: &'a Snapshot,
    figures: &'a mut Figures,
}

impl Asked<'_> {
    fn judge(&mut self, (from, sources): Named, (to, targets): Named, transport: Transport) {
        let of_one_family = sources.iter().flat_map(|from| {
            targets.iter().filter(|to| to.address().is_ipv4() == from.address().is_ipv4()).map(|to| Flow {
                from: from.clone(),
                to: to.clone(),
                transport,
            })
        });
        let decided: Vec<(Flow, Decision)> = of_one_family
            .map(|flow| {
                let decision = evaluate(&self.snapshot.cluster, &flow);
                (flow, decision)
            })
            .collect();
        decided.iter().for_each(|(_, decision)| self.figures.count_probe(decision.allowed()));
        let answer = ask(self.snapshot, from, to, transport);
        let differing = match &answer {
            Ok(answer) => differing(answer, &decided),
            Err(_) if decided.is_empty() => None,
            Err(refusal) => Some(format!("{refusal:?}")),
        };
        let differing = differing.or_else(|| self.expectation_differs(from, to, transport, &decided));
        if let Some(differing) = differing {
            let line =
                format!("{}: {from} -> {to} {transport:?}: {differing}\n    must be {decided:?}", self.name);
            self.figures.mismatches.push(line);
        }
    }

    /// An expectation holds when all connections that it speaks of are as it says.
    fn expectation_differs(
        &self,
        from: &str,
        to: &str,
        transport: Transport,
        decided: &[(Flow, Decision)],
    ) -> Option<String> {
        // Between addresses of two families there is nothing to expect.
        let first = decided.first()?.1.allowed();
        let alike = decided.iter().all(|(_, decision)| decision.allowed() == first);
        let expectations = [true, false].map(|allowed| expectation(from, to, transport, allowed));
        let trial =
            Trial::new("expect.yaml", &expectations, std::slice::from_ref(self.snapshot), &BTreeMap::new());
        let wrong = trial
            .outcomes
            .iter()
            .find(|outcome| outcome.failure.is_none() != (alike && outcome.expectation.allowed == first))?;
        Some(format!("{} has {:?}", wrong.expectation, wrong.failure))
    }
}

/// Asks as the command line does.
pub fn ask(snapshot: &Snapshot, from: &str, to: &str, transport: Transport) -> Result<Answer, Refusal> {
    let party = |name: &str| name.parse().map_err(Refusal::Unclear);
    explain(
        snapshot,
        &Question { from: party(from)?, to: party(to)?, dialled: Some(Dialled::Number(transport)) },
    )
}

/// Where the answer is not what was decided, side by side.
fn differing(answer: &Answer, decided: &[(Flow, Decision)]) -> Option<String> {
    let told: usize = answer.connections.iter().map(|connection| 1 + connection.alike).sum();
    if told != decided.len() || !answer.limits.is_empty() {
        return Some(format!("{told} connections are judged of {}", decided.len()));
    }
    // Connections of one decision are told as one, by the first of them.
    let mut groups: Vec<(&Flow, &Decision, usize)> = Vec::new();
    for (flow, decision) in decided {
        match groups.iter_mut().find(|(_, other, _)| *other == decision) {
            Some((.., count)) => *count += 1,
            None => groups.push((flow, decision, 1)),
        }
    }
    groups.into_iter().find_map(|(flow, decision, count)| {
        let ends = (flow.from.address(), flow.to.address());
        let same_ends = |it: &&podwall_explain::explain::Connection| (it.from_address, it.to_address) == ends;
        let Some(told) = answer.connections.iter().find(same_ends) else {
            return Some(format!("nothing is told of {ends:?}"));
        };
        let sides = told.egress.verdict == verdict(&decision.egress)
            && told.ingress.verdict == verdict(&decision.ingress);
        let right = sides && told.allowed == decision.allowed() && told.alike + 1 == count;
        (!right).then(|| format!("{told:?}"))
    })
}

fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Exempt(_) => "exempt",
        Verdict::NotIsolated => "not isolated",
        Verdict::Allowed { .. } => "allowed",
        Verdict::Denied { .. } => "denied",
    }
}

fn expectation(from: &str, to: &str, transport: Transport, allowed: bool) -> Expectation {
    let name = |it: &str| if it.parse::<IpAddr>().is_ok() { format!("outside/{it}") } else { it.to_owned() };
    let (protocol, port) = match transport {
        Transport::Port(protocol, port) => (protocol.to_string(), Some(port)),
        Transport::Other => ("ICMP".to_owned(), None),
    };
    Expectation {
        line: 1,
        step: Some(0),
        from: name(from),
        to: name(to),
        via: "direct".into(),
        protocol,
        port,
        allowed,
    }
}

/// What `explain` says of a probe that the lab made; `None` where it gives no answer. The lab names hosts as
/// expectations do, and says of a target which address it was.
pub fn verdict_of_probe(snapshot: &Snapshot, probe: &serde_json::Value) -> Option<bool> {
    let address: IpAddr = probe["address"].as_str()?.parse().ok()?;
    let outside = OUTSIDE.into_iter().find(|it| it.contains('.') == address.is_ipv4())?;
    let from = probe["from"].as_str()?;
    let from = if from.starts_with("outside/") { outside } else { from };
    let port = || u16::try_from(probe["port"].as_u64()?).ok();
    let transport = match probe["protocol"].as_str()? {
        "TCP" => Transport::Port(Protocol::Tcp, port()?),
        "UDP" => Transport::Port(Protocol::Udp, port()?),
        "SCTP" => Transport::Port(Protocol::Sctp, port()?),
        "ICMP" => Transport::Other,
        _ => return None,
    };
    let answer = ask(snapshot, from, &address.to_string(), transport).ok()?;
    // The answer is about both families, unless the two are judged alike.
    let connections = &answer.connections;
    let of_family = connections.iter().find(|it| it.to_address.is_ipv4() == address.is_ipv4());
    Some(of_family.or(connections.first())?.allowed)
}
