//! `podwall diff`: what a change opens and closes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podwall_explain::diff::Difference;

use crate::cluster::is_meant;
use crate::here::HereOptions;
use crate::output::{OutputOptions, parsed, print};
use crate::state::{StateOptions, UNREADABLE};

/// What --fail-on names has happened.
const FAILED: u8 = 1;

/// The options of `podwall diff`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A file or folder of manifests: the state before; or the word cluster, for what the kubeconfig's cluster has
    before: PathBuf,
    /// The state after; when BEFORE is the cluster, what is applied to it
    after: PathBuf,
    /// What is in both states: the pods, where BEFORE and AFTER are policies only; may be repeated
    #[arg(short, long = "filename", value_name = "FILE|DIR")]
    filenames: Vec<PathBuf>,
    /// What ends with 1
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Option<FailOn>,
    #[command(flatten)]
    output: OutputOptions,
    #[command(flatten)]
    here: HereOptions,
    #[command(flatten)]
    state: StateOptions,
}

const EXAMPLES: &str = "\
Examples:
  podwall diff before/ after/
  podwall diff cluster new-policies/ --fail-on denied
  podwall diff cluster new-policies/ --here
  podwall diff old-policies/ new-policies/ -f cluster.yaml --fail-on denied

A folder that is called cluster is ./cluster. What is applied to a cluster replaces objects of the same name and deletes
none. Compared are the pods that both states have, with each other and with addresses outside the cluster. With --here, on
a node, also which of its open connections the change would cut.

Exit codes: 0 done; 1 what --fail-on names has happened; 2 usage; 3 unreadable input.";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Something becomes denied
    Denied,
    /// Something becomes allowed
    Allowed,
    /// One or the other
    Any,
}

/// Runs the subcommand; an error is one of usage.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let with = |path: &PathBuf| [std::slice::from_ref(path), &arguments.filenames].concat();
    let Some(before) = arguments.state.read_usable(&with(&arguments.before), None)? else {
        return Ok(UNREADABLE);
    };
    let mut after = with(&arguments.after);
    if is_meant(&arguments.before) && !is_meant(&arguments.after) {
        after.push(arguments.before.clone());
    }
    let Some(after) = arguments.state.read_usable(&after, Some(&before))? else {
        return Ok(UNREADABLE);
    };
    let difference = Difference::new(&before, &after);
    let here = arguments.here.look();
    let here = here.as_ref().map(|here| here.of_change(&before, &after));
    let text = |wide| {
        let here = here.as_ref().map(|it| format!("\n{}", it.to_text())).unwrap_or_default();
        let difference = if wide { difference.to_wide() } else { difference.to_text() };
        difference + &here
    };
    let json = || {
        let mut json = parsed(&difference.to_json());
        if let Some(here) = &here {
            json["here"] = here.to_json();
        }
        json
    };
    print(&arguments.output.write(text, json))?;
    let failed = match arguments.fail_on {
        None => false,
        Some(FailOn::Denied) => difference.closes(),
        Some(FailOn::Allowed) => difference.opens(),
        Some(FailOn::Any) => difference.opens() || difference.closes(),
    };
    Ok(if failed { FAILED } else { 0 })
}
