//! What the user expects of a run: lines of a YAML file that must hold.

use std::fmt;

use podwall_policy::tree::{self, ScalarKind, Tree, Value};

use crate::report::{ProbeResult, StepResult, protocol_and_port, via_name};

/// The keys of a line.
const KEYS: [&str; 7] = ["step", "from", "to", "via", "protocol", "port", "allowed"];

/// One line of the file: all probes that it speaks of must have been let through, or must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    line: usize,
    step: Option<usize>,
    from: String,
    to: String,
    via: String,
    protocol: String,
    port: Option<u16>,
    allowed: bool,
}

/// Why a file of expectations cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectationError {
    line: Option<usize>,
    message: String,
}

/// `LINE: MESSAGE`, to come after the file's name and a colon.
impl fmt::Display for ExpectationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{line}: {}", self.message),
            None => write!(f, " {}", self.message),
        }
    }
}

impl std::error::Error for ExpectationError {}

impl Expectation {
    /// Reads a file.
    pub fn read(bytes: &[u8]) -> Result<Vec<Self>, ExpectationError> {
        let documents = tree::parse(bytes)
            .map_err(|error| ExpectationError { line: None, message: error.to_string() })?;
        let mut found = Vec::new();
        for document in documents.iter().filter(|document| !document.is_null()) {
            let Value::Sequence(items) = &document.value else {
                return Err(wrong(document, "expected a list of expectations"));
            };
            for item in items {
                found.push(Self::from_tree(item)?);
            }
        }
        Ok(found)
    }

    fn from_tree(tree: &Tree) -> Result<Self, ExpectationError> {
        let Value::Mapping(_) = &tree.value else {
            return Err(wrong(
                tree,
                "expected an expectation: {from: ..., to: ..., port: ..., allowed: ...}",
            ));
        };
        if let Some(defect) = tree.first_defect() {
            return Err(ExpectationError { line: defect.line, message: defect.message.clone() });
        }
        if let Some(entry) = tree.entries().iter().find(|entry| !KEYS.contains(&&*entry.key.text)) {
            let message = format!("unknown key {:?}; known are {}", entry.key.text, KEYS.join(", "));
            return Err(ExpectationError { line: entry.line, message });
        }
        let required = |key: &str| wrong(tree, &format!("{key} is missing"));
        let protocol = text(tree, "protocol")?.unwrap_or_else(|| "TCP".to_owned()).to_uppercase();
        if !["TCP", "UDP", "SCTP", "ICMP"].contains(&protocol.as_str()) {
            return Err(wrong(tree, &format!("protocol {protocol:?}: known are TCP, UDP, SCTP, ICMP")));
        }
        let via = text(tree, "via")?.unwrap_or_else(|| "direct".to_owned());
        if !["direct", "service"].contains(&via.as_str()) {
            return Err(wrong(tree, &format!("via {via:?}: known are direct, service")));
        }
        let port = number(tree, "port", u16::MAX.into())?.map(|port| port as u16);
        match (protocol == "ICMP", port) {
            (true, Some(_)) => return Err(wrong(tree, "ICMP has no port")),
            (false, None) => return Err(required("port")),
            _ => {}
        }
        Ok(Self {
            line: tree.line.unwrap_or_default(),
            step: number(tree, "step", u32::MAX.into())?.map(|step| step as usize),
            from: party(tree, "from")?.ok_or_else(|| required("from"))?,
            to: party(tree, "to")?.ok_or_else(|| required("to"))?,
            via,
            protocol,
            port,
            allowed: boolean(tree, "allowed")?.ok_or_else(|| required("allowed"))?,
        })
    }

    fn matches(&self, step: usize, result: &ProbeResult) -> bool {
        let probe = &result.probe;
        self.step.is_none_or(|wanted| wanted == step)
            && (self.protocol.as_str(), self.port) == protocol_and_port(probe.transport)
            && self.via == via_name(probe)
            && self.from == probe.from.to_string()
            && self.to == probe.to.to_string()
    }
}

/// `FILE`-less description of a line: `default/a -> default/b TCP/80 must be allowed`.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, protocol, .. } = self;
        write!(f, "{from} -> {to} {protocol}")?;
        if let Some(port) = self.port {
            write!(f, "/{port}")?;
        }
        if self.via == "service" {
            f.write_str(" by Service")?;
        }
        if let Some(step) = self.step {
            write!(f, " in step {step}")?;
        }
        f.write_str(if self.allowed { " must be allowed" } else { " must be denied" })
    }
}

/// The expectations that do not hold, as `LINE: MESSAGE`.
pub fn failures(expectations: &[Expectation], steps: &[StepResult]) -> Vec<String> {
    expectations.iter().filter_map(|expectation| failure(expectation, steps)).collect()
}

fn failure(expectation: &Expectation, steps: &[StepResult]) -> Option<String> {
    let mut matched = false;
    for step in steps {
        for result in step.results.iter().filter(|result| expectation.matches(step.index, result)) {
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

fn wrong(tree: &Tree, message: &str) -> ExpectationError {
    ExpectationError { line: tree.line, message: message.to_owned() }
}

fn text(tree: &Tree, key: &str) -> Result<Option<String>, ExpectationError> {
    let Some(entry) = tree.get(key) else { return Ok(None) };
    match &entry.value.value {
        Value::Scalar(scalar) if scalar.kind == ScalarKind::String => Ok(Some(scalar.text.to_string())),
        _ => Err(ExpectationError { line: entry.line, message: format!("{key}: expected text") }),
    }
}

fn number(tree: &Tree, key: &str, most: i64) -> Result<Option<i64>, ExpectationError> {
    let Some(entry) = tree.get(key).filter(|entry| !entry.value.is_null()) else { return Ok(None) };
    if let Value::Scalar(scalar) = &entry.value.value
        && let ScalarKind::Integer(number) = scalar.kind
        && (0..=most).contains(&number)
    {
        return Ok(Some(number));
    }
    Err(ExpectationError { line: entry.line, message: format!("{key}: expected a number from 0 to {most}") })
}

fn boolean(tree: &Tree, key: &str) -> Result<Option<bool>, ExpectationError> {
    let Some(entry) = tree.get(key) else { return Ok(None) };
    if let Value::Scalar(scalar) = &entry.value.value
        && let ScalarKind::Boolean(value) = scalar.kind
    {
        return Ok(Some(value));
    }
    Err(ExpectationError { line: entry.line, message: format!("{key}: expected true or false") })
}

/// A name of the form that reports use, so that a typing mistake is not taken for a pod that is missing.
fn party(tree: &Tree, key: &str) -> Result<Option<String>, ExpectationError> {
    let Some(name) = text(tree, key)? else { return Ok(None) };
    let known = match name.split('/').collect::<Vec<_>>().as_slice() {
        ["pod", namespace, name] => !namespace.is_empty() && !name.is_empty(),
        ["node" | "outside", name] => !name.is_empty(),
        _ => false,
    };
    if known {
        return Ok(Some(name));
    }
    let line = tree.get(key).and_then(|entry| entry.line);
    let message = format!("{key}: expected pod/NAMESPACE/NAME, node/NAME or outside/NAME, found {name:?}");
    Err(ExpectationError { line, message })
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

    #[test]
    fn mistakes_are_named_with_their_line() {
        let cases = [
            ("\n- {form: pod/a/b}", "2: unknown key"),
            ("- 1", "1: expected an expectation"),
            ("a: b", "1: expected a list"),
            ("- {from: pod/a/b, to: pod/a/c, port: eighty, allowed: true}", "1: port: expected a number"),
            (
                "- {from: pod/a/b, to: pod/a/c, port: 80, allowed: maybe}",
                "1: allowed: expected true or false",
            ),
            ("- {from: a/b, to: pod/a/c, port: 80, allowed: true}", "1: from: expected pod/NAMESPACE/NAME"),
            ("- {from: pod/a/b, to: pod/a/c, allowed: true}", "1: port is missing"),
            ("- {from: pod/a/b, to: pod/a/c, port: 80}", "1: allowed is missing"),
        ];
        for (text, message) in cases {
            let error = Expectation::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }
}
