//! What a packet pays: the forward path of a node, with our layout, without, and with the layouts of others.
//!
//! Every contender is a node of its own in the lab, with two pods. Datagrams are put on the first pod's link as whole
//! frames and are dropped after the last of our hooks, so that a frame that is sent is a frame that was judged, in one
//! call, on one processor: sending, routing and judging are timed together, and what a contender adds is the difference
//! to plain connection tracking in the same round. Rounds are short and go through all contenders in turn.
//!
//! What is dropped there never becomes a connection, so frames of ports that were never used are new each time they are
//! sent; frames of connections that answered before are established.

mod contender;
mod layouts;
mod link;

use std::time::Instant;

use anyhow::Result;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use podwall_benches::figure::{Figure, Measure, Spread, is_full, save};

use contender::{Contender, Kind, contenders};
use link::Nodes;

/// Frames of a round, each a connection of its own.
const FRAMES: u16 = 500;
const ROUNDS: usize = 120;
/// The sizes that the budgets are about.
const BUDGET_POLICIES: u32 = 100;
const BUDGET_NEW_NS: f64 = 300.0;
const BUDGET_ESTABLISHED_PERCENT: f64 = 5.0;

fn main() -> Result<()> {
    podwall_lab::isolate_process()?;
    let contenders = contenders(is_full());
    let mut nodes = Nodes::new(contenders.len())?;
    // Packets are worked on where they are sent: one processor's caches, one processor's counters.
    let mut processors = CpuSet::new();
    processors.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &processors)?;
    let mut lanes = Vec::new();
    for (index, contender) in contenders.iter().enumerate() {
        eprintln!("{contender}");
        contender.install(&mut nodes, index)?;
        lanes.push(nodes.lane(index, contender.is_firewall(), FRAMES)?);
    }
    let mut figures = Vec::new();
    for (condition, established) in [("new", false), ("established", true)] {
        let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); lanes.len()];
        for round in 0..ROUNDS + 5 {
            for turn in 0..lanes.len() {
                // Another one begins each time: what the one before left in the caches is nobody's advantage.
                let index = (turn + round) % lanes.len();
                let slow = contenders[index].is_slow();
                let lane = &mut lanes[index];
                let frames = if established { &lane.established } else { &lane.new };
                let frames = if slow { &frames[..frames.len() / 10] } else { frames };
                let start = Instant::now();
                lane.send(frames)?;
                let time = start.elapsed().as_nanos() as f64 / frames.len() as f64;
                lane.sent += frames.len() as u64;
                if round >= 5 {
                    rounds[index].push(time);
                }
            }
        }
        figures.extend(figures_of(&contenders, condition, &rounds));
    }
    for (index, lane) in lanes.iter().enumerate() {
        nodes.check_judged(index, lane.sent)?;
    }
    save("packet", &figures)
}

fn figures_of(contenders: &[Contender], condition: &str, rounds: &[Vec<f64>]) -> Vec<Figure> {
    let plain = contenders.iter().position(|it| it.kind == Kind::ConntrackOnly).expect("it is one of them");
    let of = |index: usize| {
        let contender = &contenders[index];
        let name = contender.to_string();
        let spread = Spread::of(rounds[index].clone());
        let mut figure = Figure::new("packet", &name, condition, contender.size(), spread);
        if index != plain && contender.kind != Kind::Nothing {
            let over = rounds[index].iter().zip(&rounds[plain]).map(|(own, plain)| own - plain);
            figure.floor = Some(Spread::of(rounds[plain].clone()));
            figure.over_floor = Some(Spread::of(over.collect()));
        }
        let is_budgeted = matches!(contender.kind, Kind::Podwall { shipped: false });
        match condition {
            _ if !is_budgeted || contender.policies != BUDGET_POLICIES => figure,
            "new" => figure.within(Measure::OverFloor, BUDGET_NEW_NS),
            _ => figure.within(Measure::PercentOverFloor, BUDGET_ESTABLISHED_PERCENT),
        }
    };
    (0..contenders.len()).map(of).collect()
}
