//! `podwall agent`: enforces the policies of a cluster on one node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use podwall_compiler::{FlowLog, UnknownPods};
use podwall_reconciler::{Settings, Source, UnknownPodsChoice};
use podwall_ruleset::InterfaceName;
use tracing_subscriber::EnvFilter;

use crate::options::{self, Switch};
use crate::status::SOCKET;

/// The agent cannot enforce here, or cannot go on.
const FAILED: u8 = 1;

/// The options of `podwall agent`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The node whose pods are enforced, as the API calls it
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node: String,
    /// How to reach the API server [default: the service account of the pod that this runs in]
    #[arg(long, value_name = "FILE", env = "KUBECONFIG", conflicts_with = "manifests")]
    kubeconfig: Option<PathBuf>,
    /// Watch a folder of manifests instead of an API server; edits take effect at once
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// What becomes of pods that nobody has told the node of yet [default: drop, where the interfaces of pods can be
    /// told apart]
    #[arg(long, value_name = "WHAT", value_enum)]
    unknown_pods: Option<options::UnknownPods>,
    /// With --unknown-pods drop: how the names of pods' interfaces begin [default: as the CNI names them]
    #[arg(long, value_name = "PREFIX", value_parser = options::parse_interface)]
    pod_interface_prefix: Vec<InterfaceName>,
    /// With --unknown-pods drop: where the addresses of bridged pods come from [default: as the CNI assigns them]
    #[arg(long, value_name = "CIDR")]
    bridge_range: Vec<IpNet>,
    /// Where the configuration of the CNI is, which says how pods are attached
    #[arg(long, value_name = "DIR", default_value = "/etc/cni/net.d")]
    cni_configuration: PathBuf,
    /// Whether packets are dropped that a pod sends from an address not its own
    #[arg(long, value_name = "SWITCH", value_enum, default_value = "on")]
    anti_spoofing: Switch,
    /// Whether connections are cut that a change forbids
    #[arg(long, value_name = "SWITCH", value_enum, default_value = "on")]
    revocation: Switch,
    /// The bit of the conntrack mark that means revoked: one that nothing else on the node uses
    #[arg(long, value_name = "BIT", default_value = "0x01000000", value_parser = parse_mark)]
    revocation_mark: u32,
    /// Count packets by group and direction
    #[arg(long)]
    group_counters: bool,
    /// Which new connections are reported, to `podwall flows` and `podwall audit`; denied: first packets of what policy
    /// denies, or would if it were not in audit mode
    #[arg(long, value_name = "WHAT", value_enum, default_value = "denied")]
    flow_log: FlowLogChoice,
    /// The group of NFLOG that the kernel reports to: one that nothing else on the node uses
    #[arg(long, value_name = "NUMBER", default_value_t = 9427)]
    flow_log_group: u16,
    /// Where metrics and health are served; "off" for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9427", value_parser = parse_listen)]
    listen: Listen,
    /// Where `podwall status` finds the agent; `podwall flows` finds it at flows.socket in the same folder
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    status_socket: PathBuf,
    /// How often it is looked for what is not told by events: other enforcers, problems that went away
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    resync_interval_s: u64,
    /// How the log is written, on standard error
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// What is logged
    #[arg(long, value_name = "FILTER", env = "PODWALL_LOG", default_value = "info")]
    log: String,
}

const EXAMPLES: &str = "\
Examples:
  podwall agent --node worker-1 --kubeconfig /etc/kubernetes/podwall.conf
  podwall agent --node worker-1 --manifests /etc/podwall

The rules stay in force when the agent stops.

Exit codes: 0 stopped; 1 cannot enforce on this node, and why is printed; 2 usage.";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// One line of text for each
    Text,
    /// One object per line
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FlowLogChoice {
    /// None; policies in audit mode are neither enforced nor reported then
    Off,
    /// What is denied, and what policies in audit mode would deny
    Denied,
    /// What is allowed as well
    All,
}

#[derive(Debug, Clone, Copy)]
struct Listen(Option<SocketAddr>);

/// Runs the subcommand until it is told to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    start_log(&arguments)?;
    let settings = settings(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(podwall_reconciler::run(settings)) {
        Ok(()) => Ok(0),
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::error!("{error:#}");
            Ok(FAILED)
        }
    }
}

fn settings(arguments: Arguments) -> anyhow::Result<Settings> {
    let given = !arguments.pod_interface_prefix.is_empty() || !arguments.bridge_range.is_empty();
    let unknown_pods = match arguments.unknown_pods {
        Some(options::UnknownPods::Accept) if given => {
            bail!(
                "--pod-interface-prefix and --bridge-range say what is closed: not with --unknown-pods accept"
            )
        }
        Some(options::UnknownPods::Accept) => UnknownPodsChoice::Fixed(UnknownPods::Accept),
        _ if given => UnknownPodsChoice::Fixed(UnknownPods::Drop {
            interface_prefixes: arguments.pod_interface_prefix,
            bridge_ranges: arguments.bridge_range,
        }),
        Some(options::UnknownPods::Drop) => UnknownPodsChoice::Drop,
        None => UnknownPodsChoice::DropWhereTold,
    };
    Ok(Settings {
        node: arguments.node.into(),
        source: match arguments.manifests {
            Some(folder) => Source::Manifests(folder),
            None => Source::Api { kubeconfig: arguments.kubeconfig },
        },
        unknown_pods,
        cni_configuration: arguments.cni_configuration,
        anti_spoofing: arguments.anti_spoofing == Switch::On,
        revoked_mark: (arguments.revocation == Switch::On).then_some(arguments.revocation_mark),
        counters: arguments.group_counters,
        flow_log: (arguments.flow_log != FlowLogChoice::Off).then_some(FlowLog {
            group: arguments.flow_log_group,
            allowed: arguments.flow_log == FlowLogChoice::All,
        }),
        listen: arguments.listen.0,
        status_socket: arguments.status_socket,
        resync_interval: Duration::from_secs(arguments.resync_interval_s),
    })
}

fn start_log(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&arguments.log)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

fn parse_mark(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match number {
        Ok(mark) if mark.is_power_of_two() => Ok(mark),
        _ => Err("not one bit of 32, as 0x01000000".to_owned()),
    }
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    match text {
        "off" => Ok(Listen(None)),
        _ => text
            .parse()
            .map(|address| Listen(Some(address)))
            .map_err(|_| "not an address with a port, as 127.0.0.1:9427, and not \"off\"".to_owned()),
    }
}
