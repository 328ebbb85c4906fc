//! `podwall lab`: run, shell, down.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use podwall_lab::keep::{self, Kept};
use podwall_lab::{Ending, Lab, LabError, Layout, OutsideHost, RunOptions, Step};
use podwall_policy::{Expectation, ObjectKey, Protocol, Transport, read};

use crate::input;
use crate::options::{IpFamilies, Switch, UnknownPods};

/// The options of `podwall lab`.
#[derive(Args)]
#[command(after_help = OVERVIEW)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const OVERVIEW: &str = "\
Examples:
  podwall lab run --step manifests/ --keep
  podwall lab shell shop/client
  podwall lab down";

#[derive(Subcommand)]
enum Command {
    /// Build the pods, enforce the policies, and probe who reaches whom
    Run(RunArguments),
    /// Open a shell inside a pod of a kept lab
    Shell(ShellArguments),
    /// Remove kept labs
    Down(DownArguments),
}

#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct RunArguments {
    /// A file or folder of manifests: the complete state of the cluster. Repeat it to move from state to state
    #[arg(long = "step", value_name = "PATH", required = true)]
    steps: Vec<PathBuf>,
    /// How many nodes there are, if the manifests name fewer
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=250))]
    nodes: u16,
    /// The families that are used and probed
    #[arg(long, value_enum, default_value = "ipv4")]
    ip_families: IpFamilies,
    /// How pods are attached to their nodes
    #[arg(long, value_enum, default_value = "routed")]
    layout: LayoutName,
    /// Whether packets are dropped that a pod sends from an address not its own
    #[arg(long, value_name = "SWITCH", value_enum, default_value = "on")]
    anti_spoofing: Switch,
    /// What becomes of pods that no one has told their node of yet
    #[arg(long, value_name = "WHAT", value_enum, default_value = "accept")]
    unknown_pods: UnknownPods,
    /// A pod that is up, but that no node has been told of; may be repeated
    #[arg(long, value_name = "NAMESPACE/POD", value_parser = parse_pod)]
    unknown: Vec<ObjectKey>,
    /// A setting of the kernel to be written on every node; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_sysctl)]
    node_sysctl: Vec<(String, String)>,
    /// The namespace of objects that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// A host outside the cluster; may be repeated
    #[arg(long, value_name = "NAME=ADDRESS[,ADDRESS]", value_parser = parse_outside)]
    outside: Vec<OutsideHost>,
    /// What to dial instead of the ports that the manifests speak of: TCP/80, UDP/53, SCTP/9, ICMP; may be repeated
    #[arg(long, value_name = "PROTOCOL/PORT", value_parser = parse_probe)]
    probe: Vec<Transport>,
    /// How long each of the two attempts waits for an answer
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    timeout: u32,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
    /// A list of what must hold: {step, from, to, via, protocol, port, allowed}
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// With --enforce=false, everything happens but the policies are not put in force
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true"
    )]
    enforce: bool,
    /// Leave the lab up afterwards, for `podwall lab shell`
    #[arg(long)]
    keep: bool,
    /// Set by --keep for the process that stays.
    #[arg(long, hide = true)]
    kept: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LayoutName {
    /// By an interface each, as the ptp plugin does
    Routed,
    /// By a bridge on each node, as the bridge plugin does
    Bridged,
}

impl From<LayoutName> for Layout {
    fn from(name: LayoutName) -> Self {
        match name {
            LayoutName::Routed => Layout::Routed,
            LayoutName::Bridged => Layout::Bridged,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  podwall lab run --step manifests/
  podwall lab run --step before.yaml --step after.yaml --probe TCP/80 --probe ICMP
  podwall lab run --step manifests/ --outside internet=203.0.113.9 --ip-families dual --json

Exit codes: 0 as the specification and the expectations say; 1 not so; 2 usage; 3 manifests refused, nothing probed;
4 this machine cannot run the lab, or a probe could not be made.";

#[derive(Args)]
#[command(after_help = SHELL_EXAMPLES)]
struct ShellArguments {
    /// NAMESPACE/POD, node/NAME or outside/NAME
    host: String,
    /// Which lab, of several [default: the one kept last]
    #[arg(long, value_name = "ID")]
    lab: Option<i32>,
    /// What to run instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

const SHELL_EXAMPLES: &str = "\
Examples:
  podwall lab run --step manifests/ --keep
  podwall lab shell shop/client
  podwall lab shell node/node-1 -- nft list ruleset";

#[derive(Args)]
#[command(after_help = DOWN_EXAMPLES)]
struct DownArguments {
    /// Only this lab
    #[arg(long, value_name = "ID")]
    lab: Option<i32>,
}

const DOWN_EXAMPLES: &str = "\
Examples:
  podwall lab down
  podwall lab down --lab 4711";

/// Runs the subcommand; an error is one of usage.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    match arguments.command {
        Command::Run(arguments) => run_lab(arguments),
        Command::Shell(ShellArguments { host, lab, command }) => {
            Ok(code(keep::shell(&host, lab, &command).map(|()| 0)))
        }
        Command::Down(DownArguments { lab }) => Ok(code(keep::down(lab).map(|removed| {
            match removed {
                0 => eprintln!("there is no kept lab"),
                1 => eprintln!("removed 1 lab"),
                _ => eprintln!("removed {removed} labs"),
            }
            0
        }))),
    }
}

/// What the machine cannot do is not an error of usage.
fn code(result: Result<u8, LabError>) -> u8 {
    result.unwrap_or_else(|error| {
        eprintln!("podwall: {error}");
        Ending::Failed as u8
    })
}

fn run_lab(arguments: RunArguments) -> anyhow::Result<u8> {
    if arguments.keep && arguments.steps.iter().any(|path| path == Path::new("-")) {
        bail!("--keep needs manifests in files, not on standard input");
    }
    let steps = read_steps(&arguments.steps, &arguments.namespace)?;
    let (keep, kept) = (arguments.keep, arguments.kept);
    let options = options(arguments)?;
    // The parent of a lab to keep leaves every word to the child.
    if keep && !kept {
        return Ok(code(keep::run_in_child()));
    }
    if podwall_lab::refuse(&steps, options.json) {
        return Ok(Ending::Refused as u8);
    }
    Ok(code(run_here(&steps, options, kept)))
}

fn run_here(steps: &[Step], options: RunOptions, kept: bool) -> Result<u8, LabError> {
    let kept = kept.then(Kept::begin).transpose()?;
    podwall_lab::isolate_process()?;
    let mut lab = Lab::new(options)?;
    let ending = lab.run(steps)?;
    if let Some(kept) = kept {
        kept.stay(&lab, ending)?;
    }
    Ok(ending as u8)
}

fn read_steps(paths: &[PathBuf], namespace: &str) -> anyhow::Result<Vec<Step>> {
    let read_step = |path: &PathBuf| {
        let sources = input::read(std::slice::from_ref(path))?;
        Ok(Step { path: path.display().to_string(), manifests: read::read(&sources, namespace) })
    };
    paths.iter().map(read_step).collect()
}

fn options(arguments: RunArguments) -> anyhow::Result<RunOptions> {
    let mut names = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for host in &arguments.outside {
        if !names.insert(&host.name) {
            bail!("--outside {}: there is a host of this name already", host.name);
        }
        if let Some(address) = host.addresses.iter().find(|address| !addresses.insert(**address)) {
            bail!("--outside {}: {address} is taken already", host.name);
        }
    }
    let expectations = arguments.expect.as_deref().map(read_expectations).transpose()?;
    Ok(RunOptions {
        node_count: arguments.nodes.into(),
        families: arguments.ip_families.into(),
        layout: arguments.layout.into(),
        node_sysctls: arguments.node_sysctl,
        anti_spoofing: arguments.anti_spoofing == Switch::On,
        drop_unknown: arguments.unknown_pods == UnknownPods::Drop,
        unknown: arguments.unknown.into_iter().collect(),
        outside: arguments.outside,
        transports: arguments.probe.into_iter().collect(),
        timeout: Duration::from_millis(arguments.timeout.into()),
        enforce: arguments.enforce,
        json: arguments.json,
        expectations,
    })
}

fn read_expectations(path: &Path) -> anyhow::Result<(String, Vec<Expectation>)> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| file.clone())?;
    match Expectation::read(&bytes) {
        Ok(expectations) => Ok((file, expectations)),
        Err(error) => bail!("{file}:{error}"),
    }
}

/// A host outside the cluster, as options write it.
pub fn parse_outside(text: &str) -> Result<OutsideHost, String> {
    let (name, addresses) = text.split_once('=').ok_or("expected NAME=ADDRESS[,ADDRESS]")?;
    if name.is_empty() || name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
        return Err("a name has no slash and no blank".to_owned());
    }
    let parse = |text: &str| text.parse::<IpAddr>().map_err(|error| format!("{text:?}: {error}"));
    let addresses: Vec<IpAddr> = addresses.split(',').map(parse).collect::<Result<_, _>>()?;
    if let Some(address) =
        addresses.iter().find(|it| it.is_unspecified() || it.is_loopback() || it.is_multicast())
    {
        return Err(format!("{address} is not the address of a host"));
    }
    Ok(OutsideHost { name: name.into(), addresses })
}

fn parse_pod(text: &str) -> Result<ObjectKey, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(ObjectKey::new(namespace, name))
        }
        _ => Err("expected NAMESPACE/POD".to_owned()),
    }
}

/// As sysctl(8) takes it, into a path below `/proc/sys`.
fn parse_sysctl(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    if path.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(format!("{name:?} is not the name of a setting"));
    }
    // Other settings are those of the whole machine.
    if !path.starts_with("net/") {
        return Err(format!("{name}: only settings of net can be set for one node"));
    }
    Ok((path, value.to_owned()))
}

fn parse_probe(text: &str) -> Result<Transport, String> {
    let (protocol, port) = match text.split_once('/') {
        Some((protocol, port)) => (protocol, Some(port)),
        None => (text, None),
    };
    let protocol = match (protocol.to_ascii_uppercase().as_str(), port) {
        ("ICMP", None) => return Ok(Transport::Other),
        ("TCP", _) => Protocol::Tcp,
        ("UDP", _) => Protocol::Udp,
        ("SCTP", _) => Protocol::Sctp,
        _ => return Err("expected TCP/PORT, UDP/PORT, SCTP/PORT or ICMP".to_owned()),
    };
    match port.map(str::parse) {
        Some(Ok(port)) if port > 0 => Ok(Transport::Port(protocol, port)),
        _ => Err("expected a port from 1 to 65535".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_protocol_and_port() {
        assert_eq!(parse_probe("TCP/80"), Ok(Transport::Port(Protocol::Tcp, 80)));
        assert_eq!(parse_probe("udp/53"), Ok(Transport::Port(Protocol::Udp, 53)));
        assert_eq!(parse_probe("ICMP"), Ok(Transport::Other));
        for bad in ["TCP", "TCP/0", "TCP/65536", "TCP/http", "ICMP/8", "80", "QUIC/443", ""] {
            assert!(parse_probe(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn outside_hosts_have_a_name_and_addresses() {
        let host = parse_outside("internet=203.0.113.9,2001:db8::9").unwrap();
        assert_eq!((&*host.name, host.addresses.len()), ("internet", 2));
        for bad in
            ["internet", "=203.0.113.9", "a/b=203.0.113.9", "a=", "a=203.0.113", "a=127.0.0.1", "a=0.0.0.0"]
        {
            assert!(parse_outside(bad).is_err(), "{bad:?} was taken");
        }
    }
}
