//! Whether a run is what its scenario wants.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Result;
use crate::case::Case;
use crate::probe::{Probe, ProbeKey, probes, report};
use crate::run::{LIMIT, Ran};
use crate::scenario::{Expectation, Wanted};

/// How many differences of one kind are printed.
const SHOWN: usize = 20;

pub fn check(case: &Case, ran: &Ran) -> Result<usize> {
    if !ran.in_time {
        return Err(format!("not done after {} s", LIMIT.as_secs()));
    }
    match &case.scenario.wanted {
        Wanted::Refusal { exit, stderr } => check_refusal(ran, *exit, stderr),
        Wanted::Expectations { .. } if !case.enforce => check_unenforced(case, ran),
        Wanted::Expectations { file, lines } => check_probes(case, ran, file, lines),
    }
}

fn check_exit(ran: &Ran, wanted: i32) -> Result<()> {
    match ran.exit {
        Some(exit) if exit == wanted => Ok(()),
        Some(exit) => Err(format!("exit code {exit} in place of {wanted}")),
        None => Err("ended by a signal".to_owned()),
    }
}

/// Refused means said why, and nothing probed.
fn check_refusal(ran: &Ran, exit: i32, stderr: &[String]) -> Result<usize> {
    check_exit(ran, exit)?;
    if let Some(missing) = stderr.iter().find(|text| !ran.stderr.contains(text.as_str())) {
        return Err(format!("standard error does not say {missing:?}"));
    }
    if ran.stdout.is_empty() {
        return Ok(0);
    }
    match probes(&report(ran)?)?.len() {
        0 => Ok(0),
        probes => Err(format!("{probes} probes were made all the same")),
    }
}

fn check_probes(case: &Case, ran: &Ran, file: &Path, lines: &[Expectation]) -> Result<usize> {
    let report = report(ran);
    let probes = report.as_ref().map_err(String::clone).and_then(probes);
    let mut wrong: Vec<String> = check_exit(ran, 0).err().into_iter().collect();
    match &probes {
        Ok(probes) => {
            let differing: Vec<String> =
                probes.iter().filter(|probe| !probe.agrees()).map(Probe::describe).collect();
            add(&mut wrong, "the kernel and the specification differ", differing);
            add(&mut wrong, "these expectations do not hold", failed(case, file, lines, probes));
        }
        Err(message) => wrong.push(message.clone()),
    }
    if let Ok(report) = &report {
        if report["mismatches"] != 0 {
            wrong.push(format!("{} mismatches are reported", report["mismatches"]));
        }
        let steps = report["steps"].as_array().map_or(0, Vec::len);
        if steps != case.scenario.steps.len() {
            wrong.push(format!("{steps} steps are reported of {}", case.scenario.steps.len()));
        }
    }
    if wrong.is_empty() { Ok(probes?.len()) } else { Err(wrong.join("\n")) }
}

/// Without enforcement everything gets through, and that must be noticed.
fn check_unenforced(case: &Case, ran: &Ran) -> Result<usize> {
    check_exit(ran, 1)?;
    let report = report(ran)?;
    let probes = probes(&report)?;
    let differing = probes.iter().filter(|probe| !probe.agrees()).count();
    let seen = |family: &str| probes.iter().any(|probe| probe.family == family && !probe.agrees());
    if !case.family.probed().iter().all(|family| seen(family)) {
        return Err("no mismatch in some family, though nothing was enforced".to_owned());
    }
    if let Some(probe) = probes.iter().find(|probe| probe.allowed != Some(true)) {
        return Err(format!("{} though nothing was enforced", probe.describe()));
    }
    if report["mismatches"] != differing {
        return Err(format!("{} mismatches are reported of {differing}", report["mismatches"]));
    }
    Ok(probes.len())
}

fn add(wrong: &mut Vec<String>, title: &str, mut lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    wrong.push(format!("{title}:\n    {}", lines.join("\n    ")));
    if more > 0 {
        wrong.push(format!("    and {more} more"));
    }
}

/// The expectations that do not hold in each family that was probed.
fn failed(case: &Case, file: &Path, lines: &[Expectation], probes: &[Probe]) -> Vec<String> {
    let mut by_key: BTreeMap<(&ProbeKey, &str), Vec<&Probe>> = BTreeMap::new();
    for probe in probes {
        by_key.entry((&probe.key, probe.family.as_str())).or_default().push(probe);
    }
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    let mut failed = Vec::new();
    for expectation in lines {
        for family in case.family.probed() {
            let place = format!("{file}:{}: {}", expectation.line, expectation.probe.describe());
            let wanted = if expectation.allowed { "allowed" } else { "denied" };
            let Some(probes) = by_key.get(&(&expectation.probe, family)) else {
                failed.push(format!("{place}: no {family} probe is like this"));
                continue;
            };
            let differing = probes.iter().find(|probe| probe.allowed != Some(expectation.allowed));
            failed
                .extend(differing.map(|probe| format!("{place} must be {wanted}: {}", probe.describe_end())));
        }
    }
    failed
}
