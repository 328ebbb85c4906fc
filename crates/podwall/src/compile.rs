//! `podwall compile`: the ruleset of a node as text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use podwall_compiler::{Attachment, Closed, NodeOptions, NodeState, UnknownPods, compile};
use podwall_lab::{Families, ProblemReport};
use podwall_policy::{Cluster, Consequence, ObjectKey, PlacementOptions, Problem, place, read};
use podwall_ruleset::InterfaceName;

use crate::input;
use crate::options::{self, IpFamilies, Switch};
use crate::output::print;

/// Problems were found; what was printed is safe all the same.
const PROBLEMS_FOUND: u8 = 1;
/// The input is no manifests at all, and nothing was printed.
const UNREADABLE: u8 = 3;

/// The options of `podwall compile`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A file or folder of manifests, or - for standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required = true)]
    filenames: Vec<PathBuf>,
    /// The node to compile for [default: the first by name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The namespace of objects that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// The interfaces of pods, as JSON: {"NAMESPACE/POD": "INTERFACE"}, or {"bridgePort": "INTERFACE"} as value;
    /// pods without one are known by address
    #[arg(long, value_name = "FILE")]
    interfaces: Option<PathBuf>,
    /// How many nodes there are, if the manifests name fewer
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=5000))]
    nodes: u16,
    /// The families of the addresses that are assigned
    #[arg(long, value_enum, default_value = "ipv4")]
    ip_families: IpFamilies,
    /// Whether packets are dropped that a pod sends from an address not its own
    #[arg(long, value_name = "SWITCH", value_enum, default_value = "on")]
    anti_spoofing: Switch,
    /// What becomes of pods that no one has told the node of yet
    #[arg(long, value_name = "WHAT", value_enum, default_value = "accept")]
    unknown_pods: options::UnknownPods,
    /// With --unknown-pods drop: how the names of pods' interfaces begin; may be repeated
    #[arg(long, value_name = "PREFIX", default_value = "veth", value_parser = options::parse_interface)]
    pod_interface_prefix: Vec<InterfaceName>,
    /// With --unknown-pods drop: where the addresses of bridged pods come from; may be repeated
    #[arg(long, value_name = "CIDR")]
    bridge_range: Vec<IpNet>,
    /// How problems are printed, on standard error
    #[arg(long, value_enum, default_value = "text")]
    problems: ProblemFormat,
}

const EXAMPLES: &str = "\
Examples:
  podwall compile -f manifests/ | nft -f -
  kubectl get pods,namespaces,networkpolicies -A -o yaml | podwall compile -f - --node worker-1

Exit codes: 0 clean; 1 problems found, a safe ruleset is printed; 2 usage; 3 unreadable input, nothing printed.";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProblemFormat {
    /// FILE:LINE: OBJECT: FIELD: MESSAGE
    Text,
    /// One object per line
    Json,
}

/// Runs the subcommand; an error is one of usage.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let sources = input::read(&arguments.filenames)?;
    let mut manifests = read::read(&sources, &arguments.namespace);
    let mut problems = std::mem::take(&mut manifests.problems);
    if problems.iter().any(|problem| problem.consequence == Consequence::Unreadable) {
        print_problems(&problems, arguments.problems)?;
        return Ok(UNREADABLE);
    }
    let Families { ipv4, ipv6 } = arguments.ip_families.into();
    let placement = PlacementOptions { node_count: arguments.nodes.into(), ipv4, ipv6 };
    let cluster = place(&manifests, &placement, None);
    let node = choose_node(&cluster, arguments.node.as_deref())?;
    let attachments = match &arguments.interfaces {
        Some(path) => read_attachments(path, &cluster, &node)?,
        None => BTreeMap::new(),
    };
    let options = arguments.node_options();
    let state = NodeState {
        cluster: &cluster,
        node: &node,
        attachments: &attachments,
        closed: &Closed::default(),
        options: &options,
    };
    let compiled = compile(state);
    problems.extend(compiled.problems);
    print_problems(&problems, arguments.problems)?;
    // Loading the text again must not add to what is there: the table is made if need be, removed, made anew.
    let mut text = String::new();
    for id in compiled.ruleset.tables.keys() {
        text.push_str(&format!("table {id} {{}}\ndelete table {id}\n"));
    }
    text.push_str(&compiled.ruleset.to_string());
    print(&text)?;
    Ok(if problems.is_empty() { 0 } else { PROBLEMS_FOUND })
}

fn choose_node(cluster: &Cluster, wanted: Option<&str>) -> anyhow::Result<Arc<str>> {
    let found = match wanted {
        Some(name) => cluster.nodes.get_key_value(name),
        None => cluster.nodes.first_key_value(),
    };
    let Some((name, _)) = found else {
        let known: Vec<&str> = cluster.nodes.keys().map(|name| &**name).collect();
        bail!("--node {}: there are only {}", wanted.unwrap_or_default(), known.join(", "));
    };
    Ok(name.clone())
}

impl Arguments {
    fn node_options(&self) -> NodeOptions {
        let unknown_pods = match self.unknown_pods {
            options::UnknownPods::Accept => UnknownPods::Accept,
            options::UnknownPods::Drop => UnknownPods::Drop {
                interface_prefixes: self.pod_interface_prefix.clone(),
                bridge_ranges: self.bridge_range.clone(),
            },
        };
        NodeOptions {
            anti_spoofing: self.anti_spoofing == Switch::On,
            unknown_pods,
            ..NodeOptions::default()
        }
    }
}

/// How this node's pods are attached. An entry that cannot be used would leave a pod to its address, unnoticed.
fn read_attachments(
    path: &Path,
    cluster: &Cluster,
    node: &str,
) -> anyhow::Result<BTreeMap<ObjectKey, Attachment>> {
    let file = path.display();
    let bytes = std::fs::read(path).with_context(|| file.to_string())?;
    let entries: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&bytes)
        .with_context(|| format!("{file}: expected {{\"NAMESPACE/POD\": \"INTERFACE\"}}"))?;
    let mut attachments = BTreeMap::new();
    let mut owners = BTreeMap::new();
    for (key, value) in entries {
        let Some((namespace, name)) = key.split_once('/') else {
            bail!("{file}: {key:?}: expected NAMESPACE/POD");
        };
        let pod_key = ObjectKey::new(namespace, name);
        let Some(pod) = cluster.pods.get(&pod_key) else {
            bail!("{file}: {key:?}: there is no such pod");
        };
        let (interface, attachment) = read_attachment(&value).with_context(|| format!("{file}: {key:?}"))?;
        if pod.node.as_deref() != Some(node) {
            continue;
        }
        if let Some(other) = owners.insert(interface.clone(), pod_key.clone()) {
            bail!("{file}: {key:?}: {interface} is the interface of {other} already");
        }
        attachments.insert(pod_key, attachment);
    }
    Ok(attachments)
}

fn read_attachment(value: &serde_json::Value) -> anyhow::Result<(InterfaceName, Attachment)> {
    let port =
        value.as_object().filter(|object| object.len() == 1).and_then(|object| object.get("bridgePort"));
    let Some(text) = port.unwrap_or(value).as_str() else {
        bail!("expected the name of an interface or {{\"bridgePort\": \"INTERFACE\"}}, found {value}");
    };
    let interface = InterfaceName::new(text)?;
    let attachment = match port {
        Some(_) => Attachment::Bridged { port: interface.clone(), hardware_address: None },
        None => Attachment::Routed(interface.clone()),
    };
    Ok((interface, attachment))
}

fn print_problems(problems: &[Problem], format: ProblemFormat) -> anyhow::Result<()> {
    for problem in problems {
        match format {
            ProblemFormat::Text => eprintln!("{problem}"),
            ProblemFormat::Json => eprintln!("{}", serde_json::to_string(&ProblemReport::from(problem))?),
        }
    }
    Ok(())
}
