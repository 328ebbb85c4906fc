//! What the flow log costs while a pod floods another with what policy denies.
//!
//! A real API server and an agent on one node. One pod sends datagrams to many ports of a pod that it may not reach, so
//! many in a second as are asked for; none is ever let pass, so that each is judged as a new connection. Another, which
//! may, sends that pod one datagram after the other and waits for each to come back. Rounds with the log and without it
//! take turns, each with an agent of its own.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use podwall_benches::figure::folder;
use podwall_integration::{Agent, ApiServer, Kind, Order, World, WorldOptions, arena};
use podwall_lab::{Families, Layout, NetworkNamespace};
use podwall_policy::Labels;

/// Denied datagrams in a second that are asked for.
const FLOOD_PER_S: u64 = 100_000;
const ROUNDS: usize = 7;
/// Before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);
const READY_LIMIT: Duration = Duration::from_secs(60);
/// The aims: of a core, more memory, and of the allowed rate.
const PROCESSOR_MAX: f64 = 0.05;
const MEMORY_MAX_KIB: f64 = 10.0 * 1024.0;
const RATE_LOST_MAX: f64 = 0.03;

/// One round.
struct Round {
    flood_per_s: f64,
    echoes_per_s: f64,
    /// Of one core.
    processor: f64,
    memory_kib: f64,
}

/// One figure of a round.
type Measure = fn(&Round) -> f64;

fn main() -> Result<ExitCode> {
    podwall_lab::isolate_process()?;
    let api = ApiServer::start(&folder().join("api-server"))?;
    let mut world = world(&api)?;
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        off.push(round(&mut world, "off")?);
        on.push(round(&mut world, "denied")?);
    }
    let records = records(&world)?;
    Ok(report(&off, &on, records))
}

fn world(api: &ApiServer) -> Result<World> {
    let mut options = WorldOptions::new(Layout::Routed, 1);
    options.families = Families { ipv4: true, ipv6: false };
    options.outside.clear();
    let mut world = World::new(api, options)?;
    world.put_namespace(arena::NAMESPACE, &Labels::default())?;
    for (number, name) in (10..).zip(["server", "friend", "stranger"]) {
        let mut pod = arena::pod(name, 1, number);
        pod.addresses.retain(IpAddr::is_ipv4);
        world.add_pod(&arena::key(name), &pod, Order::Link)?;
    }
    world.objects.put(Kind::NetworkPolicy, &arena::from_friend_only("server"))?;
    Ok(world)
}

fn round(world: &mut World, log: &str) -> Result<Round> {
    let agent = world.agents.get_mut("node-1").context("an agent")?;
    agent.options = vec!["--flow-log".to_owned(), log.to_owned()];
    agent.start()?;
    agent.wait_until_ready(READY_LIMIT)?;
    let server = world.address(&arena::party("server"))?;
    let flood = Worker::start(world.namespace(&arena::party("stranger"))?, move |stop, count| {
        flood(server, stop, count)
    })?;
    let echoes = Worker::start(world.namespace(&arena::party("friend"))?, move |stop, count| {
        echo(server, stop, count)
    })?;
    sleep(WARM_UP);
    let agent = world.agents.get("node-1").context("an agent")?;
    let (begun, sent, echoed, used) = (Instant::now(), flood.count(), echoes.count(), processor_time(agent)?);
    sleep(MEASURED);
    let seconds = begun.elapsed().as_secs_f64();
    let round = Round {
        flood_per_s: (flood.count() - sent) as f64 / seconds,
        echoes_per_s: (echoes.count() - echoed) as f64 / seconds,
        processor: (processor_time(agent)? - used).as_secs_f64() / seconds,
        memory_kib: podwall_integration::Sample::take(agent)?.memory_kib as f64,
    };
    flood.finish()?;
    echoes.finish()?;
    Ok(round)
}

/// Something that is done over and over in a pod, and counted.
struct Worker {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: JoinHandle<Result<()>>,
}

impl Worker {
    fn start(
        namespace: NetworkNamespace,
        work: impl FnOnce(&AtomicBool, &AtomicU64) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (seen, counted) = (stop.clone(), count.clone());
        let thread =
            std::thread::Builder::new().spawn(move || namespace.enter(|| work(&seen, &counted))?)?;
        Ok(Self { stop, count, thread })
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("a worker panicked"))?
    }
}

/// Sends to one port after the other, at the rate that is asked for.
fn flood(to: IpAddr, stop: &AtomicBool, count: &AtomicU64) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let begun = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * FLOOD_PER_S as f64) as u64;
        let sent = count.load(Ordering::Relaxed);
        // What is late is not made up for beyond a moment: the rate is what is measured.
        for number in sent..due.min(sent + 1_000) {
            let port = 1024 + (number % 50_000) as u16;
            // The neighbour entry may not be there for the first; a full queue is the flood's own fault.
            let _ = socket.send_to(b"flood", SocketAddr::new(to, port));
            count.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Sends a datagram when the one before has come back; every sixteenth from another port, so that there are new
/// connections among them.
fn echo(to: IpAddr, stop: &AtomicBool, count: &AtomicU64) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.connect(SocketAddr::new(to, 53))?;
        for _ in 0..16 {
            socket.send(b"echo")?;
            if socket.recv(&mut [0; 64]).is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// What the agent has had of a processor since it started, all its threads together.
fn processor_time(agent: &Agent) -> Result<Duration> {
    let mut used = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{}/task", agent.id().context("the agent runs")?))? {
        let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
        used += Duration::from_nanos(stat.split_whitespace().next().context("a time")?.parse()?);
    }
    Ok(used)
}

fn records(world: &World) -> Result<usize> {
    let agent = world.agents.get("node-1").context("an agent")?;
    Ok(agent.ask_flows("flows", &["--denied", "--json"])?.1.lines().count())
}

fn report(off: &[Round], on: &[Round], records: usize) -> ExitCode {
    let median = |rounds: &[Round], of: Measure| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[0], all[all.len() - 1])
    };
    println!("| with a flood of denied datagrams | without the log | with it |");
    println!("|---|---|---|");
    let rows: [(&str, Measure); 4] = [
        ("denied datagrams in a second", |it| it.flood_per_s),
        ("echoes of allowed traffic in a second", |it| it.echoes_per_s),
        ("processor time of the agent, percent of a core", |it| it.processor * 100.0),
        ("resident memory of the agent, KiB", |it| it.memory_kib),
    ];
    for (name, of) in rows {
        let [without, with] = [off, on].map(|rounds| {
            let (median, least, most) = median(rounds, of);
            format!("{median:.2} ({least:.2} to {most:.2})")
        });
        println!("| {name} | {without} | {with} |");
    }
    let processor = median(on, |it| it.processor).0;
    let memory = median(on, |it| it.memory_kib).0 - median(off, |it| it.memory_kib).0;
    let (rate_on, rate_off) = (median(on, |it| it.echoes_per_s).0, median(off, |it| it.echoes_per_s).0);
    let flood = median(on, |it| it.flood_per_s).0;
    let lost = 1.0 - rate_on / rate_off;
    println!("medians of {ROUNDS} rounds each, least to most; {records} records at the end");
    let mut code = ExitCode::SUCCESS;
    for (what, holds) in [
        (
            format!("flood {flood:.0} a second (at least {:.0})", FLOOD_PER_S as f64 * 0.95),
            flood >= FLOOD_PER_S as f64 * 0.95,
        ),
        (format!("processor {:.2} % of a core (at most 5)", processor * 100.0), processor <= PROCESSOR_MAX),
        (format!("{memory:.0} KiB more memory (at most 10240)"), memory <= MEMORY_MAX_KIB),
        (format!("{:.1} % fewer echoes (at most 3)", lost * 100.0), lost <= RATE_LOST_MAX),
        (format!("{records} records (at least one)"), records > 0),
    ] {
        println!("{} {what}", if holds { "held:  " } else { "MISSED:" });
        if !holds {
            code = ExitCode::FAILURE;
        }
    }
    code
}
