//! One run of the program.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::scenario::{Scenario, Wanted};

/// How long one may take.
pub const LIMIT: Duration = Duration::from_secs(60);
/// How long it then has to remove its lab.
const GRACE: Duration = Duration::from_secs(5);

/// Puts the files of each step together, since a step of the lab is one file or folder.
pub fn lay_out(scenario: &Scenario, folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let mut steps = Vec::new();
    for (index, files) in scenario.steps.iter().enumerate() {
        if let [path] = files.as_slice()
            && path.is_dir()
        {
            steps.push(path.clone());
            continue;
        }
        let step = folder.join(format!("step-{index:02}"));
        fs::create_dir_all(&step)?;
        for file in files {
            fs::copy(file, step.join(file.file_name().unwrap_or_default()))?;
        }
        steps.push(step);
    }
    Ok(steps)
}

/// A run that has ended.
pub struct Ran {
    /// `None` when a signal ended it.
    pub exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub in_time: bool,
}

impl Ran {
    pub fn of(case: &Case, folder: &Path, steps: &[PathBuf]) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| folder.join(name));
        let mut command = command(case, steps);
        // Into files: a pipe that nobody empties would stop the run.
        command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let mut child = command.spawn()?;
        let in_time = wait(&mut child, LIMIT)?;
        if !in_time {
            // It is given the time to remove its lab.
            Command::new("kill").arg(child.id().to_string()).status()?;
            if !wait(&mut child, GRACE)? {
                child.kill()?;
            }
        }
        let exit = child.wait()?.code();
        let read =
            |path: &Path| Ok::<_, std::io::Error>(String::from_utf8_lossy(&fs::read(path)?).into_owned());
        Ok(Self { exit, stdout: read(&stdout)?, stderr: read(&stderr)?, in_time })
    }
}

pub fn command(case: &Case, steps: &[PathBuf]) -> Command {
    let scenario = case.scenario;
    let mut command = Command::new(env!("CARGO_BIN_EXE_podwall"));
    command.args(["lab", "run", "--json", "--nodes", &scenario.nodes, "--ip-families", case.family.name()]);
    command.args(["--layout", case.layout.name()]);
    for step in steps {
        command.arg("--step").arg(step);
    }
    for host in &scenario.outside {
        command.args(["--outside", host]);
    }
    for probe in &scenario.probe {
        command.args(["--probe", probe]);
    }
    if let Wanted::Expectations { file, .. } = &scenario.wanted
        && case.enforce
    {
        command.arg("--expect").arg(file);
    }
    if !case.enforce {
        command.arg("--enforce=false");
    }
    // For machines that are slower than any that people have.
    if let Ok(timeout_ms) = std::env::var("PROBE_TIMEOUT_MS") {
        command.args(["--timeout", &timeout_ms]);
    }
    command
}

/// True when it ended in time.
pub fn wait(child: &mut Child, limit: Duration) -> std::io::Result<bool> {
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        if started.elapsed() > limit {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}
