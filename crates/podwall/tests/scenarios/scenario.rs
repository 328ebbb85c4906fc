//! What the folders of `integration/scenarios` say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use podwall_policy::tree::{self, Tree, Value};

use crate::Result;
use crate::case::{Family, Layout};
use crate::probe::ProbeKey;

/// A scenario, as its folder describes it.
pub struct Scenario {
    pub name: String,
    /// The files of each step.
    pub steps: Vec<Vec<PathBuf>>,
    pub outside: Vec<String>,
    pub families: Vec<Family>,
    pub nodes: String,
    pub probe: Vec<String>,
    pub wanted: Wanted,
}

/// How a scenario ends.
pub enum Wanted {
    /// Probed, with these expectations.
    Expectations { file: PathBuf, lines: Vec<Expectation> },
    /// Refused, with this exit code and these words on standard error.
    Refusal { exit: i32, stderr: Vec<String> },
}

/// A line of an expectations file.
pub struct Expectation {
    pub line: usize,
    pub probe: ProbeKey,
    pub allowed: bool,
}

pub fn read_scenarios(folder: &Path) -> Result<Vec<Scenario>> {
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
    pub fn read(folder: &Path) -> Result<Self> {
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
    pub fn is_run(&self, layout: Layout) -> bool {
        layout == Layout::Routed || matches!(self.wanted, Wanted::Expectations { .. })
    }
}

pub fn family(name: &str) -> Result<Family> {
    let found = Family::ALL.into_iter().find(|family| family.name() == name);
    found.ok_or_else(|| format!("families: {name} is not one of ipv4, ipv6, dual"))
}

/// Each step is the name of a file or folder, or a list of files that become the folder of the step.
pub fn read_steps(root: &Tree, folder: &Path) -> Result<Vec<Vec<PathBuf>>> {
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
pub fn read_document(file: &Path) -> Result<Tree> {
    let wrong = |message: String| format!("{}: {message}", file.display());
    let bytes = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let documents = tree::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
    let document = documents.into_iter().next().ok_or_else(|| wrong("nothing in it".to_owned()))?;
    match document.first_defect() {
        Some(defect) => Err(wrong(defect.message.clone())),
        None => Ok(document),
    }
}

pub fn text(tree: &Tree) -> Option<String> {
    match &tree.value {
        Value::Scalar(scalar) if !tree.is_null() => Some(scalar.text.to_string()),
        _ => None,
    }
}

pub fn texts(tree: &Tree) -> Option<Vec<String>> {
    match &tree.value {
        Value::Sequence(items) => items.iter().map(text).collect(),
        _ => None,
    }
}

pub fn read_expectations(file: &Path) -> Result<Vec<Expectation>> {
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
    pub fn read(tree: &Tree) -> Result<Self> {
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
