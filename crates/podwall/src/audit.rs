//! `podwall audit`: what policies in audit mode would have denied on this node.

use std::path::PathBuf;

use clap::Args;
use podwall_policy::{FlowRecord, FlowVerdict};
use podwall_reconciler::status::FlowsHeader;
use serde::Serialize;

use crate::flow_stream::{FlowStream, SOCKET};
use crate::flows::{ends, remarks};
use crate::output::print;
use crate::status::ago;

/// A policy in audit mode would have denied something.
const WOULD_DENY: u8 = 1;

/// The options of `podwall audit`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Only policies of this namespace; may be repeated
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The agent's socket
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  kubectl annotate networkpolicy -n shop db podwall.io/mode=audit
  podwall audit --namespace shop
  kubectl -n kube-system exec ds/podwall -- podwall audit --json
  kubectl annotate networkpolicy -n shop db podwall.io/mode-

A policy with the annotation podwall.io/mode=audit, or in a namespace with it, is not enforced: what it would deny is let
pass and reported. Counts are of what was logged since the agent started; taking the annotation away enforces the policy,
in one transaction.

Exit codes: 0 nothing would have been denied; 1 something would; 2 usage, or no agent answers.";

/// What a policy in audit mode would have denied.
#[derive(Serialize)]
struct Finding<'a> {
    policy: &'a str,
    /// Absent when nothing would have been denied.
    flows: Vec<&'a FlowRecord>,
}

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let stream = FlowStream::open(&arguments.socket)?;
    let findings = findings(&stream, &arguments.namespaces);
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&findings)? + "\n",
        false => describe(&findings, &stream.header),
    };
    print(&text)?;
    let any = findings.iter().any(|finding| !finding.flows.is_empty());
    Ok(if any { WOULD_DENY } else { 0 })
}

/// By policy; of those that are gone or enforced meanwhile nothing is said.
fn findings<'a>(stream: &'a FlowStream, namespaces: &[String]) -> Vec<Finding<'a>> {
    let wanted = |policy: &&String| {
        namespaces.is_empty()
            || policy
                .split_once('/')
                .is_some_and(|(namespace, _)| namespaces.iter().any(|it| it == namespace))
    };
    let of = |policy: &'a String| {
        let audited = stream.records.iter().filter(|record| record.verdict == FlowVerdict::Audit);
        let mut flows: Vec<&FlowRecord> = audited.filter(|record| record.policies.contains(policy)).collect();
        flows.sort_by_key(|record| std::cmp::Reverse(record.count));
        Finding { policy, flows }
    };
    stream.header.audited_policies.iter().filter(wanted).map(of).collect()
}

fn describe(findings: &[Finding<'_>], header: &FlowsHeader) -> String {
    let mut text = String::new();
    if findings.is_empty() {
        text.push_str("no policy is in audit mode\n");
    }
    for Finding { policy, flows } in findings {
        match flows.is_empty() {
            true => text.push_str(&format!("{policy} would have denied nothing on {}\n", header.node)),
            false => text.push_str(&format!("{policy} would have denied on {}:\n", header.node)),
        }
        for record in flows {
            let (first, last) = (ago(record.first_seen_ms / 1000), ago(record.last_seen_ms / 1000));
            text.push_str(&format!(
                "  {:>6} times, first {first} ago, last {last} ago: {}\n",
                record.count,
                ends(record)
            ));
        }
    }
    for line in remarks(header) {
        text.push_str(&format!("{line}\n"));
    }
    text
}
