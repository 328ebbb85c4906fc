//! Agents that end and begin again, with packets under way: what is in force stays so.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use podwall_integration::arena::{Traffic, enforced, party, world};
use podwall_integration::{Agent, ApiServer, KernelObjects, Process, World};
use podwall_lab::Layout;

const READY_LIMIT: Duration = Duration::from_secs(10);
const KILLS: usize = 3;

/// Not a transaction: neither the kernel's generation nor the handle of any object changes.
pub fn without_change(api: &mut ApiServer) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, true)?;
    let (traffic, start) = (Traffic::start(&world)?, Instant::now());
    let agent = agent(&mut world)?;
    let generations = Generations::watch(agent, api)?;
    let before = agent.ruleset()?;
    ensure!(before.contains("# handle") && before.contains("table inet podwall"), "no rules:\n{before}");
    for _ in 0..KILLS {
        agent.start()?;
        agent.wait_until_ready(READY_LIMIT)?;
        // The links are looked at, and problems looked over, a little later.
        sleep(Duration::from_millis(300));
        ensure!(agent.ruleset()? == before, "the ruleset is another:\n{before}\n{}", agent.ruleset()?);
        let transactions = agent.metric("podwall_transactions_total")?;
        ensure!(transactions == 0.0, "{transactions} transactions");
        // What it says of itself does not wait for one.
        for size in ["podwall_pods", "podwall_chains", "podwall_isolated_pods"] {
            ensure!(agent.metric(size)? > 0.0, "{size} is nothing after a restart");
        }
    }
    let writers = generations.finish(agent)?;
    ensure!(writers.is_empty(), "somebody wrote: {writers:?}");
    let fate = traffic.finish(start)?;
    fate.check()?;
    Ok(format!("{KILLS} kills, no new generation; none of {} packets lost or leaked", fate.packets))
}

/// SIGTERM, as the kubelet sends it.
pub fn stop(api: &mut ApiServer) -> Result<String> {
    let mut world = enforced(api, Layout::Bridged, true)?;
    let (traffic, start) = (Traffic::start(&world)?, Instant::now());
    let mut longest = Duration::ZERO;
    for agent in world.agents.values_mut() {
        let (before, asked) = (agent.ruleset()?, Instant::now());
        let ended = agent.terminate(Duration::from_secs(5))?;
        longest = longest.max(asked.elapsed());
        ensure!(ended.success(), "it ended with {ended}");
        agent.wait_for_log("stopping: the rules stay in force", 0, Duration::ZERO)?;
        ensure!(agent.ruleset()? == before, "the ruleset is another");
    }
    sleep(Duration::from_secs(1));
    let fate = traffic.finish(start)?;
    fate.check()?;
    Ok(format!("stopped within {longest:.0?}; none of {} packets lost or leaked", fate.packets))
}

/// A table of our name that we never made: it closes what is closed, by other means.
pub fn from_another_version(api: &mut ApiServer) -> Result<String> {
    let mut world = world(api, Layout::Routed, false)?;
    let address = |name: &str, v4: bool| {
        let addresses = world.addresses(&party(name));
        addresses.into_iter().find(|it| it.is_ipv4() == v4).context("an address of both families")
    };
    let table = format!(
        "table inet podwall {{
           comment \"podwall 0.0.1\"
           counter drops {{ comment \"of long ago\"; }}
           set friends {{ type ipv6_addr; flags interval; elements = {{ {f6} }}; }}
           map pods {{ type ipv4_addr : verdict; elements = {{ {s4} : jump old-server }}; }}
           chain old-server {{ ip saddr != {f4} counter name drops drop; }}
           chain old-forward {{
             type filter hook forward priority -5; policy accept;
             ip daddr vmap @pods
             ip6 daddr {s6} ip6 saddr != @friends counter name drops drop
           }}
         }}",
        f4 = address("friend", true)?,
        f6 = address("friend", false)?,
        s4 = address("server", true)?,
        s6 = address("server", false)?,
    );
    agent(&mut world)?.nft(&table)?;
    let (traffic, start) = (Traffic::start(&world)?, Instant::now());
    sleep(Duration::from_millis(300));
    let agent = agent(&mut world)?;
    let generations = Generations::watch(agent, api)?;
    agent.start()?;
    agent.wait_until_ready(READY_LIMIT)?;
    sleep(Duration::from_secs(1));
    let writers = generations.finish(agent)?;
    ensure!(writers.len() == 1, "one transaction, and not {writers:?}");
    agent.wait_for_log("what is in our table is not as we make it", 0, Duration::ZERO)?;
    let ruleset = agent.ruleset()?;
    ensure!(!ruleset.contains("old-") && !ruleset.contains("long ago"), "some is left:\n{ruleset}");
    let chains = KernelObjects::count(agent)?.chains;
    let fate = traffic.finish(start)?;
    fate.check()?;
    world.start_agents()?;
    world.until_agreed(READY_LIMIT)?;
    Ok(format!("1 transaction, {chains} chains; none of {} packets lost or leaked", fate.packets))
}

/// The agent of the server's node.
fn agent(world: &mut World) -> Result<&mut Agent> {
    world.agents.get_mut("node-1").context("the server's node")
}

/// Who begins new generations of a node's ruleset, as `nft monitor` tells.
struct Generations {
    monitor: Process,
    log: PathBuf,
}

/// What we begin one with, so that we know that the monitor hears.
const MARKS: [&str; 2] =
    ["add table inet begin; delete table inet begin", "add table inet end; delete table inet end"];

impl Generations {
    fn watch(agent: &Agent, api: &ApiServer) -> Result<Self> {
        let log = api.folder().join("generations");
        let _ = std::fs::remove_file(&log);
        let monitor = agent.namespace().enter(|| Process::start("nft".as_ref(), ["monitor"], &log))??;
        let generations = Self { monitor, log };
        generations.mark(agent, MARKS[0])?;
        Ok(generations)
    }

    /// All who did since, but for us.
    fn finish(mut self, agent: &Agent) -> Result<Vec<String>> {
        self.mark(agent, MARKS[1])?;
        self.monitor.kill();
        let text = std::fs::read_to_string(&self.log)?;
        let since = text.split_once("begin").context("the first mark")?.1;
        let news = since.lines().filter(|line| line.contains("new generation"));
        let ours = |line: &&str| line.ends_with("(nft)");
        Ok(news.filter(|line| !ours(line)).map(str::to_owned).collect())
    }

    /// Begins generations until the monitor has heard of one.
    fn mark(&self, agent: &Agent, mark: &str) -> Result<()> {
        let word = mark.split_whitespace().last().context("a name")?;
        for _ in 0..100 {
            agent.nft(mark)?;
            sleep(Duration::from_millis(20));
            let heard = std::fs::read_to_string(&self.log)?;
            if heard.contains(&format!("delete table inet {word}")) {
                return Ok(());
            }
        }
        bail!("nft monitor does not hear: {}", std::fs::read_to_string(&self.log)?)
    }
}
