//! What an agent costs at one moment.

use std::fmt;
use std::fs;

use anyhow::{Context, Result, bail};
use podwall_compiler::{bridge_table_id, table_id};
use podwall_netlink::{Kernel, ReadBack};

use crate::agent::Agent;

/// What an agent costs at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Resident memory.
    pub memory_kib: usize,
    /// Open files.
    pub descriptors: usize,
    /// Chains in the kernel.
    pub chains: usize,
    /// Sets and maps in the kernel.
    pub sets: usize,
    /// Their elements.
    pub elements: usize,
}

impl Sample {
    /// Takes a sample of an agent that runs.
    pub fn take(agent: &Agent) -> Result<Self> {
        let id = agent.id().context("the agent does not run")?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory_kib = memory.and_then(|text| text.split_whitespace().next()?.parse().ok());
        let descriptors = fs::read_dir(format!("/proc/{id}/fd"))?.count();
        let mut kernel = agent.namespace().enter(Kernel::open)??;
        let tables = match kernel.read(&[table_id(), bridge_table_id()])? {
            ReadBack::Exactly(ruleset) => ruleset.tables,
            ReadBack::Foreign { table, what } => bail!("{table:?}: {what}"),
        };
        let sets = || tables.values().flat_map(|table| table.sets.values());
        Ok(Self {
            memory_kib: memory_kib.context("no resident memory")?,
            descriptors,
            chains: tables.values().map(|table| table.chains.len()).sum(),
            sets: sets().count(),
            elements: sets().map(|set| set.elements.len()).sum(),
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_kib, descriptors, chains, sets, elements } = self;
        write!(
            f,
            "{memory_kib} KiB, {descriptors} descriptors, {chains} chains, {sets} sets, {elements} elements"
        )
    }
}
