//! `podwall status`: what the agent on this node enforces.

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use podwall_reconciler::status::{PodStatus, Status};
use serde_json::json;

use crate::output::{OutputOptions, print};

/// Where the agent answers unless it was told otherwise.
pub const SOCKET: &str = "/run/podwall/status.socket";
/// The node is not enforced as it should be.
const NOT_READY: u8 = 1;
const PATIENCE: Duration = Duration::from_secs(10);

/// The options of `podwall status`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The agent's socket
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    #[command(flatten)]
    output: OutputOptions,
}

const EXAMPLES: &str = "\
Examples:
  podwall status
  kubectl -n kube-system exec ds/podwall -- podwall status --json

Exit codes: 0 in sync and enforcing; 1 not ready, and why is printed; 2 usage, or no agent answers.";

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let status = ask(&arguments.socket)?;
    let text = |wide| if wide { table(&status) } else { describe(&status) };
    print(&arguments.output.write(text, || json!(status)))?;
    Ok(if status.not_ready.is_empty() { 0 } else { NOT_READY })
}

/// Asks the agent.
pub fn ask(socket: &Path) -> anyhow::Result<Status> {
    let name = socket.display();
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!("no agent answers on {name}: does it run on this node, and are you root?")
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text).with_context(|| format!("the agent on {name} does not answer"))?;
    serde_json::from_str(&text)
        .with_context(|| format!("the agent on {name} is of another version: use its own podwall"))
}

/// A line for each pod.
fn table(status: &Status) -> String {
    let head = ["POD", "ADDRESSES", "INTERFACE", "INGRESS", "EGRESS", "FOR", "POLICIES"].map(str::to_owned);
    let or_open = |chain: &Option<String>| chain.clone().unwrap_or_else(|| "open".to_owned());
    let row = |pod: &PodStatus| {
        [
            pod.pod.clone(),
            pod.addresses.join(","),
            pod.interface.clone().unwrap_or_else(|| "-".to_owned()),
            or_open(&pod.ingress_chain),
            or_open(&pod.egress_chain),
            pod.since_s.map_or_else(|| "-".to_owned(), ago),
            pod.policies.join(","),
        ]
    };
    let rows: Vec<_> = [head].into_iter().chain(status.local_pods.iter().map(row)).collect();
    let mut widths = [0; 7];
    for row in &rows {
        row.iter().zip(&mut widths).for_each(|(cell, width)| *width = cell.len().max(*width));
    }
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}   "));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

fn describe(status: &Status) -> String {
    let mut text = String::new();
    let mut line =
        |words: std::fmt::Arguments<'_>| writeln!(text, "{words}").expect("a String takes everything");
    line(format_args!("node {} (podwall {}, process {})", status.node, status.version, status.pid));
    match status.enforcing_since_s {
        Some(since_s) => line(format_args!("enforcing for {}", ago(since_s))),
        None => line(format_args!("NOT ENFORCING YET")),
    }
    for reason in &status.not_ready {
        line(format_args!("not ready: {reason}"));
    }
    line(format_args!("cluster: {} pods, {} policies", status.pods, status.policies));
    line(format_args!("pods that are not known yet: {}", status.unknown_pods));
    line(format_args!(
        "{} transactions, {} changes by others undone, {} connections cut{}",
        status.transactions,
        status.drift_repairs,
        status.revoked_connections,
        if status.revoked_mark.is_some() { "" } else { " (revocation is off)" }
    ));
    line(format_args!("flow log: {}", status.flow_log));
    if !status.audited_policies.is_empty() {
        line(format_args!("in audit mode: {}", status.audited_policies.join(" ")));
    }
    line(format_args!(""));
    for pod in &status.local_pods {
        line(format_args!("{}", describe_pod(pod)));
    }
    if status.local_pods.is_empty() {
        line(format_args!("no pods on this node"));
    }
    if !status.problems.is_empty() {
        line(format_args!("\nproblems:"));
    }
    for problem in &status.problems {
        line(format_args!("  {problem}"));
    }
    text
}

fn describe_pod(pod: &PodStatus) -> String {
    let place = match (&pod.interface, pod.bridged) {
        (Some(interface), false) => interface.clone(),
        (Some(interface), true) => format!("{interface} (bridged)"),
        (None, _) => "known by address".to_owned(),
    };
    let direction = |chain: &Option<String>| chain.clone().unwrap_or_else(|| "open".to_owned());
    let mut text = format!(
        "{}  {}  {place}\n    ingress {}  egress {}",
        pod.pod,
        pod.addresses.join(" "),
        direction(&pod.ingress_chain),
        direction(&pod.egress_chain)
    );
    if !pod.policies.is_empty() {
        write!(text, "\n    policies {}", pod.policies.join(" ")).expect("a String takes everything");
    }
    if let Some(since_s) = pod.since_s {
        write!(text, "\n    for {}", ago(since_s)).expect("a String takes everything");
    }
    text
}

/// How long it is since then.
pub fn ago(since_s: u64) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let seconds = now_s.saturating_sub(since_s);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
