//! `podwall flows`: what the agent on this node saw denied, and what it saw allowed when it was told to look.

use std::path::PathBuf;

use clap::Args;
use podwall_policy::{FlowDirection, FlowEnd, FlowRecord, FlowVerdict};
use podwall_reconciler::status::FlowsHeader;

use crate::flow_stream::{Came, FlowStream, SOCKET};
use crate::output::print;
use crate::status::ago;

/// The options of `podwall flows`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Go on with what comes, until stopped
    #[arg(long)]
    follow: bool,
    /// Only flows from or to pods of this namespace; may be repeated
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Only what was denied
    #[arg(long)]
    denied: bool,
    /// Only what policies in audit mode would deny
    #[arg(long)]
    audited: bool,
    /// Only what was allowed
    #[arg(long)]
    allowed: bool,
    /// Print records, a line of JSON each
    #[arg(long)]
    json: bool,
    /// The agent's socket
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  podwall flows --denied --namespace shop
  podwall flows --follow
  kubectl -n kube-system exec ds/podwall -- podwall flows --json > flows.jsonl

Without --denied, --audited or --allowed, everything that is logged. A log is a sample: of each pod and of all together
only so many first packets are logged in a second, and what was beyond that is counted and said at the end.

Exit codes: 0 done; 2 usage, or no agent answers.";

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let mut stream = FlowStream::open(&arguments.socket)?;
    for record in stream.records.iter().filter(|record| arguments.wants(record)) {
        arguments.show(record)?;
    }
    for line in remarks(&stream.header) {
        eprintln!("{line}");
    }
    if arguments.follow {
        follow(arguments, &mut stream)?;
    }
    Ok(0)
}

fn follow(arguments: &Arguments, stream: &mut FlowStream) -> anyhow::Result<()> {
    loop {
        match stream.next()? {
            Some(Came::Flow(record)) if arguments.wants(&record) => arguments.show(&record)?,
            Some(Came::Flow(_)) => {}
            Some(Came::Skipped(count)) => eprintln!("{count} records came faster than they were read"),
            None => return Ok(()),
        }
    }
}

impl Arguments {
    fn wants(&self, record: &FlowRecord) -> bool {
        let any = !self.denied && !self.audited && !self.allowed;
        let verdict = match record.verdict {
            FlowVerdict::Denied => self.denied,
            FlowVerdict::Audit => self.audited,
            FlowVerdict::Allowed => self.allowed,
        };
        let is_there = |end: &FlowEnd| {
            end.pod.as_ref().is_some_and(|pod| self.namespaces.iter().any(|it| **it == *pod.namespace))
        };
        let place = self.namespaces.is_empty() || is_there(&record.from) || is_there(&record.to);
        (any || verdict) && place
    }

    fn show(&self, record: &FlowRecord) -> anyhow::Result<()> {
        let line = if self.json { serde_json::to_string(record)? } else { describe(record) };
        print(&format!("{line}\n"))
    }
}

/// A record in a line, for people.
pub fn describe(record: &FlowRecord) -> String {
    let verdict = match record.verdict {
        FlowVerdict::Denied => "denied",
        FlowVerdict::Audit => "would be denied",
        FlowVerdict::Allowed => "allowed",
    };
    let direction = match record.direction {
        Some(FlowDirection::Egress) => " egress",
        Some(FlowDirection::Ingress) => " ingress",
        None => "",
    };
    let mut text =
        format!("{:>8} ago  {verdict}{direction}  {}", ago(record.last_seen_ms / 1000), ends(record));
    if record.count > 1 {
        text.push_str(&format!("  {} packets", record.count));
    }
    if !record.policies.is_empty() {
        text.push_str(&format!("  by {}", record.policies.join(" ")));
    }
    text
}

/// Who, to whom, and what is spoken.
pub fn ends(record: &FlowRecord) -> String {
    let end = |end: &FlowEnd| match (&end.pod, end.own_node) {
        (Some(pod), _) => pod.to_string(),
        (None, true) => format!("this node ({})", end.address),
        (None, false) => end.address.to_string(),
    };
    let port = record.port.map_or(String::new(), |port| format!("/{port}"));
    let protocol = match &*record.protocol {
        "TCP" | "UDP" | "SCTP" => record.protocol.clone(),
        number => format!("IP protocol {number}"),
    };
    format!("{} -> {}  {protocol}{port}", end(&record.from), end(&record.to))
}

/// What there is to know about the log as a whole.
pub fn remarks(header: &FlowsHeader) -> Vec<String> {
    let mut lines = Vec::new();
    if header.flow_log == "off" {
        lines.push(format!("the agent of {} has no flow log: start it with --flow-log denied", header.node));
    }
    for (count, what) in header.beyond_limits.iter().zip(["denied", "audited", "allowed"]) {
        if *count > 0 {
            lines.push(format!("{count} more packets were {what}, beyond what is logged in a second"));
        }
    }
    if header.lost > 0 {
        lines.push(format!("{} packets were logged and lost on the way to the agent", header.lost));
    }
    lines
}
