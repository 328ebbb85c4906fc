//! Who may not be on a node with an agent: a second agent, IPVS, and, though it is only named, another enforcer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use podwall_integration::arena::{Traffic, enforced};
use podwall_integration::{Agent, ApiServer};
use podwall_lab::Layout;

/// How often the agent looks around here.
const RESYNC_INTERVAL_S: u64 = 1;
/// How long what it does then may take.
const LIMIT: Duration = Duration::from_secs(5);

/// With the same arguments, the same socket and port among them: the first one does not even notice.
pub fn second_agent(api: &mut ApiServer) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, false)?;
    let agent = world.agents.get_mut("node-1").context("a node")?;
    let (ruleset, log) = (agent.ruleset()?, agent.log()?);
    let (ended, said) = agent.start_another(LIMIT)?;
    ensure!(ended.code() == Some(1), "it ended with {ended}:\n{said}");
    let id = agent.id().context("the first one")?;
    let line = format!("another podwall agent (process {id}) already enforces in this network namespace");
    ensure!(said.lines().count() == 1 && said.contains(&line), "{said}");
    ensure!(agent.ruleset()? == ruleset && agent.log()? == log, "the first one noticed");
    ensure!(agent.status()?["pid"] == id, "the status is not the first one's: {}", agent.status()?);
    Ok("exit code 1, one line".to_owned())
}

/// Found at the start, and later.
pub fn ipvs(api: &mut ApiServer) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, false)?;
    let (traffic, start) = (Traffic::start(&world)?, Instant::now());
    let agent = world.agents.get_mut("node-1").context("a node")?;
    look_often(agent)?;
    let from = agent.log()?.len();
    // kube-proxy's is of kind dummy; the name is what counts.
    agent.on_node("ip", &["link", "add", "kube-ipvs0", "type", "bridge"])?;
    let ended = agent.wait_until_ended(LIMIT)?;
    ensure!(ended.code() == Some(1), "it ended with {ended}");
    let line = agent.wait_for_log("kube-proxy uses IPVS on this node", from, LIMIT)?;
    ensure!(line.contains("run kube-proxy in mode nftables or iptables"), "{line}");
    let from = agent.log()?.len();
    agent.start()?;
    let ended = agent.wait_until_ended(LIMIT)?;
    ensure!(ended.code() == Some(1), "it ended with {ended}");
    agent.wait_for_log("kube-proxy uses IPVS on this node", from, LIMIT)?;
    agent.on_node("ip", &["link", "delete", "kube-ipvs0"])?;
    agent.start()?;
    agent.wait_until_ready(LIMIT)?;
    let fate = traffic.finish(start)?;
    fate.check()?;
    Ok(format!("at the start and later, exit code 1; none of {} packets lost or leaked", fate.packets))
}

/// In the log, the status and the metrics, and then no more.
pub fn another_enforcer(api: &mut ApiServer) -> Result<String> {
    const WORDS: &str = "Calico enforces on this node too";
    let mut world = enforced(api, Layout::Routed, false)?;
    let agent = world.agents.get_mut("node-1").context("a node")?;
    look_often(agent)?;
    ensure!(problems(agent)? == (0.0, Vec::new()), "{:?}", problems(agent)?);
    let from = agent.log()?.len();
    agent.nft("add table ip filter; add chain ip filter cali-FORWARD")?;
    let line = agent.wait_for_log(WORDS, from, LIMIT)?;
    ensure!(line.contains("WARN"), "{line}");
    let (count, texts) = problems(agent)?;
    ensure!(count == 1.0 && matches!(&texts[..], [one] if one.contains(WORDS)), "{count}, {texts:?}");
    ensure!(agent.status_text(&[])?.contains(WORDS), "{}", agent.status_text(&[])?);
    agent.nft("delete table ip filter")?;
    let line = agent.wait_for_log("no longer a problem", from, LIMIT)?;
    ensure!(line.contains(WORDS), "{line}");
    ensure!(problems(agent)? == (0.0, Vec::new()), "{:?}", problems(agent)?);
    Ok(format!("named and forgotten, looking every {RESYNC_INTERVAL_S} s"))
}

fn look_often(agent: &mut Agent) -> Result<()> {
    agent.options = vec!["--resync-interval-s".to_owned(), RESYNC_INTERVAL_S.to_string()];
    agent.start()?;
    agent.wait_until_ready(LIMIT).map(drop)
}

/// What the metrics and the status say.
fn problems(agent: &Agent) -> Result<(f64, Vec<String>)> {
    let count = agent.metric("podwall_problems{consequence=\"ignored\"}")?;
    let status = agent.status()?;
    let Some(problems) = status["problems"].as_array() else { bail!("no problems in {status}") };
    Ok((count, problems.iter().map(|it| it.as_str().unwrap_or_default().to_owned()).collect()))
}
