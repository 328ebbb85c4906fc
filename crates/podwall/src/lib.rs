//! Kubernetes NetworkPolicy with plain nftables: the command line, one subcommand a file. The program is `main.rs`;
//! this is a library so that its reference can be written from the same definition.

mod agent;
mod audit;
mod check;
mod cluster;
mod compile;
mod completion;
mod diff;
mod doctor;
mod explain;
mod flow_file;
mod flow_stream;
mod flows;
mod here;
mod input;
mod lab;
mod map;
mod options;
mod output;
pub mod reference;
mod state;
mod status;
mod suggest;
mod test;
mod uninstall;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "podwall", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Enforce the policies of a cluster on this node
    Agent(Box<agent::Arguments>),
    /// What the agent on this node enforces
    Status(status::Arguments),
    /// Say whether this node enforces policy, and what is in the way
    Doctor(doctor::Arguments),
    /// Print the nftables ruleset of a node
    Compile(compile::Arguments),
    /// Say whether a connection is allowed, and why
    Explain(explain::Arguments),
    /// Find what looks wrong in policies
    Check(check::Arguments),
    /// Say which of the expectations of a file hold
    Test(test::Arguments),
    /// Say what a change opens and closes
    Diff(diff::Arguments),
    /// What the agent on this node saw denied
    Flows(flows::Arguments),
    /// What policies in audit mode would deny
    Audit(audit::Arguments),
    /// Draw who may talk to whom, as a page
    Map(map::Arguments),
    /// Suggest the policies that recorded flows ask for
    Suggest(suggest::Arguments),
    /// Try policies on this machine: pods as network namespaces, real packets
    Lab(lab::Arguments),
    /// Print what a shell needs to complete command lines
    Completion(completion::Arguments),
    /// Take everything of ours off this node
    Uninstall(uninstall::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  podwall agent --node worker-1 --kubeconfig podwall.conf
  podwall doctor
  podwall compile -f manifests/ --node node-1
  podwall lab run --step manifests/
  podwall explain shop/client shop/service/web TCP/80 -f manifests/
  podwall check -f manifests/
  podwall test expect.yaml -f manifests/
  podwall diff before/ after/";

/// The command line cannot be used. clap ends with the same code.
const USAGE: u8 = 2;

/// The command line's definition, which help, completions, man pages and the reference are made from.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    let ended = match parse().command {
        Command::Agent(arguments) => agent::run(*arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Compile(arguments) => compile::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Flows(arguments) => flows::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Map(arguments) => map::run(&arguments),
        Command::Suggest(arguments) => suggest::run(&arguments),
        Command::Lab(arguments) => lab::run(arguments),
        Command::Completion(arguments) => completion::run(&arguments),
        Command::Uninstall(arguments) => uninstall::run(&arguments),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("podwall: {error:#}");
            ExitCode::from(USAGE)
        }
    }
}

/// Reads the command line. As `kubectl-podwall` the program is a plugin, and calls itself as people call it then.
fn parse() -> Cli {
    let called = std::env::args_os().next().unwrap_or_default();
    let is_plugin = Path::new(&called).file_stem().is_some_and(|name| name == "kubectl-podwall");
    let definition = if is_plugin { command().bin_name("kubectl podwall") } else { command() };
    Cli::from_arg_matches(&definition.get_matches()).unwrap_or_else(|error| error.exit())
}
