//! Kubernetes NetworkPolicy with plain nftables.

mod compile;
mod input;
mod lab;
mod options;
mod uninstall;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "podwall", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the nftables ruleset of a node
    Compile(compile::Arguments),
    /// Try policies on this machine: pods as network namespaces, real packets
    Lab(lab::Arguments),
    /// Take everything of ours off this node
    Uninstall(uninstall::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  podwall compile -f manifests/ --node node-1
  podwall lab run --step manifests/";

/// The command line cannot be used. clap ends with the same code.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Compile(arguments) => compile::run(&arguments),
        Command::Lab(arguments) => lab::run(arguments),
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
