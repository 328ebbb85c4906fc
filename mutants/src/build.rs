//! Builds the tests over the tree, and says which mutants the compiler refuses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::weave::Woven;

/// A program of tests, and the folder that it is run in.
pub struct Program {
    pub name: String,
    pub path: PathBuf,
    pub folder: PathBuf,
}

/// What is changed.
const CHANGED: [&str; 3] =
    ["--package=podwall-policy", "--package=podwall-ruleset", "--package=podwall-compiler"];

/// Whose tests are asked besides, and which: those that need an API server or namespaces are not.
const ASKED: [&str; 15] = [
    "--package=podwall-conformance",
    "--package=podwall-explain",
    "--package=podwall-reconciler",
    "--lib",
    "--test=api",
    "--test=bounds",
    "--test=cases",
    "--test=clauses",
    "--test=diff",
    "--test=display",
    "--test=events",
    "--test=excess",
    "--test=flow_record",
    "--test=properties",
    "--test=traps",
];

/// The programs when it builds, or who is refused and why.
pub fn build(
    tree: &Path,
    woven: &BTreeMap<String, Woven>,
) -> Result<Result<Vec<Program>, BTreeMap<u32, String>>> {
    // What a check refuses is known in a fraction of the time.
    let (ok, checked) = cargo(tree, &["check", "--lib", "--keep-going"], &[])?;
    if !ok {
        return Ok(Err(refusals(&checked, woven)));
    }
    let (ok, built) = cargo(tree, &["test", "--no-run"], &ASKED)?;
    if !ok {
        return Ok(Err(refusals(&built, woven)));
    }
    let program = |message: Message| {
        let folder = message.manifest_path?.parent()?.to_owned();
        Some(Program { name: message.target?.name, path: message.executable?, folder })
    };
    Ok(Ok(built.into_iter().filter_map(program).collect()))
}

#[derive(Deserialize)]
struct Message {
    message: Option<Diagnostic>,
    manifest_path: Option<PathBuf>,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    message: String,
    spans: Vec<Extent>,
}

#[derive(Deserialize)]
struct Extent {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
}

fn cargo(tree: &Path, arguments: &[&str], asked: &[&str]) -> Result<(bool, Vec<Message>)> {
    let mut command = Command::new("cargo");
    command
        .current_dir(tree)
        .args(arguments)
        .arg("--quiet")
        .args(CHANGED)
        .args(asked)
        .arg("--message-format=json");
    let output = command.stderr(Stdio::inherit()).output().context("cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok((output.status.success(), text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()))
}

fn refusals(messages: &[Message], woven: &BTreeMap<String, Woven>) -> BTreeMap<u32, String> {
    let mut refused = BTreeMap::new();
    let errors = messages.iter().filter_map(|it| it.message.as_ref()).filter(|it| it.level == "error");
    for error in errors {
        let blamed = blamed(error, woven);
        if blamed.is_empty() {
            println!("no mutant is to blame: {}", error.message);
        }
        refused.extend(blamed.into_iter().map(|id| (id, error.message.replace('\n', " "))));
    }
    refused
}

/// The mutants whose text an error is in, or else touches: a type that does not fit is complained of where it is
/// expected.
fn blamed(error: &Diagnostic, woven: &BTreeMap<String, Woven>) -> Vec<u32> {
    for (within, primary) in [(true, true), (true, false), (false, true), (false, false)] {
        for span in error.spans.iter().filter(|span| span.is_primary == primary) {
            let Some(woven) = woven.get(&span.file_name) else { continue };
            let is_meant = |place: &std::ops::Range<usize>| {
                let touches = place.start < span.byte_end && span.byte_start < place.end;
                touches && (!within || place.start <= span.byte_start && span.byte_end <= place.end)
            };
            let found: Vec<u32> =
                woven.places.iter().filter(|(place, _)| is_meant(place)).map(|(_, id)| *id).collect();
            if !found.is_empty() {
                return found;
            }
        }
    }
    Vec::new()
}
