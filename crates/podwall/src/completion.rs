//! `podwall completion`: what a shell needs to complete command lines of ours.

use clap::{Args, ValueEnum};
use clap_complete::{Generator, Shell};

use crate::output::print;

/// The options of `podwall completion`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Kind,
}

const EXAMPLES: &str = "\
Examples:
  source <(podwall completion bash)
  podwall completion zsh > \"${fpath[1]}/_podwall\"
  podwall completion fish > ~/.config/fish/completions/podwall.fish";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// GNU Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let shell = match arguments.shell {
        Kind::Bash => Shell::Bash,
        Kind::Zsh => Shell::Zsh,
        Kind::Fish => Shell::Fish,
    };
    let mut definition = crate::command();
    definition.set_bin_name("podwall");
    definition.build();
    let mut script = Vec::new();
    shell.generate(&definition, &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(0)
}
