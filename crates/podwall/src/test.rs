//! `podwall test`: do the expectations hold, without a kernel.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use podwall_explain::Snapshot;
use podwall_explain::trial::Trial;
use podwall_lab::OutsideHost;
use podwall_policy::Expectation;

use crate::lab::parse_outside;
use crate::output::{print, yaml_of};
use crate::state::{StateOptions, UNREADABLE};

/// Some expectation does not hold.
const FAILED: u8 = 1;

/// The options of `podwall test`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A list of what must hold: {step, from, to, via, protocol, port, allowed}
    #[arg(value_name = "FILE")]
    expectations: PathBuf,
    /// A file or folder of manifests, or - for standard input; several are one state [default: the cluster of the
    /// kubeconfig]
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    filenames: Vec<PathBuf>,
    /// A state of its own, as in the lab; repeat it for step 0, step 1 and so on
    #[arg(long = "step", value_name = "PATH", conflicts_with = "filenames")]
    steps: Vec<PathBuf>,
    /// A host outside the cluster; may be repeated
    #[arg(long, value_name = "NAME=ADDRESS[,ADDRESS]", value_parser = parse_outside)]
    outside: Vec<OutsideHost>,
    /// How outcomes are printed
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    #[command(flatten)]
    state: StateOptions,
}

const EXAMPLES: &str = "\
Examples:
  podwall test expect.yaml -f manifests/
  podwall test expect.yaml --kubeconfig staging.conf
  podwall test expect.yaml --step before/ --step after/ --outside internet=203.0.113.9 --output junit

Lines of the file: {from: deployment/shop/web, to: service/shop/db, port: 5432, allowed: true}. An end is
pod/NAMESPACE/NAME, another kind in place of pod, node/NAME, or outside/NAME or outside/ADDRESS. The same file is taken
by `podwall lab run --expect` where it speaks of pods.

Exit codes: 0 all hold; 1 some do not; 2 usage; 3 unreadable input.";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The failures, and how many hold
    Text,
    /// The same, and those that hold
    Wide,
    /// One object
    Json,
    /// The same as YAML
    Yaml,
    /// Test Anything Protocol, version 13
    Tap,
    /// JUnit's XML
    Junit,
}

/// Runs the subcommand; an error is one of usage.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let file = arguments.expectations.display().to_string();
    let bytes = std::fs::read(&arguments.expectations).with_context(|| file.clone())?;
    let expectations = match Expectation::read(&bytes) {
        Ok(expectations) => expectations,
        Err(error) => bail!("{file}:{error}"),
    };
    let Some(states) = read_states(arguments)? else { return Ok(UNREADABLE) };
    let outside =
        arguments.outside.iter().map(|host| (host.name.to_string(), host.addresses.clone())).collect();
    let trial = Trial::new(&file, &expectations, &states, &outside);
    print(&match arguments.output {
        Format::Text => trial.to_text(),
        Format::Wide => trial.to_wide(),
        Format::Json => trial.to_json(),
        Format::Yaml => yaml_of(&trial.to_json()),
        Format::Tap => trial.to_tap(),
        Format::Junit => trial.to_junit(),
    })?;
    Ok(if trial.holds() { 0 } else { FAILED })
}

fn read_states(arguments: &Arguments) -> anyhow::Result<Option<Vec<Snapshot>>> {
    let paths: Vec<&[PathBuf]> = match arguments.steps.is_empty() {
        true => vec![arguments.filenames.as_slice()],
        false => arguments.steps.iter().map(std::slice::from_ref).collect(),
    };
    let mut states: Vec<Snapshot> = Vec::new();
    for paths in paths {
        let Some(state) = arguments.state.read_usable(paths, states.last())? else { return Ok(None) };
        states.push(state);
    }
    Ok(Some(states))
}
