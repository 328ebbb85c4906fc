//! Runs, for each mutant, the tests that reach it, the quickest first, until one fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::build::Program;
use crate::mutant::Mutant;

/// How a test ends, or all tests of a mutant do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No test notices.
    Passed,
    /// One does.
    Failed,
    /// One has no end, and so notices.
    TimedOut,
    /// No test comes by.
    Unreached,
}

struct Test<'a> {
    program: &'a Program,
    name: String,
    took: Duration,
    reached: BTreeSet<u32>,
}

/// Everything that is asked of mutants.
pub struct Trial<'a> {
    tests: Vec<Test<'a>>,
    memory: Memory,
}

impl<'a> Trial<'a> {
    /// Runs all tests without a mutant, to see what each reaches.
    pub fn new(tree: &Path, programs: &'a [Program], results: &Path) -> Result<Self> {
        let memory = Memory::of(tree)?;
        let tests = reach(programs, &results.join("reached"))?;
        println!("{} tests in {} programs pass without a change", tests.len(), programs.len());
        Ok(Self { tests, memory })
    }

    /// What every mutant comes to; `log` has it line by line, with the test that noticed.
    pub fn run(&self, mutants: &[&Mutant], log: &Path) -> Result<BTreeMap<u32, Outcome>> {
        let queue = Mutex::new(mutants.iter());
        let log = Mutex::new(fs::File::create(log)?);
        let outcomes = Mutex::new(BTreeMap::new());
        let work = || -> Result<()> {
            loop {
                let Some(mutant) = queue.lock().expect("no worker panics").next() else { return Ok(()) };
                let (outcome, by) = self.try_out(mutant.id)?;
                let by =
                    by.map_or_else(String::new, |test| format!(" by {} {}", test.program.name, test.name));
                let mut log = log.lock().expect("no worker panics");
                writeln!(log, "{outcome:?}{by}: {} (line {})", mutant.title(), mutant.line())?;
                outcomes.lock().expect("no worker panics").insert(mutant.id, outcome);
            }
        };
        let workers = std::thread::available_parallelism()?.get();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
        })?;
        Ok(outcomes.into_inner().expect("no worker panics"))
    }

    fn try_out(&self, id: u32) -> Result<(Outcome, Option<&Test<'a>>)> {
        let mut outcome = Outcome::Unreached;
        for test in self.tests.iter().filter(|test| test.reached.contains(&id)) {
            // A test that fails does so early; ten times as long is no slowness of the machine.
            let limit = test.took * 10 + Duration::from_secs(10);
            outcome = run(test, &[("MUTANT", &id.to_string())], limit)?;
            if outcome != Outcome::Passed {
                self.memory.restore()?;
                return Ok((outcome, Some(test)));
            }
        }
        Ok((outcome, None))
    }
}

/// All tests, each with what it reaches, the quickest first.
fn reach<'a>(programs: &'a [Program], file: &Path) -> Result<Vec<Test<'a>>> {
    let mut tests = Vec::new();
    for program in programs {
        for name in names(program)? {
            let mut test = Test { program, name, took: Duration::ZERO, reached: BTreeSet::new() };
            fs::write(file, "")?;
            let began = Instant::now();
            let outcome = run(&test, &[("REACHED", &file.display().to_string())], Duration::from_secs(600))?;
            ensure!(
                outcome == Outcome::Passed,
                "without a change: {} {}: {outcome:?}",
                program.name,
                test.name
            );
            test.took = began.elapsed();
            test.reached = fs::read_to_string(file)?.lines().filter_map(|line| line.parse().ok()).collect();
            tests.push(test);
        }
    }
    tests.sort_by_key(|test| test.took);
    Ok(tests)
}

fn names(program: &Program) -> Result<Vec<String>> {
    let mut command = Command::new(&program.path);
    let output = command.current_dir(&program.folder).args(["--list", "--format=terse"]).output()?;
    let text = String::from_utf8(output.stdout).context("names of tests")?;
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

fn run(test: &Test, environment: &[(&str, &str)], limit: Duration) -> Result<Outcome> {
    let mut command = Command::new(&test.program.path);
    command.current_dir(&test.program.folder).args([&test.name, "--exact", "--test-threads=1"]);
    // That it fails is all that counts, and not how little of it would do.
    command.env("PROPTEST_MAX_SHRINK_ITERS", "0").envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { Outcome::Passed } else { Outcome::Failed });
        }
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(Outcome::TimedOut);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// What properties remember of failures, as it was: what they learn of one mutant must not find the next.
struct Memory {
    tree: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Memory {
    fn of(tree: &Path) -> Result<Self> {
        let found = Self::find(&tree.join("crates"))?;
        let files =
            found.into_iter().map(|path| Ok((path.clone(), fs::read(path)?))).collect::<Result<_>>()?;
        Ok(Self { tree: tree.to_owned(), files })
    }

    fn find(folder: &Path) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let text = path.to_string_lossy();
            if path.is_dir() {
                found.extend(Self::find(&path)?);
            } else if text.ends_with(".regressions") || text.contains("/proptest-regressions/") {
                found.push(path);
            }
        }
        Ok(found)
    }

    fn restore(&self) -> Result<()> {
        for path in Self::find(&self.tree.join("crates"))? {
            match self.files.get(&path) {
                Some(before) if fs::read(&path).is_ok_and(|now| now == *before) => {}
                Some(before) => fs::write(path, before)?,
                // Another worker may have been there.
                None => drop(fs::remove_file(path)),
            }
        }
        Ok(())
    }
}
