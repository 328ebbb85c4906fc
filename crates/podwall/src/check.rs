//! `podwall check`: what looks wrong in policies.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podwall_explain::check::{Severity, check};

use crate::output::{print, yaml_of};
use crate::state::{StateOptions, UNREADABLE};

/// Something was found.
const FINDINGS: u8 = 1;

/// The options of `podwall check`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A file or folder of manifests, or - for standard input; may be repeated [default: the cluster of the kubeconfig]
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    filenames: Vec<PathBuf>,
    /// How findings are printed
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    /// The mildest findings that count
    #[arg(long, value_enum, default_value = "note")]
    severity: Least,
    #[command(flatten)]
    state: StateOptions,
}

const EXAMPLES: &str = "\
Examples:
  podwall check -f manifests/
  podwall check --kubeconfig staging.conf
  podwall check -f manifests/ --severity warning --output sarif > podwall.sarif

The rules are described in docs/check-rules.md. The annotation podwall.io/ignore: \"RULE: reason\" of a policy keeps a
finding from counting.

Exit codes: 0 clean; 1 findings; 2 usage; 3 unreadable input.";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// FILE:LINE: SEVERITY: RULE: OBJECT: FIELD: MESSAGE
    Text,
    /// The same, and what is ignored, with its reason
    Wide,
    /// One object
    Json,
    /// The same as YAML
    Yaml,
    /// SARIF 2.1.0
    Sarif,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Least {
    /// All
    Note,
    /// Warnings and errors
    Warning,
    /// Errors only
    Error,
}

impl From<Least> for Severity {
    fn from(least: Least) -> Self {
        match least {
            Least::Note => Severity::Note,
            Least::Warning => Severity::Warning,
            Least::Error => Severity::Error,
        }
    }
}

/// Runs the subcommand; an error is one of usage.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let snapshot = arguments.state.read(&arguments.filenames, None)?;
    let (report, least) = (check(&snapshot), arguments.severity.into());
    print(&match arguments.output {
        Format::Text => report.to_text(least),
        Format::Wide => report.to_wide(least),
        Format::Json => report.to_json(least),
        Format::Yaml => yaml_of(&report.to_json(least)),
        Format::Sarif => report.to_sarif(least),
    })?;
    Ok(match (snapshot.manifests.unreadable(), report.counted(least).next()) {
        (true, _) => UNREADABLE,
        (false, Some(_)) => FINDINGS,
        (false, None) => 0,
    })
}
