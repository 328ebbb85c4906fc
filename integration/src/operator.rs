//! What whoever operates a node does there, beside starting the agent.

use std::ffi::OsStr;
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value as Json;

use crate::agent::Agent;
use crate::process::Process;

impl Agent {
    /// What a program says that is run on the node.
    pub fn on_node<A: AsRef<OsStr>>(&self, program: &str, arguments: &[A]) -> Result<String> {
        let output = self.namespace.enter(|| Command::new(program).args(arguments).output())??;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What podwall says on the node, on both outputs, and how it ends.
    pub fn podwall(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = self.namespace.enter(|| Command::new(&self.program).args(arguments).output())??;
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok((output.status.code().context("podwall was killed")?, text.concat()))
    }

    /// What `nft` says on the node: of a command, or of several with semicolons.
    pub fn nft(&self, command: &str) -> Result<String> {
        self.on_node("nft", &["--handle", command])
    }

    /// All that the kernel's nftables holds on the node, each object with its handle, but for what packets change.
    pub fn ruleset(&self) -> Result<String> {
        Ok(without_traffic(&self.nft("list ruleset")?))
    }

    /// What `podwall status` prints, as it is or as JSON. It may say that the agent is not ready.
    pub fn status_text(&self, options: &[&str]) -> Result<String> {
        let socket = self.socket();
        let mut command = Command::new(&self.program);
        let output = command.args(["status", "--socket"]).arg(&socket).args(options).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code().is_some_and(|code| code < 2), "podwall status: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The exit code and output of `podwall flows` or `podwall audit`.
    pub fn ask_flows(&self, command: &str, options: &[&str]) -> Result<(i32, String)> {
        let socket = self.socket().with_file_name("flows.socket");
        let output =
            Command::new(&self.program).args([command, "--socket"]).arg(&socket).args(options).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().context("it was killed")?;
        ensure!(code < 2, "podwall {command}: {errors}");
        Ok((code, String::from_utf8(output.stdout)?))
    }

    /// The same, read.
    pub fn status(&self) -> Result<Json> {
        Ok(serde_json::from_str(&self.status_text(&["--json"])?)?)
    }

    /// The value of a metric: a name, with its labels if it has any.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let metrics = self.get("/metrics")?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.with_context(|| format!("there is no {name} in\n{metrics}"))?.parse().context("a number")
    }

    /// Waits until its log has a line with these words, from byte `from` on.
    pub fn wait_for_log(&self, words: &str, from: usize, limit: Duration) -> Result<String> {
        let started = Instant::now();
        loop {
            let log = self.log()?;
            if let Some(line) = log[from..].lines().find(|line| line.contains(words)) {
                return Ok(line.to_owned());
            }
            if started.elapsed() > limit {
                bail!("no line of its log says {words:?} after {limit:?}:\n{}", &log[from..]);
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to stop, by SIGTERM, and waits until it has.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        let id = self.id().context("the agent does not run")?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id as i32), nix::sys::signal::Signal::SIGTERM)?;
        self.wait_until_ended(limit)
    }

    /// Waits until it ends by itself.
    pub fn wait_until_ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let process = self.process.as_mut().context("the agent was not started")?;
        let ended = process.wait(limit)?.with_context(|| format!("it still runs after {limit:?}"))?;
        self.process = None;
        Ok(ended)
    }

    /// Starts another one beside it, with the same arguments, and waits until that ends. Returns all that it said.
    pub fn start_another(&self, limit: Duration) -> Result<(ExitStatus, String)> {
        let log = self.folder.join(format!("{}.another.log", self.node));
        let mut another =
            self.namespace.enter(|| Process::start(&self.program, self.arguments(), &log))??;
        let ended = another.wait(limit)?;
        let said = std::fs::read_to_string(&log)?;
        Ok((ended.with_context(|| format!("the other one still runs after {limit:?}:\n{said}"))?, said))
    }
}

/// A listing without what packets change: what is counted is 0, and sets that rules fill are empty.
pub fn without_traffic(listing: &str) -> String {
    let mut text = String::new();
    let (mut dynamic, mut in_elements) = (false, false);
    for line in listing.lines() {
        dynamic = (dynamic || line.contains("flags dynamic")) && line != "\t}";
        in_elements |= dynamic && line.trim_start().starts_with("elements = {");
        if in_elements {
            in_elements = !line.trim_end().ends_with('}');
            continue;
        }
        let mut before = "";
        let words = line.split(' ').map(|word| {
            let is_count = matches!(std::mem::replace(&mut before, word), "packets" | "bytes");
            if is_count && word.bytes().all(|byte| byte.is_ascii_digit()) { "0" } else { word }
        });
        text.push_str(&words.collect::<Vec<_>>().join(" "));
        text.push('\n');
    }
    text
}
