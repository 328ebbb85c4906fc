//! The acceptance scenarios of `integration/scenarios`, each in the lab with real packets, for IPv4, IPv6 and both,
//! with routed and with bridged pods.
//!
//! ```text
//! scenario.yaml ─► podwall lab run --step ... --expect expect.yaml --json ─► exit code, JSON
//! expect.yaml  ─────────────────────────────────────────────────────────────► checked once more, family by family
//! ```
//!
//! `cargo test --test scenarios -- a07` runs those whose names contain `a07`; `--list` lists them.

mod case;
mod check;
mod probe;
mod run;
mod scenario;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use case::{Case, read_cases};
use run::{Ran, lay_out};

/// How many scenarios run at a time: they mostly wait for packets that do not come.
const WORKERS: usize = 6;

type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let cases = match read_cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration/scenarios")) {
        Ok(cases) => cases,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    let chosen: Vec<&Case> = cases.iter().filter(|case| options.choose(&case.name())).collect();
    if options.list {
        chosen.iter().for_each(|case| println!("{}: test", case.name()));
        return ExitCode::SUCCESS;
    }
    let failed = run_all(&chosen);
    if !failed.is_empty() {
        println!("\nfailures:");
        failed.iter().for_each(|name| println!("    {name}"));
    }
    println!("\n{} passed, {} failed", chosen.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What of libtest's command line makes sense here.
#[derive(Default)]
struct Options {
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
    ignored: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) if flag.starts_with('-') => (flag.to_owned(), Some(value.to_owned())),
                _ => (argument, None),
            };
            let mut value =
                || value.clone().or_else(|| arguments.next()).ok_or(format!("{flag} needs a value"));
            match flag.as_str() {
                "--list" => options.list = true,
                "--exact" => options.exact = true,
                // None of the scenarios is ignored by default.
                "--ignored" => options.ignored = true,
                "--skip" => options.skip.push(value()?),
                "--color" | "--format" | "--test-threads" => drop(value()?),
                "--include-ignored" | "--nocapture" | "--no-capture" | "--quiet" | "-q" | "--show-output" => {
                }
                _ if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
                _ => options.filters.push(flag),
            }
        }
        Ok(options)
    }

    fn choose(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(fits))
            && !self.skip.iter().any(fits)
    }
}

/// Runs the cases, a few at a time, and returns the names of those that failed.
fn run_all(cases: &[&Case]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            let checked = run_case(case);
            let seconds = started.elapsed().as_secs_f64();
            // The lock also keeps the output of two cases apart.
            let mut failed = failed.lock().expect("printing does not panic");
            match checked {
                Ok(probes) => println!("test {} ... ok ({seconds:.1} s, {probes} probes)", case.name()),
                Err(message) => {
                    println!("test {} ... FAILED ({seconds:.1} s)\n{message}", case.name());
                    failed.push(case.name());
                }
            }
        }
    };
    thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    let mut failed = failed.into_inner().expect("printing does not panic");
    failed.sort();
    failed
}

/// Runs one case and returns how many probes it made.
fn run_case(case: &Case) -> Result<usize> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenarios").join(case.name().replace(' ', "-"));
    let steps = lay_out(case.scenario, &folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let ran = Ran::of(case, &folder, &steps).map_err(|error| format!("{}: {error}", folder.display()))?;
    match check::check(case, &ran) {
        Ok(probes) => {
            // What is left behind is no reason to fail.
            let _ = fs::remove_dir_all(&folder);
            Ok(probes)
        }
        Err(message) => Err(format!("{}{message}\nthe run is in {}", ran.stderr, folder.display())),
    }
}
