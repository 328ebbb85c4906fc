//! What this node holds at the moment: the agent's word on its pods, and the connections that the kernel tracks.

use std::path::PathBuf;

use clap::Args;
use podwall_explain::Snapshot;
use podwall_explain::explain::{Answer, Question};
use podwall_explain::live::{OpenConnection, OpenGroup, asked_about, cut, grouped};
use podwall_netlink::{Conntrack, ConntrackFilter, Entry};
use podwall_policy::{Endpoint, Transport};
use podwall_reconciler::status::{PodStatus, Status};
use serde_json::{Value as Json, json};

use crate::status::{self, SOCKET, ago};

/// How many pods and connections are written out.
const SHOWN: usize = 10;

/// Whether this node is asked too.
#[derive(Args)]
pub struct HereOptions {
    /// On a node, as root: say also what its agent and its kernel hold at the moment
    #[arg(long)]
    here: bool,
    /// The agent's socket
    #[arg(long, value_name = "PATH", default_value = SOCKET, requires = "here")]
    socket: PathBuf,
}

/// What this node holds. What could not be looked at says why.
pub struct Here {
    agent: Result<Status, String>,
    open: Result<Vec<OpenConnection>, String>,
}

impl HereOptions {
    /// Looks, if that was asked for.
    pub fn look(&self) -> Option<Here> {
        self.here.then(|| {
            let agent = status::ask(&self.socket).map_err(|error| format!("{error:#}"));
            let mark = agent.as_ref().ok().and_then(|status| status.revoked_mark);
            Here { agent, open: open_connections(mark.unwrap_or(0)) }
        })
    }
}

impl Here {
    /// The pods that a question is about as they are enforced here, and what is open between them.
    pub fn of_answer(&self, snapshot: &Snapshot, question: &Question, answer: &Answer) -> Findings<'_> {
        let ends = [&question.from, &question.to].map(|it| it.endpoints(snapshot).unwrap_or_default());
        let mut pods: Vec<String> = Vec::new();
        for end in ends.iter().flatten() {
            if let Endpoint::Pod { pod, .. } = end
                && !pods.contains(&pod.to_string())
            {
                pods.push(pod.to_string());
            }
        }
        let open = self.open.as_ref().map_err(Clone::clone).map(|open| {
            let about = asked_about(snapshot, question, answer, open).unwrap_or_default();
            grouped(snapshot, about.into_iter())
        });
        Findings { title: "open connections", agent: &self.agent, pods, open }
    }

    /// The connections that a change cuts on this node.
    pub fn of_change(&self, before: &Snapshot, after: &Snapshot) -> Findings<'_> {
        let open = self.open.as_ref().map_err(Clone::clone).map(|open| cut(before, after, open));
        Findings { title: "open connections that would be cut", agent: &self.agent, pods: Vec::new(), open }
    }
}

/// What this node holds of a question.
pub struct Findings<'h> {
    title: &'static str,
    agent: &'h Result<Status, String>,
    pods: Vec<String>,
    open: Result<Vec<OpenGroup>, String>,
}

impl Findings<'_> {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        match self.agent {
            Err(error) => lines.push(format!("on this node: {error}")),
            Ok(status) => {
                let since = status.enforcing_since_s.map_or_else(
                    || "which does not enforce yet".to_owned(),
                    |since_s| format!("enforcing for {}", ago(since_s)),
                );
                lines.push(format!("on this node ({}, {since})", status.node));
                lines.extend(self.pods.iter().take(SHOWN).map(|pod| format!("  {}", describe(status, pod))));
                if let more @ 1.. = self.pods.len().saturating_sub(SHOWN) {
                    lines.push(format!("  and {more} more pods"));
                }
            }
        }
        match &self.open {
            Err(error) => lines.push(format!("  connections cannot be listed: {error}")),
            Ok(groups) if groups.is_empty() => lines.push(format!("  {}: none", self.title)),
            Ok(groups) => {
                let count: usize = groups.iter().map(|group| group.count).sum();
                lines.push(format!("  {}: {count}", self.title));
                lines.extend(groups.iter().take(SHOWN).map(|group| format!("    {group}")));
                if let more @ 1.. = groups.len().saturating_sub(SHOWN) {
                    lines.push(format!("    and {more} more like these"));
                }
            }
        }
        lines.into_iter().map(|line| line + "\n").collect()
    }

    /// For programs.
    pub fn to_json(&self) -> Json {
        let result = |value: Result<Json, &String>| value.unwrap_or_else(|error| json!({"error": error}));
        let pods: Vec<Json> = self
            .pods
            .iter()
            .map(|pod| {
                let status = self.agent.as_ref().ok().and_then(|status| find(status, pod));
                json!({"pod": pod, "enforced": status})
            })
            .collect();
        let agent = self.agent.as_ref().map(
            |status| json!({"node": status.node, "enforcingSinceS": status.enforcing_since_s, "notReady": status.not_ready}),
        );
        let open = self.open.as_ref().map(|groups| json!(groups));
        json!({"agent": result(agent), "pods": pods, "connections": result(open)})
    }
}

fn find<'s>(status: &'s Status, pod: &str) -> Option<&'s PodStatus> {
    status.local_pods.iter().find(|it| it.pod == pod)
}

fn describe(status: &Status, pod: &str) -> String {
    let Some(found) = find(status, pod) else { return format!("{pod} is no pod of this node") };
    let place = found.interface.as_deref().unwrap_or("its addresses");
    let since = found.since_s.map(|since_s| format!(" for {}", ago(since_s))).unwrap_or_default();
    let judged = |chain: &Option<String>| match chain {
        Some(chain) => format!("judged by chain {chain}"),
        None => "open".to_owned(),
    };
    format!(
        "{pod} is enforced by {place}{since}: ingress {}, egress {}",
        judged(&found.ingress_chain),
        judged(&found.egress_chain)
    )
}

/// What the kernel tracks; those that carry the mark were cut.
fn open_connections(revoked_mark: u32) -> Result<Vec<OpenConnection>, String> {
    let mut open = Vec::new();
    let mut conntrack = Conntrack::open().map_err(|error| error.to_string())?;
    conntrack
        .list(ConntrackFilter::default(), |entry| open.push(open_connection(&entry, revoked_mark)))
        .map_err(|error| error.to_string())?;
    Ok(open)
}

/// Who answers is the source of answers: where the connection went after translation.
fn open_connection(entry: &Entry, revoked_mark: u32) -> OpenConnection {
    OpenConnection {
        from: entry.original.source,
        to: entry.reply.source,
        transport: Transport::of(entry.original.protocol, entry.reply.source_port),
        revoked: entry.mark & revoked_mark != 0,
    }
}
