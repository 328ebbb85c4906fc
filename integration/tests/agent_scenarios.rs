//! The acceptance scenarios A1 to A14, written to a real API server and enforced by agents: real packets against the
//! expectations that were written by hand, and against the specification. Quick: dual stack, routed pods, and some on
//! a bridge; FULL=1: every scenario in each family and layout.
//!
//! `cargo test --test agent_scenarios -- a07` runs those whose names contain `a07`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use http::Method;
use podwall_integration::{ApiServer, Objects, Suite, World, WorldOptions, documents, is_full};
use podwall_lab::{Families, Layout, OutsideHost, StepResult, failures};
use podwall_policy::read::{Source, read};
use podwall_policy::{Cluster, Expectation, PlacementOptions, Protocol, Transport, place};
use serde_json::{Value as Json, json};

/// How long a change may take to be obeyed by every packet.
const LIMIT: Duration = Duration::from_secs(5);
/// The scenarios that are tried on a bridge too when there is little time.
const BRIDGED: [&str; 3] = ["a07", "a11", "a13"];
/// The scenario that says the same as another, at greater length.
const LONG: &str = "a06-four-defaults-at-once";

fn main() -> ExitCode {
    Suite::main(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent-scenarios"), |suite| {
        suite.test("the service account may do what it needs and no more", rights);
        let scenarios = Scenario::read_all()?;
        suite.test("a01 without agents is noticed", |api| unenforced(api, &scenarios[0]));
        for scenario in &scenarios {
            for (layout, families, name) in forms(&scenario.name) {
                let name = format!("{} {name}", scenario.name);
                suite.test(&name, |api| scenario.run(api, layout, families));
            }
        }
        Ok(())
    })
}

/// The forms in which a scenario is run.
fn forms(scenario: &str) -> Vec<(Layout, Families, String)> {
    let all = [(true, true, "dual"), (true, false, "ipv4"), (false, true, "ipv6")];
    let mut forms = Vec::new();
    for (layout, layout_name) in [(Layout::Routed, "routed"), (Layout::Bridged, "bridged")] {
        for (ipv4, ipv6, family_name) in all {
            let quick = layout == Layout::Routed || BRIDGED.iter().any(|prefix| scenario.starts_with(prefix));
            if is_full() || quick && ipv4 && ipv6 && scenario != LONG {
                forms.push((layout, Families { ipv4, ipv6 }, format!("{family_name} {layout_name}")));
            }
        }
    }
    forms
}

/// A scenario, as its folder describes it.
struct Scenario {
    name: String,
    /// The files of each step.
    steps: Vec<Vec<PathBuf>>,
    outside: Vec<OutsideHost>,
    node_count: usize,
    /// What is dialled; empty means what the objects speak of.
    transports: BTreeSet<Transport>,
    expectations: Vec<Expectation>,
}

impl Scenario {
    fn read_all() -> Result<Vec<Self>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut folders: Vec<PathBuf> =
            fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        let is_wanted = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            ("a01".."a15").contains(&&*name)
        };
        folders.retain(is_wanted);
        folders.sort();
        ensure!(folders.len() > 14, "{}: only {} scenarios", folder.display(), folders.len());
        folders
            .iter()
            .map(|folder| Self::read(folder).with_context(|| folder.display().to_string()))
            .collect()
    }

    fn read(folder: &Path) -> Result<Self> {
        let description = documents(&fs::read(folder.join("scenario.yaml"))?)?.remove(0);
        let expect = folder.join(description["expect"].as_str().unwrap_or("expect.yaml"));
        let texts = |value: &Json| -> Vec<String> {
            let one = value.as_str().map(str::to_owned);
            let many = value.as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned));
            one.into_iter().chain(many).collect()
        };
        let steps = description["steps"].as_array().context("steps")?;
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            steps: steps
                .iter()
                .map(|step| texts(step).iter().map(|name| folder.join(name)).collect())
                .collect(),
            outside: texts(&description["outside"])
                .iter()
                .map(|text| outside(text))
                .collect::<Result<_>>()?,
            node_count: description["nodes"].as_u64().unwrap_or(2) as usize,
            transports: texts(&description["probe"])
                .iter()
                .map(|text| transport(text))
                .collect::<Result<_>>()?,
            expectations: Expectation::read(&fs::read(expect)?).map_err(|error| anyhow!("{error}"))?,
        })
    }

    fn run(&self, api: &mut ApiServer, layout: Layout, families: Families) -> Result<String> {
        let steps = self.place(families)?;
        let mut world = self.world(api, layout, &steps)?;
        world.move_to(&steps[0].0, &steps[0].1)?;
        world.start_agents()?;
        let (mut results, mut slowest) = (Vec::new(), Duration::ZERO);
        for (index, (cluster, policies)) in steps.iter().enumerate() {
            world.move_to(cluster, policies)?;
            let agreement = world.until_agreed(LIMIT).with_context(|| format!("step {index}"))?;
            slowest = slowest.max(agreement.took);
            results.push(StepResult { index, results: agreement.results, ..StepResult::default() });
        }
        let failed = failures(&self.expectations, &results);
        ensure!(failed.is_empty(), "expectations that do not hold:\n{}", failed.join("\n"));
        let probes: usize = results.iter().map(|step| step.results.len()).sum();
        Ok(format!("{probes} probes, {} expectations, slowest step {slowest:.0?}", self.expectations.len()))
    }

    fn world(&self, api: &ApiServer, layout: Layout, steps: &[(Cluster, Vec<Json>)]) -> Result<World> {
        let nodes = steps.iter().flat_map(|(cluster, _)| cluster.nodes.clone()).collect();
        let options = WorldOptions {
            layout,
            families: Families { ipv4: true, ipv6: true },
            nodes,
            outside: self.outside.clone(),
            drop_unknown: false,
        };
        let mut world = World::new(api, options)?;
        world.transports = self.transports.clone();
        Ok(world)
    }

    /// Every step as a cluster in which everything has its place, and the policies as they were written.
    fn place(&self, families: Families) -> Result<Vec<(Cluster, Vec<Json>)>> {
        let Families { ipv4, ipv6 } = families;
        let options = PlacementOptions { node_count: self.node_count, ipv4, ipv6 };
        let mut steps: Vec<(Cluster, Vec<Json>)> = Vec::new();
        for files in &self.steps {
            let (mut sources, mut policies) = (Vec::new(), BTreeMap::new());
            for file in files.iter().map(|file| all_files(file)).collect::<Result<Vec<_>>>()?.concat() {
                let bytes = fs::read(&file)?;
                for mut object in documents(&bytes)?.into_iter().filter(|it| it["kind"] == "NetworkPolicy") {
                    if object["metadata"]["namespace"].is_null() {
                        object["metadata"]["namespace"] = "default".into();
                    }
                    policies.insert(object["metadata"].to_string(), object);
                }
                sources.push(Source { name: file.display().to_string(), bytes });
            }
            let before = steps.last().map(|(cluster, _)| cluster);
            let manifests = read(&sources, "default");
            let mut cluster = place(&manifests, &options, before);
            // Agents reach the API server by IPv4, whatever the pods have.
            cluster.nodes =
                place(&manifests, &PlacementOptions { ipv4: true, ipv6: true, ..options }, None).nodes;
            ensure!(cluster.policies.len() == policies.len(), "not all policies were found");
            steps.push((cluster, policies.into_values().collect()));
        }
        Ok(steps)
    }
}

/// A file, or those of a folder.
fn all_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
}

fn outside(text: &str) -> Result<OutsideHost> {
    let (name, addresses) = text.split_once('=').context("outside: expected NAME=ADDRESS,...")?;
    let addresses = addresses.split(',').map(|text| Ok(text.parse()?)).collect::<Result<_>>()?;
    Ok(OutsideHost { name: name.into(), addresses })
}

fn transport(text: &str) -> Result<Transport> {
    let (name, port) = text.split_once('/').context("probe: expected PROTOCOL/PORT")?;
    let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.to_string() == name);
    Ok(Transport::Port(protocol.with_context(|| format!("probe: {text}"))?, port.parse()?))
}

/// The suite can fail: with nobody to enforce, packets go where they must not.
fn unenforced(api: &mut ApiServer, scenario: &Scenario) -> Result<String> {
    let families = Families { ipv4: true, ipv6: true };
    let steps = scenario.place(families)?;
    let mut world = scenario.world(api, Layout::Routed, &steps)?;
    let (cluster, policies) = &steps[1];
    world.move_to(cluster, policies)?;
    let wrong = world.wrong_pairs()?;
    ensure!(!wrong.is_empty(), "all packets do as the specification says, though nobody enforces it");
    Ok(format!("{} probes went wrong", wrong.len()))
}

/// `deploy/rbac.yaml` suffices for what the agent asks, and for nothing else.
fn rights(api: &mut ApiServer) -> Result<String> {
    let (admin, agent) = (Objects::new(&api.admin())?, Objects::new(&api.agent())?);
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "trial", "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "podwall.io/agent",
        "reportingInstance": "node-1", "action": "Enforce", "reason": "Trial", "type": "Normal",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "trial"},
    });
    let again = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}});
    let policies = "/apis/networking.k8s.io/v1/networkpolicies";
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let watch = |path: &str| format!("{path}?watch=true&timeoutSeconds=1");
    let pod = "/api/v1/namespaces/default/pods/trial";
    let asked = Instant::now();
    let questions = [
        (Method::GET, "/api/v1/pods".to_owned(), Json::Null, true),
        (Method::GET, "/api/v1/namespaces".to_owned(), Json::Null, true),
        (Method::GET, policies.to_owned(), Json::Null, true),
        (Method::GET, "/api/v1/namespaces/default".to_owned(), Json::Null, true),
        (Method::POST, events.to_owned(), event, true),
        (Method::PATCH, format!("{events}/trial"), again, true),
        (Method::GET, "/api/v1/nodes".to_owned(), Json::Null, false),
        (Method::GET, "/api/v1/services".to_owned(), Json::Null, false),
        (Method::GET, "/api/v1/namespaces/kube-system/secrets".to_owned(), Json::Null, false),
        (Method::GET, watch("/api/v1/secrets"), Json::Null, false),
        (Method::PATCH, pod.to_owned(), json!({"metadata": {"labels": {"app": "mine"}}}), false),
        (Method::PATCH, format!("{pod}/status"), json!({"status": {"podIP": "10.0.0.1"}}), false),
        (Method::DELETE, pod.to_owned(), Json::Null, false),
        (Method::DELETE, format!("{events}/trial"), Json::Null, false),
        (
            Method::PATCH,
            "/api/v1/namespaces/default".to_owned(),
            json!({"metadata": {"labels": {"a": "b"}}}),
            false,
        ),
        (
            Method::DELETE,
            policies.replace("networkpolicies", "namespaces/default/networkpolicies"),
            Json::Null,
            false,
        ),
    ];
    let count = questions.len();
    for (method, path, body, allowed) in questions {
        let status = agent.status(method.clone(), &path, body)?;
        ensure!((status != 403) == allowed, "{method} {path}: {status}, but should it be allowed? {allowed}");
        ensure!(status == 200 || status == 403, "{method} {path}: {status}");
    }
    for path in ["/api/v1/pods", "/api/v1/namespaces", policies] {
        let list = admin.call(Method::GET, path, Json::Null)?;
        let version =
            list["metadata"]["resourceVersion"].as_str().context("a list has a version")?.to_owned();
        let path = format!("{path}?watch=true&timeoutSeconds=1&resourceVersion={version}");
        ensure!(agent.may_watch(&path)?, "{path} is refused");
    }
    Ok(format!("{count} requests and 3 watches in {:.0?}", asked.elapsed()))
}
