//! The acceptance scenarios of `integration/scenarios`, each in the lab with real packets, for IPv4, IPv6 and both,
//! with routed and with bridged pods.
//!
//! ```text
//! scenario.yaml ─► podwall lab run --step ... --expect expect.yaml --json ─► exit code, JSON
//! expect.yaml  ─────────────────────────────────────────────────────────────► checked once more, family by family
//! ```
//!
//! `cargo test --test scenarios -- a07` runs those whose names contain `a07`; `--list` lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use podwall_policy::tree::{self, Tree, Value};
use serde_json::Value as Json;

/// How many scenarios run at a time.
const WORKERS: usize = 3;
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long it then has to remove its lab.
const GRACE: Duration = Duration::from_secs(5);
/// How many differences of one kind are printed.
const SHOWN: usize = 20;
/// The scenario that is run without enforcement as well.
const UNENFORCED: &str = "a01-deny-ingress";

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

/// A scenario, as its folder describes it.
struct Scenario {
    name: String,
    /// The files of each step.
    steps: Vec<Vec<PathBuf>>,
    outside: Vec<String>,
    families: Vec<Family>,
    nodes: String,
    probe: Vec<String>,
    wanted: Wanted,
}

/// How a scenario ends.
enum Wanted {
    /// Probed, with these expectations.
    Expectations { file: PathBuf, lines: Vec<Expectation> },
    /// Refused, with this exit code and these words on standard error.
    Refusal { exit: i32, stderr: Vec<String> },
}

/// A line of an expectations file.
struct Expectation {
    line: usize,
    probe: ProbeKey,
    allowed: bool,
}

/// What an expectation says about probes; several differ only in their address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ProbeKey {
    step: usize,
    from: String,
    to: String,
    via: String,
    protocol: String,
    port: Option<u64>,
}

/// The families of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
    Dual,
}

impl Family {
    const ALL: [Family; 3] = [Family::Ipv4, Family::Ipv6, Family::Dual];

    fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
            Family::Dual => "dual",
        }
    }

    /// The families that are probed.
    fn probed(self) -> &'static [&'static str] {
        match self {
            Family::Ipv4 => &["ipv4"],
            Family::Ipv6 => &["ipv6"],
            Family::Dual => &["ipv4", "ipv6"],
        }
    }
}

/// How pods are attached in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Routed,
    Bridged,
}

impl Layout {
    const ALL: [Layout; 2] = [Layout::Routed, Layout::Bridged];

    fn name(self) -> &'static str {
        match self {
            Layout::Routed => "routed",
            Layout::Bridged => "bridged",
        }
    }
}

/// One run of a scenario.
struct Case<'a> {
    scenario: &'a Scenario,
    family: Family,
    layout: Layout,
    /// False for the run that must notice that nothing is enforced.
    enforce: bool,
}

impl Case<'_> {
    fn name(&self) -> String {
        let enforced = if self.enforce { "" } else { " unenforced" };
        let bridged = if self.layout == Layout::Bridged { " bridged" } else { "" };
        format!("{} {}{bridged}{enforced}", self.scenario.name, self.family.name())
    }
}

fn read_cases(folder: &Path) -> Result<Vec<Case<'static>>> {
    // They live as long as the process.
    let scenarios: &'static [Scenario] = read_scenarios(folder)?.leak();
    let mut cases: Vec<Case> = Vec::new();
    for scenario in scenarios {
        for layout in Layout::ALL.into_iter().filter(|layout| scenario.is_run(*layout)) {
            let families = scenario.families.iter();
            cases.extend(families.map(|family| Case { scenario, family: *family, layout, enforce: true }));
        }
    }
    let scenario = scenarios.iter().find(|scenario| scenario.name == UNENFORCED);
    let scenario = scenario.ok_or_else(|| format!("{}: {UNENFORCED} is missing", folder.display()))?;
    cases.push(Case { scenario, family: Family::Dual, layout: Layout::Routed, enforce: false });
    Ok(cases)
}

fn read_scenarios(folder: &Path) -> Result<Vec<Scenario>> {
    let in_folder = |error| format!("{}: {error}", folder.display());
    let folder = fs::canonicalize(folder).map_err(in_folder)?;
    let entries: std::result::Result<Vec<_>, _> = fs::read_dir(&folder).map_err(in_folder)?.collect();
    let mut folders: Vec<PathBuf> = entries.map_err(in_folder)?.iter().map(fs::DirEntry::path).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    if folders.is_empty() {
        return Err(format!("{}: there are no scenarios here", folder.display()));
    }
    folders.iter().map(|folder| Scenario::read(folder)).collect()
}

impl Scenario {
    fn read(folder: &Path) -> Result<Self> {
        const KEYS: [&str; 9] =
            ["title", "steps", "outside", "families", "nodes", "probe", "exit", "stderr", "expect"];
        let file = folder.join("scenario.yaml");
        let root = read_document(&file)?;
        let wrong = |message: String| format!("{}: {message}", file.display());
        if let Some(entry) = root.entries().iter().find(|entry| !KEYS.contains(&&*entry.key.text)) {
            return Err(wrong(format!("unknown key {}", entry.key.text)));
        }
        let list = |key: &str| match root.get(key) {
            Some(entry) => {
                texts(&entry.value).ok_or_else(|| wrong(format!("{key}: expected a list of texts")))
            }
            None => Ok(Vec::new()),
        };
        let one = |key: &str| root.get(key).and_then(|entry| text(&entry.value));
        one("title").ok_or_else(|| wrong("title is missing".to_owned()))?;
        let families = match list("families")? {
            names if names.is_empty() => Family::ALL.to_vec(),
            names => names.iter().map(|name| family(name).map_err(wrong)).collect::<Result<_>>()?,
        };
        let wanted = match one("exit") {
            Some(exit) => {
                let exit = exit.parse().map_err(|_| wrong(format!("exit: {exit} is not a number")))?;
                let stderr = list("stderr")?;
                if stderr.is_empty() {
                    return Err(wrong("exit needs stderr: what must be said".to_owned()));
                }
                Wanted::Refusal { exit, stderr }
            }
            None => {
                let file = folder.join(one("expect").unwrap_or_else(|| "expect.yaml".to_owned()));
                Wanted::Expectations { lines: read_expectations(&file)?, file }
            }
        };
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            steps: read_steps(&root, folder).map_err(wrong)?,
            outside: list("outside")?,
            families,
            nodes: one("nodes").unwrap_or_else(|| "2".to_owned()),
            probe: list("probe")?,
            wanted,
        })
    }
}

impl Scenario {
    /// What is refused is refused before there is a pod to attach.
    fn is_run(&self, layout: Layout) -> bool {
        layout == Layout::Routed || matches!(self.wanted, Wanted::Expectations { .. })
    }
}

fn family(name: &str) -> Result<Family> {
    let found = Family::ALL.into_iter().find(|family| family.name() == name);
    found.ok_or_else(|| format!("families: {name} is not one of ipv4, ipv6, dual"))
}

/// Each step is the name of a file or folder, or a list of files that become the folder of the step.
fn read_steps(root: &Tree, folder: &Path) -> Result<Vec<Vec<PathBuf>>> {
    let steps = match root.get("steps").map(|entry| &entry.value.value) {
        Some(Value::Sequence(steps)) if !steps.is_empty() => steps,
        _ => return Err("steps: expected a list".to_owned()),
    };
    let read_step = |step: &Tree| {
        let names = texts(step).or_else(|| text(step).map(|name| vec![name]));
        let names = names.filter(|names| !names.is_empty());
        let names = names.ok_or("steps: expected the name of a file, or a list of such names")?;
        let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        let files: BTreeSet<_> = paths.iter().map(|path| path.file_name()).collect();
        match paths.iter().find(|path| !path.exists()) {
            Some(path) => Err(format!("steps: {} is missing", path.display())),
            None if files.len() < paths.len() => Err("steps: two files of one name".to_owned()),
            None => Ok(paths),
        }
    };
    steps.iter().map(read_step).collect()
}

/// The first document of a file, without keys that are given twice.
fn read_document(file: &Path) -> Result<Tree> {
    let wrong = |message: String| format!("{}: {message}", file.display());
    let bytes = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let documents = tree::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
    let document = documents.into_iter().next().ok_or_else(|| wrong("nothing in it".to_owned()))?;
    match document.first_defect() {
        Some(defect) => Err(wrong(defect.message.clone())),
        None => Ok(document),
    }
}

fn text(tree: &Tree) -> Option<String> {
    match &tree.value {
        Value::Scalar(scalar) if !tree.is_null() => Some(scalar.text.to_string()),
        _ => None,
    }
}

fn texts(tree: &Tree) -> Option<Vec<String>> {
    match &tree.value {
        Value::Sequence(items) => items.iter().map(text).collect(),
        _ => None,
    }
}

fn read_expectations(file: &Path) -> Result<Vec<Expectation>> {
    let wrong = |line: Option<usize>, message: &str| {
        format!("{}:{}: {message}", file.display(), line.unwrap_or_default())
    };
    let document = read_document(file)?;
    let Value::Sequence(items) = &document.value else { return Err(wrong(None, "expected a list")) };
    let mut seen = BTreeMap::new();
    let mut lines = Vec::new();
    for item in items {
        let expectation = Expectation::read(item).map_err(|message| wrong(item.line, &message))?;
        if let Some(first) = seen.insert(expectation.probe.clone(), expectation.line) {
            return Err(wrong(item.line, &format!("line {first} speaks of the same probe")));
        }
        lines.push(expectation);
    }
    let allowed = lines.iter().filter(|expectation| expectation.allowed).count();
    if lines.len() < 4 || allowed == 0 || allowed == lines.len() {
        return Err(wrong(None, "expected four lines or more, and both what is allowed and what is not"));
    }
    Ok(lines)
}

impl Expectation {
    fn read(tree: &Tree) -> Result<Self> {
        let optional = |key: &str| tree.get(key).and_then(|entry| text(&entry.value));
        let required = |key: &str| optional(key).ok_or_else(|| format!("{key} is missing"));
        let number =
            |key: &str, text: String| text.parse().map_err(|_| format!("{key}: {text} is not a number"));
        Ok(Self {
            line: tree.line.unwrap_or_default(),
            probe: ProbeKey {
                step: number("step", required("step")?)? as usize,
                from: required("from")?,
                to: required("to")?,
                via: optional("via").unwrap_or_else(|| "direct".to_owned()),
                protocol: required("protocol")?,
                port: optional("port").map(|port| number("port", port)).transpose()?,
            },
            allowed: match required("allowed")?.as_str() {
                "true" => true,
                "false" => false,
                other => return Err(format!("allowed: {other} is neither true nor false")),
            },
        })
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
    match check(case, &ran) {
        Ok(probes) => {
            // What is left behind is no reason to fail.
            let _ = fs::remove_dir_all(&folder);
            Ok(probes)
        }
        Err(message) => Err(format!("{}{message}\nthe run is in {}", ran.stderr, folder.display())),
    }
}

/// Puts the files of each step together, since a step of the lab is one file or folder.
fn lay_out(scenario: &Scenario, folder: &Path) -> std::io::Result<Vec<PathBuf>> {
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
struct Ran {
    /// `None` when a signal ended it.
    exit: Option<i32>,
    stdout: String,
    stderr: String,
    in_time: bool,
}

impl Ran {
    fn of(case: &Case, folder: &Path, steps: &[PathBuf]) -> std::io::Result<Self> {
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

fn command(case: &Case, steps: &[PathBuf]) -> Command {
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
    command
}

/// True when it ended in time.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<bool> {
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        if started.elapsed() > limit {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}

fn check(case: &Case, ran: &Ran) -> Result<usize> {
    if !ran.in_time {
        return Err(format!("not done after {} s", LIMIT.as_secs()));
    }
    match &case.scenario.wanted {
        Wanted::Refusal { exit, stderr } => check_refusal(ran, *exit, stderr),
        Wanted::Expectations { .. } if !case.enforce => check_unenforced(case, ran),
        Wanted::Expectations { file, lines } => check_probes(case, ran, file, lines),
    }
}

fn check_exit(ran: &Ran, wanted: i32) -> Result<()> {
    match ran.exit {
        Some(exit) if exit == wanted => Ok(()),
        Some(exit) => Err(format!("exit code {exit} in place of {wanted}")),
        None => Err("ended by a signal".to_owned()),
    }
}

/// Refused means said why, and nothing probed.
fn check_refusal(ran: &Ran, exit: i32, stderr: &[String]) -> Result<usize> {
    check_exit(ran, exit)?;
    if let Some(missing) = stderr.iter().find(|text| !ran.stderr.contains(text.as_str())) {
        return Err(format!("standard error does not say {missing:?}"));
    }
    if ran.stdout.is_empty() {
        return Ok(0);
    }
    match probes(&report(ran)?)?.len() {
        0 => Ok(0),
        probes => Err(format!("{probes} probes were made all the same")),
    }
}

fn check_probes(case: &Case, ran: &Ran, file: &Path, lines: &[Expectation]) -> Result<usize> {
    let report = report(ran);
    let probes = report.as_ref().map_err(String::clone).and_then(probes);
    let mut wrong: Vec<String> = check_exit(ran, 0).err().into_iter().collect();
    match &probes {
        Ok(probes) => {
            let differing: Vec<String> =
                probes.iter().filter(|probe| !probe.agrees()).map(Probe::describe).collect();
            add(&mut wrong, "the kernel and the specification differ", differing);
            add(&mut wrong, "these expectations do not hold", failed(case, file, lines, probes));
        }
        Err(message) => wrong.push(message.clone()),
    }
    if let Ok(report) = &report {
        if report["mismatches"] != 0 {
            wrong.push(format!("{} mismatches are reported", report["mismatches"]));
        }
        let steps = report["steps"].as_array().map_or(0, Vec::len);
        if steps != case.scenario.steps.len() {
            wrong.push(format!("{steps} steps are reported of {}", case.scenario.steps.len()));
        }
    }
    if wrong.is_empty() { Ok(probes?.len()) } else { Err(wrong.join("\n")) }
}

/// Without enforcement everything gets through, and that must be noticed.
fn check_unenforced(case: &Case, ran: &Ran) -> Result<usize> {
    check_exit(ran, 1)?;
    let report = report(ran)?;
    let probes = probes(&report)?;
    let differing = probes.iter().filter(|probe| !probe.agrees()).count();
    let seen = |family: &str| probes.iter().any(|probe| probe.family == family && !probe.agrees());
    if !case.family.probed().iter().all(|family| seen(family)) {
        return Err("no mismatch in some family, though nothing was enforced".to_owned());
    }
    if let Some(probe) = probes.iter().find(|probe| probe.allowed != Some(true)) {
        return Err(format!("{} though nothing was enforced", probe.describe()));
    }
    if report["mismatches"] != differing {
        return Err(format!("{} mismatches are reported of {differing}", report["mismatches"]));
    }
    Ok(probes.len())
}

fn add(wrong: &mut Vec<String>, title: &str, mut lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    wrong.push(format!("{title}:\n    {}", lines.join("\n    ")));
    if more > 0 {
        wrong.push(format!("    and {more} more"));
    }
}

/// The expectations that do not hold in each family that was probed.
fn failed(case: &Case, file: &Path, lines: &[Expectation], probes: &[Probe]) -> Vec<String> {
    let mut by_key: BTreeMap<(&ProbeKey, &str), Vec<&Probe>> = BTreeMap::new();
    for probe in probes {
        by_key.entry((&probe.key, probe.family.as_str())).or_default().push(probe);
    }
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    let mut failed = Vec::new();
    for expectation in lines {
        for family in case.family.probed() {
            let place = format!("{file}:{}: {}", expectation.line, expectation.probe.describe());
            let wanted = if expectation.allowed { "allowed" } else { "denied" };
            let Some(probes) = by_key.get(&(&expectation.probe, family)) else {
                failed.push(format!("{place}: no {family} probe is like this"));
                continue;
            };
            let differing = probes.iter().find(|probe| probe.allowed != Some(expectation.allowed));
            failed
                .extend(differing.map(|probe| format!("{place} must be {wanted}: {}", probe.describe_end())));
        }
    }
    failed
}

/// The one JSON object of standard output.
fn report(ran: &Ran) -> Result<Json> {
    serde_json::from_str(&ran.stdout)
        .map_err(|error| format!("standard output is not one JSON object: {error}"))
}

/// A probe, as the lab reports it.
struct Probe {
    key: ProbeKey,
    family: String,
    address: String,
    outcome: String,
    allowed: Option<bool>,
    evaluated: Option<bool>,
}

fn probes(report: &Json) -> Result<Vec<Probe>> {
    let steps = report["steps"].as_array().ok_or("the report has no steps")?;
    let mut found = Vec::new();
    for (step, value) in steps.iter().enumerate() {
        let probes = value["probes"].as_array().ok_or("a step of the report has no probes")?;
        for probe in probes {
            found.push(Probe::read(step, probe).ok_or_else(|| format!("not a probe: {probe}"))?);
        }
    }
    Ok(found)
}

impl Probe {
    fn read(step: usize, json: &Json) -> Option<Self> {
        let text = |key: &str| json[key].as_str().map(ToOwned::to_owned);
        Some(Self {
            key: ProbeKey {
                step,
                from: text("from")?,
                to: text("to")?,
                via: text("via")?,
                protocol: text("protocol")?,
                port: json["port"].as_u64(),
            },
            family: text("family")?,
            address: text("address")?,
            outcome: text("outcome")?,
            allowed: json["allowed"].as_bool(),
            evaluated: json["evaluated"].as_bool(),
        })
    }

    /// True when the kernel did what the specification says.
    fn agrees(&self) -> bool {
        self.allowed.is_some() && self.allowed == self.evaluated
    }

    fn describe(&self) -> String {
        format!("{}: {}", self.key.describe(), self.describe_end())
    }

    fn describe_end(&self) -> String {
        let evaluated = match self.evaluated {
            Some(true) => "allowed",
            Some(false) => "denied",
            None => "not evaluated",
        };
        format!("{} at {}, {evaluated} by the specification", self.outcome, self.address)
    }
}

impl ProbeKey {
    fn describe(&self) -> String {
        let port = self.port.map(|port| format!("/{port}")).unwrap_or_default();
        let via = if self.via == "service" { " by Service" } else { "" };
        format!("step {}: {} -> {}{via} {}{port}", self.step, self.from, self.to, self.protocol)
    }
}
