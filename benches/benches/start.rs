//! A node's start: everything told to the engine, made and written; the same again with nothing changed; and how much
//! there is of it, in memory and in the kernel. Each in a process of its own, whose memory is the engine's alone.

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_benches::cluster::Cluster;
use podwall_benches::figure::{Figure, Measure, Size, Spread, Unit, is_full, save};
use podwall_benches::raw::RawSocket;
use podwall_compiler::{Engine, NodeOptions, bridge_table_id, table_id};
use podwall_netlink::{Kernel, ReadBack, encode};
use podwall_ruleset::{
    Family, Known, Name, Operation, Ruleset, Set, Table, TableId, Transaction, ValueType, diff,
};

/// Names the size to the process that measures it.
const CHILD: &str = "PODWALL_BENCH_SIZE";
const ROUNDS: usize = 5;

const LARGE: Size = Size { pods: 10_000, policies: 1_000, local_pods: 110 };
const LARGEST: Size = Size { pods: 100_000, policies: 5_000, local_pods: 110 };

fn main() -> Result<()> {
    if let Ok(size) = std::env::var(CHILD) {
        podwall_lab::isolate_process()?;
        println!("{}", serde_json::to_string(&measure(serde_json::from_str(&size)?)?)?);
        return Ok(());
    }
    let mut figures = Vec::new();
    for size in sizes() {
        eprintln!("{} pods, {} policies, {} local", size.pods, size.policies, size.local_pods);
        figures.extend(in_children(size)?);
    }
    save("start", &figures)
}

fn sizes() -> Vec<Size> {
    let mut sizes = vec![Size { pods: 1_000, policies: 100, local_pods: 110 }, LARGE, LARGEST];
    if is_full() {
        let of = |pods, policies, local_pods| Size { pods, policies, local_pods };
        sizes.extend([
            of(1_000, 5_000, 110),
            of(10_000, 5_000, 250),
            of(100_000, 1_000, 110),
            of(100_000, 5_000, 250),
        ]);
    }
    sizes
}

/// The figures of several processes, as one.
fn in_children(size: Size) -> Result<Vec<Figure>> {
    let mut rounds: Vec<Vec<Figure>> = Vec::new();
    for _ in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe()?);
        let output = child.env(CHILD, serde_json::to_string(&size)?).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        rounds.push(serde_json::from_slice(&output.stdout)?);
    }
    let together = |index: usize| {
        let all = |of: &dyn Fn(&Figure) -> Option<f64>| {
            let found: Option<Vec<f64>> = rounds.iter().map(|round| of(&round[index])).collect();
            found.map(Spread::of)
        };
        let spread = all(&|it| Some(it.spread.median)).expect("every figure has one");
        let floor = all(&|it| it.floor.map(|floor| floor.median));
        let figure = Figure { spread, floor, ..rounds[0][index].clone() };
        with_budget(figure)
    };
    Ok((0..rounds[0].len()).map(together).collect())
}

fn with_budget(figure: Figure) -> Figure {
    match (figure.size, &*figure.name) {
        (LARGEST, "start: all of it") => figure.within(Measure::Median, 2e9),
        (LARGEST, "resident memory of the engine") => figure.within(Measure::Median, f64::from(64 << 20)),
        _ => figure,
    }
}

fn measure(size: Size) -> Result<Vec<Figure>> {
    let cluster = Cluster::new(size);
    let mut kernel = Kernel::open()?;
    let raw = RawSocket::open();
    let resident_before = resident_bytes()?;
    let mut engine = Engine::new(podwall_benches::cluster::NODE.into(), NodeOptions::default());
    let mut told = Duration::ZERO;
    for event in cluster.events() {
        let start = Instant::now();
        event.tell(&mut engine);
        told += start.elapsed();
    }
    let start = Instant::now();
    let transaction = engine.take_changes();
    let made = start.elapsed();
    kernel.apply(&transaction)?;
    let written = start.elapsed();
    let resident = resident_bytes()?;

    let start = Instant::now();
    let ReadBack::Exactly(found) = kernel.read(&[table_id(), bridge_table_id()])? else {
        anyhow::bail!("our table reads back as somebody else's");
    };
    let desired = engine.ruleset();
    ensure!(diff(&Known::Exactly(found), &desired).is_empty(), "a restart would change something");
    let restarted = start.elapsed();

    let encoded = encode(&transaction, 1)?;
    let (mut floor, mut waited) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        kernel.apply(&Transaction { operations: vec![Operation::DeleteTable(table_id())] })?;
        let start = Instant::now();
        raw.commit(encoded.bytes());
        floor.push(start.elapsed());
    }
    for _ in 0..3 {
        kernel.apply(&Transaction { operations: vec![Operation::DeleteTable(table_id())] })?;
        waited.push(longest_wait_of_another(|| Ok(kernel.apply(&transaction)?))?);
    }
    let figure = |name: &str, time: Duration| Figure::new("start", name, "", size, Spread::of_times(&[time]));
    let floored = |figure: Figure| Figure { floor: Some(Spread::of_times(&floor)), ..figure };
    let counted = |name: &str, count: usize| {
        Figure::new("start", name, "", size, Spread::one(count as f64)).in_unit(Unit::Count)
    };
    let counts = Counts::of(&desired);
    let memory = Spread::one((resident - resident_before) as f64);
    Ok(vec![
        figure("start: objects told to the engine", told),
        figure("start: ruleset made", made),
        floored(figure("start: ruleset made and written", written)),
        figure("start: all of it", told + written),
        figure("restart with nothing changed", restarted),
        figure(
            "longest wait of another writer at start",
            Duration::from_nanos(Spread::of_times(&waited).median as u64),
        ),
        Figure::new("start", "resident memory of the engine", "", size, memory).in_unit(Unit::Bytes),
        counted("elements", counts.elements),
        counted("sets and maps", counts.sets),
        counted("chains", counts.chains),
        counted("rules", counts.rules),
    ])
}

/// The longest that somebody else's transaction on a table of their own takes while `work` is done.
fn longest_wait_of_another(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let done = Arc::new(AtomicBool::new(false));
    let seen = done.clone();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || -> Result<Duration> {
        let raw = RawSocket::open();
        let name = |text: &str| Name::new(text).expect("a name");
        let id = TableId { family: Family::Inet, name: name("other") };
        let set = Set::new(&[ValueType::Ipv4]);
        let table = Table { sets: [(name("set"), set)].into(), ..Table::default() };
        let ruleset = Ruleset { tables: [(id, table)].into() };
        let bytes = encode(&diff(&Known::Unknown, &ruleset), 1)?;
        let mut longest = Duration::ZERO;
        let _ = ready.send(());
        while !seen.load(Ordering::Relaxed) {
            let start = Instant::now();
            raw.commit(bytes.bytes());
            longest = longest.max(start.elapsed());
        }
        Ok(longest)
    });
    is_ready.recv()?;
    std::thread::sleep(Duration::from_millis(2));
    work()?;
    done.store(true, Ordering::Relaxed);
    other.join().expect("it does not panic")
}

/// How much there is in the kernel.
struct Counts {
    elements: usize,
    sets: usize,
    chains: usize,
    rules: usize,
}

impl Counts {
    fn of(ruleset: &Ruleset) -> Self {
        let tables = || ruleset.tables.values();
        let sets = || tables().flat_map(|table| table.sets.values());
        let chains = || tables().flat_map(|table| table.chains.values());
        Self {
            elements: sets().map(|set| set.elements.len()).sum(),
            sets: sets().count(),
            chains: chains().count(),
            rules: chains().map(|chain| chain.rules.len()).sum(),
        }
    }
}

fn resident_bytes() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(black_box(kib) << 10)
}
