//! Flow logs from files, for the subcommands that read them.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow};
use podwall_explain::read_flow_log;
use podwall_policy::FlowRecord;

/// Reads a flow log; `-` is standard input.
pub fn read(path: &Path) -> anyhow::Result<Vec<FlowRecord>> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    }
    read_flow_log(&text).map_err(|error| anyhow!("{}: {error}", path.display()))
}
