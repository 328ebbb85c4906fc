//! Is it right? These judges, and nothing may differ:
//!
//! ```text
//! every case  ─► evaluate, the reading of the specification, against the compiled ruleset, interpreted
//!             ─► what explain, test and diff say of it, against evaluate
//! many cases  ─► evaluate and explain against the kernel, with packets, in labs
//! any cluster ─► the first again, over generated clusters and connections
//! ```
//!
//! `cargo test` takes all cases without packets, a sample with packets and little that is generated; `-- --all` takes
//! all of everything. `-- peers/` takes the cases whose names contain `peers/`, `-- --only=packets` one judge. `PODWALL_SEED` chooses another sample.

mod changes;
#[path = "../../../compiler/tests/properties/cluster.rs"]
mod cluster;
mod explained;
mod figures;
mod flows;
mod interpreted;
mod packets;
#[path = "../../../compiler/tests/properties/way.rs"]
#[allow(dead_code)] // forged sources: the properties' business
mod way;

use std::process::ExitCode;
use std::time::Instant;

use figures::Figures;
use podwall_conformance::{Case, cases, sample};

/// How many cases are tried with packets when not all are.
const SAMPLE: usize = 90;
/// How much is generated: clusters, and connections in each.
const SHORT: (u32, usize) = (200, 100);
const LONG: (u32, usize) = (12_000, 1_650);
/// What the long run must reach: distinct programs and generated connections.
const WANTED: (usize, u64) = (10_000, 10_000_000);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(lab) = arguments.strip_prefix(&["--lab".to_owned()]) {
        return packets::run_lab(lab);
    }
    let all = arguments.iter().any(|it| it == "--all");
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let fits = |case: &Case| filters.is_empty() || filters.iter().any(|it| case.name.contains(it.as_str()));
    let chosen: Vec<Case> = cases().into_iter().filter(fits).collect();
    let seed = std::env::var("PODWALL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let count = if all || !filters.is_empty() { chosen.len() } else { SAMPLE };
    let wanted = |stage: &str| {
        !arguments.iter().any(|it| it.starts_with("--only=") && it != &format!("--only={stage}"))
    };
    let started = Instant::now();
    let mut stages = Vec::new();
    if wanted("interpreted") {
        stages.push(interpreted::judge(&chosen));
    }
    if wanted("explained") {
        stages.push(explained::judge(&chosen));
        stages.push(changes::judge(&chosen));
    }
    if wanted("packets") {
        stages.push(packets::judge(&sample(chosen, count, seed)));
        stages.push(packets::judge_unenforced());
    }
    if wanted("generated") && filters.is_empty() {
        let (clusters, connections) = if all { LONG } else { SHORT };
        let mut generated = flows::judge(clusters, connections, seed);
        if all && (generated.programs.len() < WANTED.0 || generated.probes < WANTED.1) {
            generated.mismatches.push(format!("fewer than {WANTED:?} programs and connections"));
        }
        stages.push(generated);
    }
    report(&stages, started)
}

fn report(stages: &[Figures], started: Instant) -> ExitCode {
    println!("\n{}", Figures::HEADER);
    for stage in stages {
        println!("{stage}");
    }
    let mismatches: Vec<&String> = stages.iter().flat_map(|stage| &stage.mismatches).collect();
    for mismatch in mismatches.iter().take(20) {
        println!("\n{mismatch}");
    }
    println!("\n{} mismatches; {:.0} s", mismatches.len(), started.elapsed().as_secs_f64());
    if mismatches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
