//! A run of the lab: step by step, make it so, then ask.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use podwall_compiler::{NodeOptions, UnknownPods};
use podwall_policy::read::Manifests;
use podwall_policy::{
    Cluster, Consequence, Expectation, ObjectKey, PlacementOptions, Problem, Protocol, Transport, place,
};
use podwall_ruleset::InterfaceName;

use crate::attempt::Outcome;
use crate::error::LabError;
use crate::expectation::failures;
use crate::listener::Listeners;
use crate::matrix::{self, Drawing};
use crate::plan::{Probe, Question, plan};
use crate::policy::NodePolicy;
use crate::prober::Prober;
use crate::reason;
use crate::report::{ProbeResult, Report, StepResult, distinct};
use crate::scene::{Families, INTERFACE_PREFIX, Layout, OutsideHost, Party, Scene};
use crate::service::{ServiceAddress, service_addresses, service_ruleset};
use crate::topology::{Settings, Topology};

/// Work that takes longer than this shows its progress.
const PATIENCE: Duration = Duration::from_secs(1);
/// How wide a table may be when nobody says.
const WIDTH: usize = 120;

/// One state of the cluster, complete.
#[derive(Debug)]
pub struct Step {
    /// Where it came from.
    pub path: String,
    /// What it says.
    pub manifests: Manifests,
}

/// What a run is to do.
#[derive(Debug)]
pub struct RunOptions {
    /// How many nodes there are at least.
    pub node_count: usize,
    /// The families that are probed.
    pub families: Families,
    /// How pods are attached to their nodes.
    pub layout: Layout,
    /// What is set on every node: names as in `/proc/sys`, and values.
    pub node_sysctls: Vec<(String, String)>,
    /// Drop what a pod sends from an address that is not its own.
    pub anti_spoofing: bool,
    /// Close pods that a node has not been told of.
    pub drop_unknown: bool,
    /// The pods that no node is told of.
    pub unknown: BTreeSet<ObjectKey>,
    /// Hosts outside the cluster.
    pub outside: Vec<OutsideHost>,
    /// What to dial; empty means what the objects speak of.
    pub transports: BTreeSet<Transport>,
    /// How long an attempt waits for an answer.
    pub timeout: Duration,
    /// False to leave the policies out of the kernel.
    pub enforce: bool,
    /// True for a report in JSON.
    pub json: bool,
    /// What must hold, with the name of the file.
    pub expectations: Option<(String, Vec<Expectation>)>,
}

/// How a run ended; the number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything is as the specification and the expectations say.
    Good = 0,
    /// Something is not.
    Different = 1,
    /// The input was refused, and nothing was probed.
    Refused = 3,
    /// A probe could not be made.
    Failed = 4,
}

/// A lab that is up.
pub struct Lab {
    options: RunOptions,
    topology: Topology,
    listeners: Listeners,
    prober: Prober,
    /// What each node enforces; made with the node, and gone with it.
    policies: BTreeMap<Arc<str>, NodePolicy>,
    previous: Option<Cluster>,
}

/// How long a step took.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Until the kernel had it all.
    moved: Duration,
    /// The probes after that.
    probed: Duration,
}

/// True when one of the steps cannot be used; then says what is wrong with them, in `json` too.
pub fn refuse(steps: &[Step], json: bool) -> bool {
    let all: Vec<Problem> = steps.iter().flat_map(|step| step.manifests.problems.clone()).collect();
    let refused = all.iter().any(|problem| problem.consequence >= Consequence::Refused);
    if refused {
        for problem in distinct(all) {
            eprintln!("{problem}");
        }
        eprintln!("podwall: the manifests cannot be used, nothing was probed");
    }
    if refused && json {
        let mut report = Report::default();
        for (index, step) in steps.iter().enumerate() {
            let problems = distinct(step.manifests.problems.iter().cloned());
            report.push(&StepResult { index, path: step.path.clone(), problems, ..StepResult::default() });
        }
        say(&report.to_line());
    }
    refused
}

impl Lab {
    /// The lab without hosts, in the network that this thread is in.
    pub fn new(options: RunOptions) -> Result<Self, LabError> {
        let (families, layout) = (options.families, options.layout);
        let topology =
            Topology::new(Settings { families, layout, node_sysctls: options.node_sysctls.clone() })?;
        let (listeners, prober) = (Listeners::start()?, Prober::new(options.timeout));
        Ok(Self { options, topology, listeners, prober, policies: BTreeMap::new(), previous: None })
    }

    /// All hosts, for those who want to enter them.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Runs all steps and reports on them.
    pub fn run(&mut self, steps: &[Step]) -> Result<Ending, LabError> {
        let mut report = Report::default();
        let mut results = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let (result, times) = self.run_step(index, step)?;
            if self.options.json {
                report.push(&result);
            } else {
                say(&self.describe(&result, times));
            }
            results.push(result);
        }
        if self.options.json {
            let text =
                serde_json::to_string(&report).map_err(|error| LabError::machine("cannot report", error))?;
            say(&format!("{text}\n"));
        }
        Ok(self.judge(&results))
    }

    fn run_step(&mut self, index: usize, step: &Step) -> Result<(StepResult, Times), LabError> {
        let started = Instant::now();
        let options = &self.options;
        let Families { ipv4, ipv6 } = options.families;
        let placement = PlacementOptions { node_count: options.node_count, ipv4, ipv6 };
        let cluster = place(&step.manifests, &placement, self.previous.as_ref());
        let mut scene = Scene::new(&cluster, &options.outside, options.families);
        scene.unknown = options.unknown.clone();
        let mut known = cluster.clone();
        known.pods.retain(|key, _| !options.unknown.contains(key));
        let services = service_addresses(&known, &scene);
        let probes = plan(Question {
            cluster: &known,
            scene: &scene,
            services: &services,
            chosen: &options.transports,
            closes_unknown: options.drop_unknown,
        });
        let compiled = self.move_to(&known, &scene, &services, &probes)?;
        let problems = distinct(step.manifests.problems.iter().cloned().chain(compiled));
        for problem in &problems {
            eprintln!("{problem}");
        }
        let moved = started.elapsed();
        let outcomes = self.ask(&probes, &scene)?;
        self.previous = Some(cluster);
        let results = probes.into_iter().zip(outcomes).map(|(probe, outcome)| ProbeResult { probe, outcome });
        let result =
            StepResult { index, path: step.path.clone(), scene, problems, results: results.collect() };
        Ok((result, Times { moved, probed: started.elapsed() - moved }))
    }

    /// Brings the kernel to a scene by the difference. A pod's policy is in force before the pod is there.
    fn move_to(
        &mut self,
        cluster: &Cluster,
        scene: &Scene,
        services: &[ServiceAddress],
        probes: &[Probe],
    ) -> Result<Vec<Problem>, LabError> {
        // Sockets hold their namespace, and a pod that is made anew needs new ones.
        for gone in self.topology.remove_surplus(scene)? {
            self.listeners.remove(&gone);
            if let Party::Node(name) = gone {
                self.policies.remove(&name);
            }
        }
        self.topology.add_nodes(scene)?;
        let mut problems = Vec::new();
        for node in scene.nodes.keys() {
            let attachments = scene.attachments(node, self.options.layout);
            let options = self.node_options(scene, node);
            let policy = self.policies.entry(node.clone()).or_insert_with(|| NodePolicy::new(node, &options));
            let transaction = policy.move_to(cluster, attachments, options);
            problems.extend(policy.problems());
            if self.options.enforce {
                self.topology.change_policy(node, &transaction)?;
            }
            self.topology.set_services(node, service_ruleset(services))?;
        }
        self.topology.add_pods(scene)?;
        self.topology.update_neighbours(scene)?;
        self.topology.wait_for_links()?;
        let sctp = probes.iter().any(|probe| matches!(probe.transport, Transport::Port(Protocol::Sctp, _)));
        for (host, (addresses, ports)) in scene.listening() {
            if let Some(namespace) = self.topology.namespace(&host) {
                self.listeners.set(&host, namespace, &addresses, &ports, sctp)?;
            }
        }
        Ok(problems)
    }

    /// What a node's operator chose.
    fn node_options(&self, scene: &Scene, node: &str) -> NodeOptions {
        let interface_prefixes = vec![InterfaceName::new(INTERFACE_PREFIX).expect("a short word")];
        let bridge_ranges = match self.options.layout {
            Layout::Routed => Vec::new(),
            Layout::Bridged => scene.pod_networks.get(node).into_iter().flatten().copied().collect(),
        };
        let unknown_pods = match self.options.drop_unknown {
            true => UnknownPods::Drop { interface_prefixes, bridge_ranges },
            false => UnknownPods::Accept,
        };
        NodeOptions { anti_spoofing: self.options.anti_spoofing, unknown_pods, ..NodeOptions::default() }
    }

    fn ask(&mut self, probes: &[Probe], scene: &Scene) -> Result<Vec<Outcome>, LabError> {
        let topology = &self.topology;
        let mut progress = Progress::new(probes.len());
        let place = |probe: &Probe| {
            topology.namespace(&scene.host_of(&probe.from)).expect("every host of the scene has been made")
        };
        let outcomes = self.prober.run(probes, place, |done| progress.show(done))?;
        progress.clear();
        Ok(outcomes)
    }

    fn describe(&self, step: &StepResult, times: Times) -> String {
        let colour =
            io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let width = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(WIDTH);
        let results = &step.results;
        let of = |wanted: Option<bool>| results.iter().filter(|result| result.allowed() == wanted).count();
        let differing = results.iter().filter(|result| result.is_mismatch()).count();
        let pods = step.scene.pods.len();
        let nodes = step.scene.nodes.len();
        let enforced = if self.options.enforce { "" } else { ", NOT ENFORCED" };
        [
            format!("Step {}: {} ({pods} pods, {nodes} nodes{enforced})\n\n", step.index, step.path),
            matrix::draw(results, Drawing { colour, width }),
            format!("{}\n", matrix::LEGEND),
            reason::denials(results),
            reason::mismatches(results),
            reason::errors(results),
            format!(
                "up in {:.1} s; {} probes in {:.1} s: {} allowed, {} denied, {} errors, {differing} mismatches\n\n",
                times.moved.as_secs_f64(),
                results.len(),
                times.probed.as_secs_f64(),
                of(Some(true)),
                of(Some(false)),
                of(None),
            ),
        ]
        .concat()
    }

    fn judge(&self, steps: &[StepResult]) -> Ending {
        let results = || steps.iter().flat_map(|step| &step.results);
        let mut failed = Vec::new();
        if let Some((file, expectations)) = &self.options.expectations {
            failed = failures(expectations, steps);
            for failure in &failed {
                eprintln!("{file}:{failure}");
            }
            if !self.options.json {
                let (held, all) = (expectations.len() - failed.len(), expectations.len());
                say(&format!("{held} of {all} expectations of {file} hold\n"));
            }
        }
        if results().any(|result| result.allowed().is_none()) {
            eprint!("{}", reason::errors(&results().cloned().collect::<Vec<_>>()));
            return Ending::Failed;
        }
        match failed.is_empty() && !results().any(ProbeResult::is_mismatch) {
            true => Ending::Good,
            false => Ending::Different,
        }
    }
}

/// Writes to standard output. That nobody reads any more is no reason to fail.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// How far the probes are, on a terminal and only when it takes long.
struct Progress {
    total: usize,
    started: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self { total, started: Instant::now(), shown: None, terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, done: usize) {
        let due = self.shown.is_none_or(|shown| shown.elapsed() > Duration::from_millis(100));
        if self.terminal && due && self.started.elapsed() > PATIENCE {
            eprint!("\r{done} of {} probes ", self.total);
            self.shown = Some(Instant::now());
        }
    }

    fn clear(&self) {
        if self.shown.is_some() {
            // Blanks and no code, for terminals that know none.
            eprint!("\r{:40}\r", "");
        }
    }
}
