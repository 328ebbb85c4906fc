//! What the agent on this node says of flows.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use podwall_policy::FlowRecord;
use podwall_reconciler::status::{FlowsHeader, FlowsSkipped};

/// Where the agent answers unless it was told otherwise.
pub const SOCKET: &str = "/run/podwall/flows.socket";
const PATIENCE: Duration = Duration::from_secs(10);

/// The agent's flow log.
pub struct FlowStream {
    /// What it says first.
    pub header: FlowsHeader,
    /// What it has kept.
    pub records: Vec<FlowRecord>,
    lines: Lines<BufReader<UnixStream>>,
}

/// One thing that comes.
pub enum Came {
    /// A connection.
    Flow(Box<FlowRecord>),
    /// So many came faster than we read.
    Skipped(u64),
}

impl FlowStream {
    /// Asks the agent.
    pub fn open(socket: &Path) -> anyhow::Result<Self> {
        let shown = socket.display();
        let stream = UnixStream::connect(socket).with_context(|| {
            format!("no agent answers on {shown}: does it run on this node, and are you root?")
        })?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let silent = || format!("the agent on {shown} does not answer");
        let first = lines.next().with_context(silent)?.with_context(silent)?;
        let other = || format!("the agent on {shown} is of another version: use its own podwall");
        let header: FlowsHeader = serde_json::from_str(&first).with_context(other)?;
        let mut records = Vec::new();
        loop {
            let line = lines.next().with_context(silent)?.with_context(silent)?;
            if line.is_empty() {
                break;
            }
            records.push(serde_json::from_str(&line).with_context(other)?);
        }
        // What comes may take its time.
        stream.set_read_timeout(None)?;
        Ok(Self { header, records, lines })
    }

    /// Waits for what comes next; `None` when the agent has gone.
    pub fn next(&mut self) -> anyhow::Result<Option<Came>> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        let line = line?;
        if let Ok(FlowsSkipped { skipped }) = serde_json::from_str(&line) {
            return Ok(Some(Came::Skipped(skipped)));
        }
        let record =
            serde_json::from_str(&line).map_err(|error| anyhow!("the agent says {line:?}: {error}"))?;
        Ok(Some(Came::Flow(Box::new(record))))
    }
}
