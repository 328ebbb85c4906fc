//! `podwall doctor`: is policy enforced on this node, and if not, what is in the way.
//!
//! ```text
//! gather (kernel, agent), api (API server) ─► Facts ─► judge ─► findings
//! ```

mod api;
mod drift;
mod facts;
mod finding;
mod gather;
mod judge;
mod rule_trial;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cluster::ClusterOptions;
use crate::output::{OutputOptions, print};
use crate::status::SOCKET;
use facts::ApiServer;
use finding::{is_doubtful, to_text};

/// Enforcement is in doubt.
const DOUBT: u8 = 1;

/// The options of `podwall doctor`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The agent's socket
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    /// Where the configuration of the CNI is
    #[arg(long, value_name = "DIR", default_value = "/etc/cni/net.d")]
    cni_configuration: PathBuf,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    output: OutputOptions,
}

const EXAMPLES: &str = "\
Examples:
  podwall doctor
  kubectl -n kube-system exec ds/podwall -- podwall doctor
  podwall doctor --kubeconfig admin.conf --as system:serviceaccount:kube-system:podwall -o json

Looks and changes nothing. Each finding is ok, worth a note, or casts doubt on enforcement; docs/doctor.md says what each
means. As root on the node it sees most.

Exit codes: 0 nothing casts doubt on enforcement; 1 something does; 2 usage.";

/// Runs the subcommand; an error is one of usage.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let api = ask_api_server(&arguments.cluster)?;
    let findings = judge::judge(&gather::gather(&arguments.socket, &arguments.cni_configuration, api));
    let doubtful = is_doubtful(&findings);
    let json = || json!({"version": 1, "doubt": doubtful, "findings": findings});
    print(&arguments.output.write(|_| to_text(&findings), json))?;
    Ok(if doubtful { DOUBT } else { 0 })
}

/// A kubeconfig that was named and cannot be used is a mistake; none at all means that nobody is asked.
fn ask_api_server(cluster: &ClusterOptions) -> anyhow::Result<ApiServer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match cluster.client().await {
            Ok(client) => Ok(api::ask(&client).await),
            Err(error) if cluster.is_named() => Err(error),
            Err(_) => Ok(ApiServer::NotAsked("there is no kubeconfig, and this is no pod".to_owned())),
        }
    })
}
