//! `podwall explain`: may they talk, and why.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use podwall_explain::explain::{Question, Refusal, explain};
use podwall_explain::{Dialled, Party};

use crate::here::{Findings, HereOptions};
use crate::output::{OutputOptions, parsed, print};
use crate::state::{StateOptions, UNREADABLE};

/// Denied.
const DENIED: u8 = 1;

/// The options of `podwall explain`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Who opens the connection: NAMESPACE/POD, NAMESPACE/deployment/NAME, NAMESPACE/service/NAME, node/NAME or an
    /// address
    from: Party,
    /// Whom it is meant for
    to: Party,
    /// What is dialled: TCP/80, UDP/53, TCP/http, ICMP [default: all ports that the destination declares]
    #[arg(value_name = "PROTOCOL/PORT")]
    port: Option<Dialled>,
    /// A file or folder of manifests, or - for standard input; may be repeated [default: the cluster of the kubeconfig]
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    filenames: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputOptions,
    #[command(flatten)]
    here: HereOptions,
    #[command(flatten)]
    state: StateOptions,
}

const EXAMPLES: &str = "\
Examples:
  podwall explain shop/client shop/service/web TCP/80 -f manifests/
  podwall explain shop/deployment/web 203.0.113.9 TCP/443 -f manifests/
  podwall explain shop/client shop/deployment/web --context staging
  podwall explain shop/client shop/web-0 TCP/80 --here
  kubectl get pods,services,namespaces,networkpolicies -A -o yaml | podwall explain shop/a shop/b -f -

The answer is what the manifests or the API server say; whether a node enforces it, only the node knows: --here asks it,
by which chain each pod is judged, since when, and which connections between the two are open.

Exit codes: 0 allowed; 1 denied; 2 usage; 3 unreadable input, or a name that nothing in it has.";

/// Runs the subcommand; an error is one of usage.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let Some(snapshot) = arguments.state.read_usable(&arguments.filenames, None)? else {
        return Ok(UNREADABLE);
    };
    let question =
        Question { from: arguments.from.clone(), to: arguments.to.clone(), dialled: arguments.port.clone() };
    match explain(&snapshot, &question) {
        Ok(answer) => {
            let here = arguments.here.look();
            let here = here.as_ref().map(|here| here.of_answer(&snapshot, &question, &answer));
            let text = |wide| {
                let here = here.as_ref().map(Findings::to_text).unwrap_or_default();
                let answer = if wide { answer.to_wide() } else { answer.to_text() };
                answer + &here
            };
            let json = || {
                let mut json = parsed(&answer.to_json());
                if let Some(here) = &here {
                    json["here"] = here.to_json();
                }
                json
            };
            print(&arguments.output.write(text, json))?;
            Ok(if answer.allowed() { 0 } else { DENIED })
        }
        Err(Refusal::Unclear(message)) => bail!(message),
        Err(Refusal::Unknown(unknown)) => {
            eprintln!("podwall: {unknown}");
            Ok(UNREADABLE)
        }
    }
}
