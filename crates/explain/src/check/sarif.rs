//! Findings as SARIF 2.1.0, which code hosts show beside the lines.

use serde_json::{Value, json};

use super::{Finding, Report, Rule, Severity};
use crate::written::Place;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

impl Report {
    /// A SARIF log with one run.
    pub fn to_sarif(&self, least: Severity) -> String {
        let rules: Vec<Value> = Rule::ALL.iter().map(|rule| rule_object(*rule)).collect();
        let results: Vec<Value> =
            self.findings.iter().filter(|it| it.severity >= least).map(result).collect();
        let driver = json!({
            "name": "podwall check",
            "version": env!("CARGO_PKG_VERSION"),
            "informationUri": env!("CARGO_PKG_REPOSITORY"),
            "rules": rules,
        });
        let log = json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "results": results}],
        });
        format!("{log:#}\n")
    }
}

fn rule_object(rule: Rule) -> Value {
    json!({
        "id": rule.name(),
        "shortDescription": {"text": rule.summary()},
        "helpUri": format!("{}/blob/main/docs/check-rules.md#{}", env!("CARGO_PKG_REPOSITORY"), rule.name()),
        "defaultConfiguration": {"level": rule.severity().name()},
    })
}

fn result(finding: &Finding) -> Value {
    let index = Rule::ALL.iter().position(|rule| *rule == finding.rule);
    let parts = [&finding.object, &finding.field].into_iter().flatten();
    let text: String = parts.map(|part| format!("{part}: ")).chain([finding.message.clone()]).collect();
    let mut result = json!({
        "ruleId": finding.rule.name(),
        "ruleIndex": index,
        "level": finding.severity.name(),
        "message": {"text": text},
    });
    if let Some(location) = finding.place.as_ref().and_then(location) {
        result["locations"] = json!([location]);
    }
    if let Some(reason) = &finding.ignored {
        result["suppressions"] = json!([{"kind": "inSource", "justification": reason}]);
    }
    result
}

/// Standard input has no name that anybody could open.
fn location(place: &Place) -> Option<Value> {
    (place.file != "-").then(|| {
        json!({"physicalLocation": {
            "artifactLocation": {"uri": uri(&place.file)},
            "region": {"startLine": place.line.max(1)},
        }})
    })
}

/// A relative path stays relative, as code hosts want it.
fn uri(file: &str) -> String {
    let mut uri = String::from(if file.starts_with('/') { "file://" } else { "" });
    for byte in file.strip_prefix("./").unwrap_or(file).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(byte.into())
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
