//! Somebody flushes the ruleset: how long is the node open?

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{UDP, enforced, party};
use podwall_integration::{ApiServer, Shot, Spread, finish_all, is_full};
use podwall_lab::Layout;

/// For how long a node may be open.
const LIMIT: Duration = Duration::from_secs(1);
/// And in 99 of 100 times, when it is measured in full.
const P99_LIMIT: Duration = Duration::from_millis(50);
/// Between two flushes.
const PAUSE: Duration = Duration::from_millis(400);
const INTERVAL: Duration = Duration::from_millis(2);

pub fn run(api: &mut ApiServer, flushes: usize) -> Result<String> {
    let world = enforced(api, Layout::Routed, false)?;
    let denied = world.stream(&party("stranger"), &party("server"), UDP, INTERVAL, true)?;
    let allowed = world.stream(&party("friend"), &party("server"), UDP, INTERVAL, true)?;
    let agent = world.agents.get("node-1").context("the server's node")?;
    let mut moments = Vec::new();
    for _ in 0..flushes {
        sleep(PAUSE);
        let before = Instant::now();
        let output =
            agent.namespace().enter(|| Command::new("nft").args(["flush", "ruleset"]).output())??;
        ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        moments.push((before, Instant::now()));
    }
    sleep(LIMIT);
    let [denied, allowed] = finish_all([denied, allowed])?.try_into().expect("as many as there were");
    let lost = allowed.iter().filter(|shot| !shot.passed()).count();
    ensure!(lost == 0, "{lost} of {} allowed packets were lost", allowed.len());
    let early = denied.iter().filter(|shot| shot.passed() && shot.at < moments[0].0).count();
    ensure!(early == 0, "{early} packets passed before anything was flushed");
    let windows = Spread::of((0..flushes).map(|index| open_for(&denied, &moments, index)).collect());
    let repairs = agent.repairs()?;
    ensure!(repairs.len() >= flushes, "the agent speaks of {} repairs", repairs.len());
    let kernel = Spread::of(repairs.iter().map(|(_, acknowledged)| *acknowledged).collect());
    let own =
        Spread::of(repairs.iter().map(|(all, acknowledged)| all.saturating_sub(*acknowledged)).collect());
    // Whose time it was: the kernel's commit waits for what the flush has not yet freed, and on a busy machine for long.
    let whose = format!(
        "from flush to closed again: {windows}; of that the kernel's commit: {kernel}; the agent: {own}"
    );
    ensure!(windows.longest() < LIMIT, "{whose}");
    ensure!(!is_full() || windows.percentile(99) <= P99_LIMIT, "{whose}");
    let leaked = denied.iter().filter(|shot| shot.passed()).count();
    Ok(format!(
        "{flushes} flushes, {whose}; {leaked} of {} denied packets passed, \
         none of {} allowed ones was lost",
        denied.len(),
        allowed.len()
    ))
}

/// From the end of a flush to the last packet that passed before the next one.
fn open_for(shots: &[Shot], moments: &[(Instant, Instant)], index: usize) -> Duration {
    let (begun, flushed) = moments[index];
    let until = moments.get(index + 1).map(|(before, _)| *before);
    let after = shots.iter().filter(|shot| shot.at >= begun && until.is_none_or(|until| shot.at < until));
    let last =
        after.filter(|shot| shot.passed()).map(|shot| shot.at.saturating_duration_since(flushed) + INTERVAL);
    last.max().unwrap_or_default()
}
