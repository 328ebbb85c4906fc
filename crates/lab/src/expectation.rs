//! The expectations of a run: lines of a YAML file that must hold of the probes.

use podwall_policy::Expectation;

use crate::report::{ProbeResult, StepResult, protocol_and_port, via_name};

/// The expectations that do not hold, as `LINE: MESSAGE`.
pub fn failures(expectations: &[Expectation], steps: &[StepResult]) -> Vec<String> {
    expectations.iter().filter_map(|expectation| failure(expectation, steps)).collect()
}

fn failure(expectation: &Expectation, steps: &[StepResult]) -> Option<String> {
    let mut matched = false;
    for step in steps {
        for result in step.results.iter().filter(|result| speaks_of(expectation, step.index, result)) {
            matched = true;
            if result.allowed() != Some(expectation.allowed) {
                let (step, address, outcome) = (step.index, result.probe.address, result.outcome.name());
                return Some(format!(
                    "{}: {expectation}: step {step}, address {address}: {outcome}",
                    expectation.line
                ));
            }
        }
    }
    (!matched).then(|| format!("{}: {expectation}: no probe is like this", expectation.line))
}

fn speaks_of(expectation: &Expectation, step: usize, result: &ProbeResult) -> bool {
    let probe = &result.probe;
    let dialled = (expectation.protocol.as_str(), expectation.port);
    expectation.step.is_none_or(|wanted| wanted == step)
        && dialled == protocol_and_port(probe.transport)
        && expectation.via == via_name(probe)
        && expectation.from == probe.from.to_string()
        && expectation.to == probe.to.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::Outcome;
    use crate::testing::probe_result;

    fn step(outcome: Outcome) -> StepResult {
        StepResult {
            index: 0,
            path: "a.yaml".to_owned(),
            scene: Default::default(),
            problems: Vec::new(),
            results: vec![probe_result("client", "web", 80, outcome, true)],
        }
    }

    fn expectation(text: &str) -> Expectation {
        Expectation::read(text.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn a_line_holds_or_not() {
        let line = "- {from: pod/default/client, to: pod/default/web, port: 80, allowed: true}";
        let expectations = [expectation(line)];
        assert!(failures(&expectations, &[step(Outcome::Answered)]).is_empty());
        assert!(failures(&expectations, &[step(Outcome::Refused)]).is_empty());
        let failed = failures(&expectations, &[step(Outcome::Timeout)]);
        assert_eq!(failed.len(), 1);
        assert!(
            failed[0].starts_with("1: pod/default/client -> pod/default/web TCP/80 must be allowed: step 0")
        );
        assert_eq!(failures(&expectations, &[step(Outcome::Error("no route".to_owned()))]).len(), 1);
    }

    #[test]
    fn a_line_that_matches_no_probe_fails() {
        for other in [
            "- {from: pod/default/other, to: pod/default/web, port: 80, allowed: true}",
            "- {from: pod/default/client, to: pod/default/web, port: 81, allowed: true}",
            "- {from: pod/default/client, to: pod/default/web, port: 80, protocol: UDP, allowed: true}",
            "- {from: pod/default/client, to: pod/default/web, port: 80, via: service, allowed: true}",
            "- {step: 1, from: pod/default/client, to: pod/default/web, port: 80, allowed: true}",
        ] {
            let failed = failures(&[expectation(other)], &[step(Outcome::Answered)]);
            assert!(failed[0].ends_with("no probe is like this"), "{other}");
        }
    }
}
