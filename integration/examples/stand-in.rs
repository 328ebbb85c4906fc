//! A stand-in for the agent, to try the harness with: `PODWALL=target/debug/examples/stand-in`. It takes the same
//! command line, asks for everything ten times a second, and compiles from scratch.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use podwall_compiler::{Closed, NodeOptions, NodeState, UnknownPods, bridge_table_id, compile, table_id};
use podwall_integration::{Kind, Objects, read_kinds};
use podwall_lab::{Families, INTERFACE_PREFIX, Layout, Scene};
use podwall_netlink::{Kernel, ReadBack};
use podwall_policy::{Cluster, Node};
use podwall_ruleset::{InterfaceName, Known, Ruleset, diff};

const INTERVAL: Duration = Duration::from_millis(100);
const KINDS: [Kind; 3] = [Kind::Pod, Kind::Namespace, Kind::NetworkPolicy];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let place =
            arguments.iter().position(|argument| argument == name).with_context(|| name.to_owned())?;
        arguments.get(place + 1).cloned().with_context(|| name.to_owned())
    };
    let (node, drop_unknown) = (option("--node")?, option("--unknown-pods")? == "drop");
    let objects = Objects::new(Path::new(&option("--kubeconfig")?))?;
    let nodes = BTreeMap::from([(Arc::from(&*node), Node::default())]);
    let ready = Arc::new(AtomicBool::new(false));
    answer(TcpListener::bind(option("--listen")?)?, ready.clone());
    let mut kernel = Kernel::open()?;
    loop {
        match read_kinds(&objects, &nodes, &KINDS) {
            Ok(cluster) => {
                let desired = desired(&cluster, &node, drop_unknown);
                let known = match kernel.read(&[table_id(), bridge_table_id()])? {
                    ReadBack::Exactly(ruleset) => Known::Exactly(ruleset),
                    ReadBack::Foreign { .. } => Known::Unknown,
                };
                kernel.apply(&diff(&known, &desired))?;
                ready.store(true, Ordering::Relaxed);
            }
            Err(error) => eprintln!("{error:#}"),
        }
        std::thread::sleep(INTERVAL);
    }
}

fn desired(cluster: &Cluster, node: &str, drop_unknown: bool) -> Ruleset {
    let is_bridged = nix::net::if_::if_nametoindex("cbr0").is_ok();
    let layout = if is_bridged { Layout::Bridged } else { Layout::Routed };
    let scene = Scene::new(cluster, &[], Families { ipv4: true, ipv6: true });
    let bridge_ranges = scene.pod_networks.get(node).into_iter().flatten().copied().filter(|_| is_bridged);
    let unknown_pods = match drop_unknown {
        false => UnknownPods::Accept,
        true => UnknownPods::Drop {
            interface_prefixes: vec![InterfaceName::new(INTERFACE_PREFIX).expect("a short word")],
            bridge_ranges: bridge_ranges.collect(),
        },
    };
    let options = NodeOptions { unknown_pods, ..NodeOptions::default() };
    let attachments = scene.attachments(node, layout);
    let closed = Closed::default();
    compile(NodeState { cluster, node, attachments: &attachments, closed: &closed, options: &options })
        .ruleset
}

fn answer(listener: TcpListener, ready: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let status = if ready.load(Ordering::Relaxed) { "200 OK" } else { "503 Service Unavailable" };
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
}
