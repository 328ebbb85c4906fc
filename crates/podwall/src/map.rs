//! `podwall map`: who may talk to whom, as a page.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podwall_explain::map::Map;

use crate::flow_file;
use crate::output::{print, yaml_of};
use crate::state::{StateOptions, UNREADABLE};

/// The options of `podwall map`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A file or folder of manifests; may be repeated [default: the cluster of the kubeconfig]
    #[arg(short, long = "filename", value_name = "FILE|DIR")]
    filenames: Vec<PathBuf>,
    /// A flow log, as `podwall flows --json` writes it: what was seen is drawn too; - for standard input
    #[arg(long, value_name = "FILE")]
    flows: Option<PathBuf>,
    /// What is printed
    #[arg(short, long, alias = "format", value_enum, default_value = "html")]
    output: Format,
    #[command(flatten)]
    state: StateOptions,
}

const EXAMPLES: &str = "\
Examples:
  podwall map -f manifests/ > map.html
  podwall map -f manifests/ --flows flows.jsonl > map.html
  podwall map -f manifests/ --output dot | dot -Tsvg > map.svg

The page needs no network: open it in any browser, or attach it to a ticket.

Exit codes: 0 done; 2 usage; 3 unreadable input.";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One page, with search, filters and details
    Html,
    /// For Graphviz
    Dot,
    /// A picture
    Svg,
    /// The data, as one line
    Json,
    /// The same as YAML
    Yaml,
}

/// Runs the subcommand; an error is one of usage.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let Some(snapshot) = arguments.state.read_usable(&arguments.filenames, None)? else {
        return Ok(UNREADABLE);
    };
    let records = match &arguments.flows {
        Some(path) => flow_file::read(path)?,
        None => Vec::new(),
    };
    let map = Map::new(&snapshot, &records);
    print(&match arguments.output {
        Format::Html => map.to_html(),
        Format::Dot => map.to_dot(),
        Format::Svg => map.to_svg(),
        Format::Json => map.to_json(),
        Format::Yaml => yaml_of(&map.to_json()),
    })?;
    Ok(0)
}
