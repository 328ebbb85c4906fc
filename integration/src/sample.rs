//! What an agent costs at one moment.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::process::Command;

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
    /// Threads.
    pub threads: usize,
    /// What is left behind in its namespace.
    pub kernel: KernelObjects,
}

/// What a node's network namespace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelObjects {
    /// Network interfaces.
    pub links: usize,
    /// Network namespaces that its interfaces lead to.
    pub namespaces: usize,
    /// Chains of ours.
    pub chains: usize,
    /// Sets and maps of ours.
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
        let threads = fs::read_dir(format!("/proc/{id}/task"))?.count();
        Ok(Self {
            memory_kib: memory_kib.context("no resident memory")?,
            descriptors,
            threads,
            kernel: KernelObjects::count(agent)?,
        })
    }
}

impl KernelObjects {
    /// Counts them in the namespace of an agent's node, whether it runs or not.
    pub fn count(agent: &Agent) -> Result<Self> {
        let mut kernel = agent.namespace().enter(Kernel::open)??;
        let tables = match kernel.read(&[table_id(), bridge_table_id()])? {
            ReadBack::Exactly(ruleset) => ruleset.tables,
            ReadBack::Foreign { table, what } => bail!("{table:?}: {what}"),
        };
        let sets = || tables.values().flat_map(|table| table.sets.values());
        let links = agent.namespace().enter(|| Command::new("ip").args(["-oneline", "link"]).output())??;
        let links = String::from_utf8_lossy(&links.stdout).into_owned();
        let leads_to = |line: &str| Some(line.split_once("link-netnsid ")?.1.split(' ').next()?.to_owned());
        Ok(Self {
            links: links.lines().count(),
            namespaces: links.lines().filter_map(leads_to).collect::<BTreeSet<_>>().len(),
            chains: tables.values().map(|table| table.chains.len()).sum(),
            sets: sets().count(),
            elements: sets().map(|set| set.elements.len()).sum(),
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_kib, descriptors, threads, kernel } = self;
        write!(f, "{memory_kib} KiB, {descriptors} descriptors, {threads} threads, {kernel}")
    }
}

impl fmt::Display for KernelObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { links, namespaces, chains, sets, elements } = self;
        write!(
            f,
            "{links} links to {namespaces} namespaces, {chains} chains, {sets} sets, {elements} elements"
        )
    }
}
