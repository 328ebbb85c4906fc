//! Why cells are refused, for people: one line per policy's effect, not one per cell.

use std::collections::{BTreeMap, BTreeSet};

use podwall_policy::{ObjectKey, Verdict};

use crate::attempt::Outcome;
use crate::matrix::{short_name, shortened};
use crate::plan::Via;
use crate::report::{ProbeResult, transport_name};
use crate::scene::Party;

/// How many mismatches or errors are written out.
const LINES_MAX: usize = 20;

/// The side of a connection that denied it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Egress,
    Ingress,
}

/// Denials with one cause: a pod that is isolated on one side, by these policies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cause<'a> {
    side: Side,
    pod: &'a Party,
    isolating: &'a [ObjectKey],
}

/// What denied the cells that are denied.
pub fn denials(results: &[ProbeResult]) -> String {
    let mut causes: BTreeMap<Cause<'_>, BTreeMap<&Party, BTreeSet<String>>> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for result in results.iter().filter(|result| !result.evaluated()) {
        let probe = &result.probe;
        if let Some(party) = &probe.closed {
            unknown.insert(party);
            continue;
        }
        for (side, verdict, pod, other) in [
            (Side::Egress, &probe.decision.egress, &probe.from, &probe.to),
            (Side::Ingress, &probe.decision.ingress, &probe.to, &probe.from),
        ] {
            if let Verdict::Denied { isolating } = verdict {
                let others = causes.entry(Cause { side, pod, isolating }).or_default();
                others.entry(other).or_default().insert(port_name(result));
            }
        }
    }
    let mut text = String::new();
    for (cause, others) in causes {
        let pod = short_name(cause.pod);
        let policies: Vec<String> = cause.isolating.iter().map(ToString::to_string).collect();
        let (direction, preposition) = match cause.side {
            Side::Egress => ("egress of", "to"),
            Side::Ingress => ("ingress of", "from"),
        };
        text.push_str(&format!(
            "  {direction} {pod}: isolated by {}, and no rule allows\n",
            shortened(&policies)
        ));
        for (ports, others) in by_ports(others) {
            text.push_str(&format!("      {} {preposition} {}\n", shortened(&ports), shortened(&others)));
        }
    }
    for party in unknown {
        let pod = short_name(party);
        text.push_str(&format!("  {pod} both ways: its node has not been told of it\n"));
    }
    if text.is_empty() { text } else { format!("Denied by\n{text}") }
}

/// Who is denied the same ports, by those ports.
fn by_ports(others: BTreeMap<&Party, BTreeSet<String>>) -> Vec<(Vec<String>, Vec<String>)> {
    let mut alike: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for (other, ports) in others {
        alike.entry(ports.into_iter().collect()).or_default().push(short_name(other));
    }
    alike.into_iter().collect()
}

/// The probes that went otherwise than the specification says.
pub fn mismatches(results: &[ProbeResult]) -> String {
    let lines = results.iter().filter(|result| result.is_mismatch()).map(|result| {
        let says = if result.evaluated() { "allowed" } else { "denied" };
        format!("{}: {}, but the specification says {says}", describe(result), result.outcome.name())
    });
    listed("MISMATCH", lines.collect())
}

/// The probes that could not be made.
pub fn errors(results: &[ProbeResult]) -> String {
    let lines = results.iter().filter_map(|result| match &result.outcome {
        Outcome::Error(reason) => Some(format!("{}: {reason}", describe(result))),
        _ => None,
    });
    listed("ERROR", lines.collect())
}

fn listed(word: &str, lines: Vec<String>) -> String {
    let mut text: String = lines.iter().take(LINES_MAX).map(|line| format!("{word}  {line}\n")).collect();
    if lines.len() > LINES_MAX {
        text.push_str(&format!("{word}  and {} more\n", lines.len() - LINES_MAX));
    }
    text
}

fn describe(result: &ProbeResult) -> String {
    let probe = &result.probe;
    format!("{} -> {} {} ({})", probe.from, probe.to, port_name(result), probe.address)
}

fn port_name(result: &ProbeResult) -> String {
    let transport = transport_name(result.probe.transport);
    match &result.probe.via {
        Via::Direct => transport,
        Via::Service { service, .. } => format!("{transport} by Service {service}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::probe_result;

    #[test]
    fn denials_are_grouped_by_cause_and_ports() {
        let results = [
            probe_result("a", "web", 80, Outcome::Timeout, false),
            probe_result("b", "web", 80, Outcome::Timeout, false),
            probe_result("b", "web", 443, Outcome::Timeout, false),
            probe_result("a", "api", 80, Outcome::Answered, true),
        ];
        let expected = "\
Denied by
  ingress of default/web: isolated by default/deny-web, and no rule allows
      TCP/443, TCP/80 from default/b
      TCP/80 from default/a
";
        assert_eq!(denials(&results), expected);
    }

    #[test]
    fn mismatches_and_errors_are_named() {
        let results = [
            probe_result("a", "web", 80, Outcome::Answered, false),
            probe_result("b", "web", 80, Outcome::Error("no route".to_owned()), true),
        ];
        assert_eq!(
            mismatches(&results),
            "MISMATCH  pod/default/a -> pod/default/web TCP/80 (10.0.0.2): answered, but the specification says denied\n"
        );
        assert_eq!(errors(&results), "ERROR  pod/default/b -> pod/default/web TCP/80 (10.0.0.2): no route\n");
    }

    #[test]
    fn nothing_denied_is_nothing_said() {
        assert_eq!(denials(&[probe_result("a", "web", 80, Outcome::Answered, true)]), "");
    }
}
