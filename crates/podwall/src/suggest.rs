//! `podwall suggest`: the policies that recorded flows ask for.

use std::path::PathBuf;

use clap::Args;
use podwall_explain::suggest::{SuggestOptions, Suggestion};

use crate::flow_file;
use crate::output::print;
use crate::state::{StateOptions, UNREADABLE};

/// Some flows ask for what no policy can say.
const REFUSED: u8 = 1;

/// The options of `podwall suggest`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A flow log, as `podwall flows --json` writes it; - for standard input
    #[arg(long, value_name = "FILE")]
    flows: PathBuf,
    /// The pods with their labels; may be repeated
    #[arg(short, long = "filename", value_name = "FILE|DIR", required = true)]
    filenames: Vec<PathBuf>,
    /// Make policies for workloads of this namespace only; may be repeated [default: all but kube-system]
    #[arg(long = "for", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Allow what was denied as well
    #[arg(long)]
    denied_too: bool,
    #[command(flatten)]
    state: StateOptions,
}

const EXAMPLES: &str = "\
Examples:
  podwall suggest --flows flows.jsonl -f manifests/ > policies.yaml
  kubectl get pods,namespaces -A -o yaml > state.yaml && podwall suggest --flows flows.jsonl -f state.yaml --for shop

Every workload that was seen gets one policy, which isolates it both ways and allows exactly the peers and ports that
were seen, by labels; DNS over both UDP and TCP. A log is a sample: record long enough, and look at the result with
`podwall map` and `podwall diff` before applying it.

Exit codes: 0 done; 1 some flows could not be expressed, and why is printed; 2 usage; 3 unreadable input.";

/// Runs the subcommand; an error is one of usage.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let Some(snapshot) = arguments.state.read_usable(&arguments.filenames, None)? else {
        return Ok(UNREADABLE);
    };
    let records = flow_file::read(&arguments.flows)?;
    let options = SuggestOptions {
        denied_too: arguments.denied_too,
        namespaces: arguments.namespaces.iter().map(|name| name.as_str().into()).collect(),
    };
    let suggestion = Suggestion::new(&snapshot, &records, &options);
    print(&suggestion.to_yaml())?;
    for refusal in &suggestion.refusals {
        eprintln!("no policy for {refusal}");
    }
    Ok(if suggestion.refusals.is_empty() { 0 } else { REFUSED })
}
