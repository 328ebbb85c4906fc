//! What the programs of the suites have in common.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::api_server::ApiServer;

/// A suite under way: tests by name, one after the other, on one API server.
pub struct Suite {
    api: ApiServer,
    filters: Vec<String>,
    passed: usize,
    failed: Vec<String>,
}

impl Suite {
    /// Runs a suite in a network of its own; `folder` is for what it writes. Arguments choose tests by parts of their
    /// names.
    ///
    /// With `SUITES_APART=1` nothing is run: `make test` runs each of these suites by itself, beside the others.
    pub fn main(folder: &Path, tests: impl FnOnce(&mut Suite) -> Result<()>) -> ExitCode {
        if is_set("SUITES_APART") {
            println!("left out here: SUITES_APART=1 says that this suite is run by itself");
            return ExitCode::SUCCESS;
        }
        let filters = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
        let started = Instant::now();
        let suite = podwall_lab::isolate_process().map_err(anyhow::Error::from).and_then(|()| {
            let api = ApiServer::start(folder)?;
            println!("API server ready in {:.1} s", started.elapsed().as_secs_f64());
            let mut suite = Suite { api, filters, passed: 0, failed: Vec::new() };
            tests(&mut suite)?;
            Ok(suite)
        });
        match suite {
            Ok(suite) => suite.judge(started),
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        }
    }

    /// Runs a test, if it was chosen; what it returns is printed beside its time.
    pub fn test(&mut self, name: &str, test: impl FnOnce(&mut ApiServer) -> Result<String>) {
        if !self.filters.is_empty() && !self.filters.iter().any(|filter| name.contains(filter)) {
            return;
        }
        let started = Instant::now();
        let result = test(&mut self.api);
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(found) => {
                println!("test {name} ... ok ({seconds:.1} s: {found})");
                self.passed += 1;
            }
            Err(error) => {
                println!("test {name} ... FAILED ({seconds:.1} s)\n{error:#}");
                self.failed.push(name.to_owned());
            }
        }
    }

    fn judge(mut self, started: Instant) -> ExitCode {
        let seconds = started.elapsed().as_secs_f64();
        println!("{} passed, {} failed in {seconds:.1} s", self.passed, self.failed.len());
        if self.failed.is_empty() && self.passed > 0 {
            return ExitCode::SUCCESS;
        }
        self.api.keep();
        println!("failed: {}; the logs are in {}", self.failed.join(", "), self.api.folder().display());
        ExitCode::FAILURE
    }
}

/// True when the long form of the suites is asked for, by `FULL=1`.
pub fn is_full() -> bool {
    is_set("FULL")
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == "1")
}
