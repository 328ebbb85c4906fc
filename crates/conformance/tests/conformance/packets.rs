//! Cases in the lab: a real kernel, and real packets between all pods, nodes and hosts outside, for both families. What
//! they meet is what `evaluate` says, and what `explain` answers about the two ends.
//!
//! Several cases share a lab, one after the other, so that the kernel also moves from the end of one case to the
//! start of the next. Each lab is a process: this program, started with `--lab` and the names of cases.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use podwall_conformance::{Case, cases};
use podwall_explain::Snapshot;
use podwall_lab::{Families, Lab, Layout, OutsideHost, RunOptions, Step, isolate_process};
use podwall_policy::read::{Source, read};
use podwall_policy::{Protocol, Transport};
use serde_json::Value;

use crate::explained::{snapshot, verdict_of_probe};
use crate::figures::Figures;
use crate::interpreted::OUTSIDE;

/// How many labs are up at a time. They mostly wait for packets that do not come.
const LABS: usize = 5;
/// How many cases share a lab.
const CASES_PER_LAB: usize = 6;
/// What tells the lab to let everything through.
const UNENFORCED: &str = "--unenforced";

/// Tries these cases, half of the labs with routed and half with bridged pods.
pub fn judge(cases: &[Case]) -> Figures {
    let mut figures = Figures::new("cases, packets");
    let names: Vec<Vec<&str>> =
        cases.chunks(CASES_PER_LAB).map(|it| it.iter().map(|case| case.name.as_str()).collect()).collect();
    let waiting = Mutex::new(names.into_iter().enumerate());
    let found = Mutex::new(&mut figures);
    let work = || {
        loop {
            let next = waiting.lock().expect("nobody panics").next();
            let Some((index, names)) = next else { break };
            let layout = if index % 2 == 0 { "routed" } else { "bridged" };
            let ran = start_lab(layout, &names);
            take(&mut found.lock().expect("nobody panics"), layout, &names, ran);
        }
    };
    thread::scope(|scope| (0..LABS).for_each(|_| drop(scope.spawn(work))));
    figures.finish()
}

/// Where nothing is enforced, that must be noticed.
pub fn judge_unenforced() -> Figures {
    let mut figures = Figures::new("noticed when not enforced");
    let names = ["targets/all/deny-both"];
    let mut ran = Figures::new("");
    take(&mut ran, "routed", &names, start_lab("routed", &[UNENFORCED, names[0]]));
    (figures.cases, figures.probes) = (names.len(), ran.probes);
    if ran.mismatches.is_empty() || ran.denied > 0 {
        figures.mismatches.push(format!("nothing was enforced, and {} probes were denied", ran.denied));
    }
    figures.finish()
}

type Ran = Result<(Value, String), String>;

/// The report of a lab, and what it said besides.
fn start_lab(layout: &str, names: &[&str]) -> Ran {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let lab = Command::new(this).arg("--lab").arg(layout).args(names).stdin(Stdio::null()).output();
    let lab = lab.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&lab.stderr).into_owned();
    match serde_json::from_slice(&lab.stdout) {
        Ok(report) => Ok((report, said)),
        Err(error) => Err(format!("{}, and no report: {error}\n{said}", lab.status)),
    }
}

fn take(figures: &mut Figures, layout: &str, names: &[&str], ran: Ran) {
    let (report, said) = match ran {
        Ok(ran) => ran,
        Err(message) => {
            figures.mismatches.push(format!("the {layout} lab of {names:?}: {message}"));
            return;
        }
    };
    figures.cases += names.len();
    let steps = report["steps"].as_array().map_or(&[][..], Vec::as_slice);
    if steps.len() < names.len() {
        figures.mismatches.push(format!("{} steps are reported of {names:?}", steps.len()));
    }
    let snapshots = snapshots(names);
    for step in steps {
        let snapshot = snapshots.get(step["path"].as_str().unwrap_or_default());
        for probe in step["probes"].as_array().into_iter().flatten() {
            let (allowed, evaluated) = (probe["allowed"].as_bool(), probe["evaluated"].as_bool());
            let explained = snapshot.and_then(|snapshot| verdict_of_probe(snapshot, probe));
            figures.count_probe(allowed == Some(true));
            if allowed.is_none() || allowed != evaluated || allowed != explained {
                let probe = format!("{probe}, explained {explained:?}");
                figures.mismatches.push(format!("{} {layout}: {probe}\n{said}", step["path"]));
            }
        }
    }
}

/// What `explain` is asked about, by the path of the lab's step.
fn snapshots(names: &[&str]) -> BTreeMap<String, Snapshot> {
    let mut found = BTreeMap::new();
    for case in cases().iter().filter(|case| names.contains(&case.name.as_str())) {
        let mut previous = None;
        for (index, state) in case.states().iter().enumerate() {
            let snapshot = snapshot(state, previous.as_ref());
            found.insert(path(case, index), snapshot.clone());
            previous = Some(snapshot);
        }
    }
    found
}

fn path(case: &Case, step: usize) -> String {
    format!("{} step {step}", case.name)
}

/// The other side: a lab in this process, with a report on standard output.
pub fn run_lab(arguments: &[String]) -> ExitCode {
    let enforce = !arguments.iter().any(|it| it == UNENFORCED);
    let layout = match arguments.first().map(String::as_str) {
        Some("bridged") => Layout::Bridged,
        _ => Layout::Routed,
    };
    let all = cases();
    let chosen = arguments.iter().filter_map(|name| all.iter().find(|case| case.name == *name));
    let steps: Vec<Step> = chosen.flat_map(steps_of).collect();
    let run = || {
        isolate_process()?;
        Lab::new(options(layout, enforce))?.run(&steps)
    };
    match run() {
        Ok(ending) => ExitCode::from(ending as u8),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn steps_of(case: &Case) -> Vec<Step> {
    let states = case.states();
    let step = |(index, state): (usize, &podwall_conformance::State)| {
        let path = path(case, index);
        let source = Source { name: path.clone(), bytes: state.manifests().into_bytes() };
        Step { path, manifests: read(&[source], "default") }
    };
    states.iter().enumerate().map(step).collect()
}

fn options(layout: Layout, enforce: bool) -> RunOptions {
    let addresses = OUTSIDE.map(|it| it.parse::<IpAddr>().expect("an address"));
    let served = Protocol::ALL.into_iter().flat_map(|it| [80, 81].map(|port| Transport::Port(it, port)));
    RunOptions {
        node_count: 2,
        families: Families { ipv4: true, ipv6: true },
        layout,
        node_sysctls: Vec::new(),
        anti_spoofing: true,
        drop_unknown: false,
        unknown: Default::default(),
        outside: vec![OutsideHost { name: "host".into(), addresses: addresses.to_vec() }],
        transports: served.collect(),
        timeout: Duration::from_millis(300),
        enforce,
        json: true,
        expectations: None,
    }
}
