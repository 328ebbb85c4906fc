//! What somebody expects of a cluster: lines of a YAML file, of connections that must be allowed or denied.

use std::fmt;

use crate::tree::{self, ScalarKind, Tree, Value};

/// The keys of a line.
const KEYS: [&str; 7] = ["step", "from", "to", "via", "protocol", "port", "allowed"];

/// What stands before NAMESPACE/NAME of an end.
const KINDS: [&str; 8] =
    ["pod", "deployment", "statefulset", "daemonset", "replicaset", "job", "service", "svc"];

/// One line of the file: all connections that it speaks of must be allowed, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The line, the first being 1.
    pub line: usize,
    /// Of which state of the cluster it speaks; of all when `None`.
    pub step: Option<usize>,
    /// Who opens the connection: `pod/NAMESPACE/NAME`, another kind, `node/NAME` or `outside/NAME`.
    pub from: String,
    /// Whom it is meant for.
    pub to: String,
    /// `direct`, or `service` when a Service is dialled that leads to `to`.
    pub via: String,
    /// `TCP`, `UDP`, `SCTP` or `ICMP`
    pub protocol: String,
    /// The port that is dialled; ICMP has none.
    pub port: Option<u16>,
    /// What is expected.
    pub allowed: bool,
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
        [kind, namespace, name] => KINDS.contains(kind) && !namespace.is_empty() && !name.is_empty(),
        ["node" | "outside", name] => !name.is_empty(),
        _ => false,
    };
    if known {
        return Ok(Some(name));
    }
    let line = tree.get(key).and_then(|entry| entry.line);
    let message = format!(
        "{key}: expected pod/NAMESPACE/NAME, node/NAME or outside/NAME, found {name:?}; in place of pod may stand {}",
        KINDS[1..].join(", ")
    );
    Err(ExpectationError { line, message })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (
                "- {from: pod/a/b, to: pod/a/c, port: 80, protocol: ICMP, allowed: true}",
                "1: ICMP has no port",
            ),
            ("- {from: 12, to: pod/a/c, port: 80, allowed: true}", "1: from: expected text"),
            (
                "- {from: pod//b, to: pod/a/c, port: 80, allowed: true}",
                "1: from: expected pod/NAMESPACE/NAME",
            ),
            (
                "- {from: pod/a/, to: pod/a/c, port: 80, allowed: true}",
                "1: from: expected pod/NAMESPACE/NAME",
            ),
            (
                "- {from: pods/a/b, to: pod/a/c, port: 80, allowed: true}",
                "1: from: expected pod/NAMESPACE/NAME",
            ),
            ("- {from: node/, to: pod/a/c, port: 80, allowed: true}", "1: from: expected pod/NAMESPACE/NAME"),
        ];
        for (text, message) in cases {
            let error = Expectation::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn an_expectation_says_what_it_expects() {
        let text = "- {from: pod/a/b, to: outside/web, port: 80, allowed: true}\n\
            - {from: node/n1, to: pod/a/c, port: 53, protocol: UDP, via: service, step: 2, allowed: false}\n\
            - {from: pod/a/b, to: pod/a/c, protocol: ICMP, allowed: false}\n";
        let all = Expectation::read(text.as_bytes()).unwrap();
        assert_eq!(
            all.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "pod/a/b -> outside/web TCP/80 must be allowed",
                "node/n1 -> pod/a/c UDP/53 by Service in step 2 must be denied",
                "pod/a/b -> pod/a/c ICMP must be denied",
            ]
        );
    }
}
