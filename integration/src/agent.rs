//! The agent of one node, as a process in the node's network namespace.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use podwall_lab::{Layout, NetworkNamespace};
use serde_json::json;

use crate::process::Process;

/// Where it answers, on its node's loopback.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9345);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The agent of one node. Killed when dropped.
pub struct Agent {
    /// Options that it is started with beside the usual ones.
    pub options: Vec<String>,
    pub(crate) node: String,
    pub(crate) namespace: NetworkNamespace,
    pub(crate) program: PathBuf,
    kubeconfig: PathBuf,
    unknown_pods: &'static str,
    /// For its log and its socket.
    pub(crate) folder: PathBuf,
    pub(crate) process: Option<Process>,
}

impl Agent {
    /// The agent of `node`, not yet started. The program is `$PODWALL`, or the one that cargo built beside us.
    pub fn new(
        node: &str,
        namespace: NetworkNamespace,
        kubeconfig: &Path,
        drop_unknown: bool,
        folder: &Path,
    ) -> Result<Self> {
        let program = match std::env::var_os("PODWALL") {
            Some(program) => std::fs::canonicalize(program).context("$PODWALL")?,
            None => built_beside()?,
        };
        ensure!(program.exists(), "{} is missing: cargo build --package podwall", program.display());
        Ok(Self {
            options: Vec::new(),
            node: node.to_owned(),
            namespace,
            program,
            kubeconfig: kubeconfig.to_owned(),
            unknown_pods: if drop_unknown { "drop" } else { "accept" },
            folder: folder.to_owned(),
            process: None,
        })
    }

    /// Writes what the network plugin of a node has in `/etc/cni/net.d`; `index` is the node's, from 0.
    pub fn write_cni_configuration(&self, layout: Layout, index: usize) -> Result<()> {
        let ranges = [format!("10.244.{index}.0/24"), format!("fd00:10:244:{index}::/64")];
        let ipam =
            json!({ "type": "host-local", "ranges": ranges.map(|range| [json!({ "subnet": range })]) });
        let plugin = match layout {
            Layout::Routed => json!({ "type": "ptp", "ipam": ipam }),
            Layout::Bridged => json!({ "type": "bridge", "bridge": "cni0", "ipam": ipam }),
        };
        let configuration = json!({ "cniVersion": "1.0.0", "name": "lab", "plugins": [plugin] });
        std::fs::create_dir_all(self.cni_folder())?;
        std::fs::write(self.cni_folder().join("10-lab.conflist"), configuration.to_string())?;
        Ok(())
    }

    /// Where that is.
    pub fn cni_folder(&self) -> PathBuf {
        self.folder.join(format!("{}.cni", self.node))
    }

    /// Starts it; the one that runs is killed.
    pub fn start(&mut self) -> Result<()> {
        self.kill();
        // The child begins where this thread is.
        let started =
            self.namespace.enter(|| Process::start(&self.program, self.arguments(), &self.log_file()))?;
        self.process = Some(started?);
        Ok(())
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let usual = [
            "agent",
            "--node",
            &self.node,
            "--kubeconfig",
            &text(&self.kubeconfig),
            "--unknown-pods",
            self.unknown_pods,
            "--listen",
            &LISTEN.to_string(),
            "--status-socket",
            &text(&self.socket()),
            "--cni-configuration",
            &text(&self.cni_folder()),
            "--log-format",
            "text",
        ];
        usual.into_iter().map(str::to_owned).chain(self.options.iter().cloned()).collect()
    }

    /// Its status socket, in a folder that it makes itself.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(format!("{}.run", self.node)).join("status.socket")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.node))
    }

    /// All that it and those before it have logged.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.log_file())?)
    }

    /// Kills it by SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// How long its repairs of its table took since it was last started or before, as its log says: from the first
    /// notification to the end, and of that, from sending to the kernel's acknowledgement.
    pub fn repairs(&self) -> Result<Vec<(Duration, Duration)>> {
        let log = self.log()?;
        let one = |line: &str| Some((field(line, "since_noticed=")?, field(line, "acknowledged=")?));
        Ok(log.lines().filter_map(one).collect())
    }

    /// The last lines of its log, with its own times.
    pub fn log_end(&self) -> String {
        self.process.as_ref().map(Process::log_end).unwrap_or_default()
    }

    /// Its process number, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Waits until it is in sync and enforces.
    pub fn wait_until_ready(&mut self, limit: Duration) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let process = self.process.as_mut().context("the agent was not started")?;
            process.check().with_context(|| format!("the agent of {}", self.node))?;
            if self.get("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(started.elapsed());
            }
            if started.elapsed() > limit {
                bail!("the agent of {} is not ready after {limit:?}:\n{}", self.node, self.log_end());
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Asks it over HTTP, and returns the whole answer.
    pub fn get(&self, path: &str) -> Result<String> {
        let mut stream = self.namespace.enter(|| TcpStream::connect_timeout(&LISTEN, PATIENCE))??;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The namespace of its node.
    pub fn namespace(&self) -> &NetworkNamespace {
        &self.namespace
    }
}

/// A duration in a line of a log.
fn field(line: &str, name: &str) -> Option<Duration> {
    let text = line.split_once(name)?.1.split(' ').next()?;
    let (number, unit_s) = [("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)]
        .into_iter()
        .find_map(|(unit, unit_s)| Some((text.strip_suffix(unit)?, unit_s)))?;
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * unit_s))
}

/// Test programs are in the folder `deps` beside it.
fn built_beside() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).context("a test program is in target/*/deps")?;
    Ok(folder.join("podwall"))
}
