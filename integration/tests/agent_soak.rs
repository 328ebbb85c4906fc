//! Fifty random changes a second for `MINUTES`, mixed with agents that are killed, rulesets that are flushed, links that
//! are made anew and an API server that goes away: packets are judged all the time, all pairs after every round. The
//! agent that lives through it all may not grow, and when all that was random is gone again, nodes have what they had.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{Fate, Traffic, world};
use podwall_integration::random::{Driver, Random};
use podwall_integration::{Agent, ApiServer, KernelObjects, Sample, Spread, Suite, World};
use podwall_lab::Layout;

/// Between two changes.
const INTERVAL: Duration = Duration::from_millis(20);
/// How many changes are made before all pairs are probed.
const ROUND: usize = 750;
/// How long a node may be open after a flush, and how long all changes of a round may take to be obeyed.
const OPEN_LIMIT: Duration = Duration::from_secs(1);
/// How long a packet may be under way from the time that is written down as its own: its sender may lose the processor
/// between the two.
const UNDER_WAY: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);
const REAL_PODS: std::ops::RangeInclusive<usize> = 6..=12;
/// How long it runs when nobody says, in minutes.
const MINUTES: f64 = 0.1;
/// By how much the agent may grow from the first round to the last.
const MEMORY_SPARE_KIB: usize = 4 * 1024;
/// Connections to the API server and of those who ask for metrics come and go.
const DESCRIPTORS_SPARE: usize = 4;
/// The node whose agent is killed and whose ruleset is flushed; the other's agent lives through it all.
const FAULTY: &str = "node-1";
const STEADY: &str = "node-2";

fn main() -> ExitCode {
    Suite::main(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent-soak"), |suite| {
        let minutes = std::env::var("MINUTES").map_or(Ok(MINUTES), |text| text.parse()).context("MINUTES")?;
        suite.test("soak", |api| run(api, Duration::from_secs_f64(60.0 * minutes)));
        Ok(())
    })
}

/// What happened so far.
#[derive(Default)]
struct Tally {
    /// How many changes a round has.
    round: usize,
    changes: usize,
    /// How long changes were being made, without the time that the API server was away.
    changing: Duration,
    kills: usize,
    outages: usize,
    /// How long the API server was away in this round.
    away: Duration,
    links: usize,
    /// When each began and had ended: nft waits its turn while links come and go.
    flushes: Vec<(Instant, Instant)>,
    /// What was done in this round, and when.
    log: Vec<(Instant, String)>,
    packets: usize,
    /// Packets that passed while a flush was being put right.
    open: usize,
    /// From the last change of each round until all pairs were probed right.
    obeyed: Vec<Duration>,
    samples: Vec<Sample>,
}

fn run(api: &mut ApiServer, duration: Duration) -> Result<String> {
    let mut world = world(api, Layout::Routed, false)?;
    let unenforced = world.wrong_pairs()?.len();
    ensure!(unenforced > 0, "without agents, no packet goes where it must not");
    world.start_agents()?;
    world.until_agreed(LIMIT)?;
    let before = count_all(&world)?;
    let mut driver = Driver::new(Random::from_environment()?, &world, REAL_PODS);
    driver.begin(&mut world, 100, 20)?;
    world.until_agreed(LIMIT)?;
    let size = ROUND.min((duration.as_secs_f64() / INTERVAL.as_secs_f64()) as usize);
    let (started, mut tally) = (Instant::now(), Tally { round: size, ..Tally::default() });
    while tally.samples.is_empty() || started.elapsed() < duration {
        round(api, &mut world, &mut driver, &mut tally)
            .with_context(|| format!("after {} changes; {}", tally.changes, logs(&world)))?;
        let sample = *tally.samples.last().context("a sample of this round")?;
        println!("  {:.0?}, {} changes, {:.1}/s: {sample}", started.elapsed(), tally.changes, tally.rate());
    }
    let all = started.elapsed();
    driver.end(&mut world)?;
    world.until_agreed(LIMIT)?;
    let after = count_all(&world)?;
    for (node, before, after) in before.iter().zip(&after).map(|((node, one), (_, other))| (node, one, other))
    {
        println!("  {node} before: {before}; after: {after}");
        ensure!(before == after, "{node} is left with other objects than it began with");
    }
    tally.judge(all, unenforced)
}

/// What each node's network namespace has.
fn count_all(world: &World) -> Result<Vec<(Arc<str>, KernelObjects)>> {
    world.agents.iter().map(|(node, agent)| Ok((node.clone(), KernelObjects::count(agent)?))).collect()
}

/// The ends of the agents' logs: when they noticed what, how long reading back took, and how long the kernel.
fn logs(world: &World) -> String {
    let now = k8s_openapi::jiff::Timestamp::now();
    let log = |(node, agent): (&Arc<str>, &Agent)| format!("{node}:\n{}\n", agent.log_end());
    format!("it is {now}; the agents say\n{}", world.agents.iter().map(log).collect::<String>())
}

impl Tally {
    /// Changes a second, while they were made.
    fn rate(&self) -> f64 {
        self.changes as f64 / self.changing.as_secs_f64()
    }

    /// Fails when the agent has grown; otherwise says what was done.
    fn judge(self, all: Duration, unenforced: usize) -> Result<String> {
        let (first, last) = (self.samples[0], self.samples[self.samples.len() - 1]);
        ensure!(
            last.descriptors <= first.descriptors + DESCRIPTORS_SPARE,
            "descriptors grow: {first}; {last}"
        );
        ensure!(last.threads <= first.threads, "threads grow: {first}; {last}");
        ensure!(last.memory_kib <= first.memory_kib + MEMORY_SPARE_KIB, "memory grows: {first}; {last}");
        let memory = self.samples.iter().map(|sample| sample.memory_kib);
        let (least, most) = (memory.clone().min().unwrap_or_default(), memory.max().unwrap_or_default());
        let flushes = self.flushes.iter().map(|(begun, flushed)| *flushed - *begun);
        let slowest = flushes.max().unwrap_or_default();
        let over_all = self.changes as f64 / all.as_secs_f64();
        Ok(format!(
            "{} changes, {:.1} a second while they were made, {over_all:.1} with probes, faults and outages; {} kills, \
             {} flushes (nft took {slowest:.0?} at most), {} links made anew, {} outages; of {} packets {} passed in the \
             second that a flush is given, none went astray otherwise ({unenforced} pairs do without agents); from the \
             last change of each of {} rounds until all pairs were right: {}; {least} to {most} KiB, {} descriptors at \
             first, {} at last",
            self.changes,
            self.rate(),
            self.kills,
            self.flushes.len(),
            self.links,
            self.outages,
            self.packets,
            self.open,
            self.samples.len(),
            Spread::of(self.obeyed),
            first.descriptors,
            last.descriptors,
        ))
    }
}

/// Changes and faults for a while, and then what became of them.
fn round(api: &mut ApiServer, world: &mut World, driver: &mut Driver, tally: &mut Tally) -> Result<()> {
    let (traffic, start) = (Traffic::start(world)?, Instant::now());
    tally.away = Duration::ZERO;
    for index in 0..tally.round {
        // Who is late hurries.
        let next = start + tally.away + INTERVAL * index as u32;
        sleep(next.saturating_duration_since(Instant::now()));
        let change = driver.change(world)?;
        tally.log.push((Instant::now(), change));
        tally.changes += 1;
        fault(api, world, driver, tally)?;
    }
    tally.changing += start.elapsed() - tally.away;
    tally.obeyed.push(world.until_agreed(LIMIT)?.took);
    let mut fate = traffic.finish(start)?;
    let is_open = |at: Duration| {
        let mut flushes = tally.flushes.iter();
        flushes.any(|(begun, flushed)| {
            (*begun..*flushed + OPEN_LIMIT + UNDER_WAY).contains(&(start + at + UNDER_WAY))
        })
    };
    let leaked = fate.leaked.len();
    fate.leaked.retain(|stray| !is_open(stray.at));
    tally.open += leaked - fate.leaked.len();
    fate.check().with_context(|| around(&fate, &tally.log, start))?;
    tally.log.clear();
    tally.packets += fate.packets;
    let steady = world.agents.get(STEADY).context(STEADY)?;
    tally.samples.push(Sample::take(steady)?);
    Ok(())
}

/// What was done shortly before the first packet that went astray, and meanwhile.
fn around(fate: &Fate, log: &[(Instant, String)], start: Instant) -> String {
    let times = || fate.lost.iter().chain(&fate.leaked).map(|stray| stray.at);
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let near = log.iter().map(|(at, what)| (at.saturating_duration_since(start), what));
    let near = near.filter(|(at, _)| *at + Duration::from_millis(500) >= first && *at <= last);
    let lines: String = near.map(|(at, what)| format!("  {at:.3?} {what}\n")).collect();
    format!("packets went astray from {first:.3?} to {last:.3?}, while this was done:\n{lines}")
}

/// Mostly nothing; otherwise one of the faults.
fn fault(api: &mut ApiServer, world: &mut World, driver: &mut Driver, tally: &mut Tally) -> Result<()> {
    let faulty: Arc<str> = FAULTY.into();
    let agent = world.agents.get_mut(&faulty).context(FAULTY)?;
    match driver.random.below(2_000) {
        0..20 => {
            agent.start()?;
            tally.log.push((Instant::now(), "kill".to_owned()));
            tally.kills += 1;
        }
        // An agent that has just been started has nothing yet to put in the place of what is flushed.
        20..40 => {
            agent.wait_until_ready(LIMIT)?;
            let begun = Instant::now();
            let output =
                agent.namespace().enter(|| Command::new("nft").args(["flush", "ruleset"]).output())??;
            ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
            // No kill may come before it has been put right.
            let flushed = Instant::now();
            tally.flushes.push((begun, flushed));
            tally.log.push((flushed, format!("flush, begun {:.0?} before", flushed - begun)));
            while KernelObjects::count(agent)?.chains == 0 {
                ensure!(flushed.elapsed() < OPEN_LIMIT, "nothing has come back {OPEN_LIMIT:?} after a flush");
                sleep(INTERVAL);
            }
        }
        40..80 => {
            let index = driver.random.below(driver.pods().len());
            let (key, pod) = driver.pods().iter().nth(index).context("a pod")?;
            world.unlink_pod(key)?;
            world.link_pod(key, pod)?;
            tally.log.push((Instant::now(), format!("link of {key} made anew")));
            tally.links += 1;
        }
        80..82 => {
            let begun = Instant::now();
            api.stop();
            sleep(Duration::from_secs(2));
            api.resume()?;
            tally.away += begun.elapsed();
            tally.log.push((Instant::now(), "outage ends".to_owned()));
            tally.outages += 1;
        }
        _ => {}
    }
    Ok(())
}
