//! The kernel as referee. For every golden case and for generated clusters:
//!
//! * what netlink loaded reads back as what was sent;
//! * it lists the same as what `nft -f` loaded from our text, and that text says the same as the listing;
//! * what nft -f loaded from our text reads back as the ruleset, too;
//! * the listing reloads to the same, and our text loaded twice equals our text loaded once;
//! * the difference to the next ruleset is one that the kernel takes, and leads to the next ruleset.
//!
//! Runs in a user and network namespace of its own: no root, nothing left behind.

#[path = "../../crates/compiler/tests/properties/cluster.rs"]
#[allow(dead_code)] // the connections: the properties' business
mod cluster;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::sched::{CloneFlags, unshare};
use podwall_compiler::{
    Attachment, Closed, FlowLog, NodeOptions, NodeState, UnknownPods, bridge_table_id, compile, table_id,
};
use podwall_netlink::{Kernel, ReadBack};
use podwall_policy::read::{Source, read};
use podwall_policy::{Cluster, ObjectKey, PlacementOptions, place};
use podwall_ruleset::{HardwareAddress, InterfaceName, Known, Ruleset, diff};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// How many clusters are generated.
const CLUSTERS: usize = 150;

fn main() -> ExitCode {
    if let Err(error) = isolate() {
        eprintln!("cannot make a network namespace: {error}; allow user namespaces or run as root");
        return ExitCode::FAILURE;
    }
    if Command::new("nft").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("nft is missing: apt-get install nftables");
        return ExitCode::FAILURE;
    }
    let mut kernel = Kernel::open().expect("a socket");
    let mut known = Known::Unknown;
    let (mut passed, mut failed) = (0, 0);
    for (name, ruleset) in golden_cases().into_iter().chain(generated()) {
        match judge(&mut kernel, &known, &ruleset) {
            Ok(()) => passed += 1,
            Err(reason) => {
                failed += 1;
                println!("test {name} ... FAILED\n{reason}");
            }
        }
        known = reload(&mut kernel, &ruleset);
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > CLUSTERS { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// In a namespace where nothing is anybody else's.
fn isolate() -> nix::Result<()> {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    if uid.is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    let map = |file: &str, text: String| std::fs::write(file, text).map_err(|_| nix::Error::EPERM);
    map("/proc/self/setgroups", "deny".into())?;
    map("/proc/self/uid_map", format!("0 {uid} 1"))?;
    map("/proc/self/gid_map", format!("0 {gid} 1"))
}

fn golden_cases() -> Vec<(String, Ruleset)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/compiler/tests/cases");
    let cases = std::fs::read_dir(folder).expect("the golden cases").map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = cases.collect();
    cases.sort();
    let options = PlacementOptions { node_count: 1, ipv4: true, ipv6: true };
    let cluster =
        |bytes| place(&read(&[Source { name: "cluster.yaml".into(), bytes }], "default"), &options, None);
    cases
        .iter()
        .map(|case| {
            (
                case.display().to_string(),
                compiled(&cluster(std::fs::read(case.join("cluster.yaml")).unwrap())),
            )
        })
        .collect()
}

fn generated() -> Vec<(String, Ruleset)> {
    let mut runner = TestRunner::default();
    let mut one = || cluster::cluster().new_tree(&mut runner).expect("a cluster").current();
    (0..CLUSTERS).map(|index| (format!("generated-{index}"), compiled(&one()))).collect()
}

/// With pods of every kind of attachment, and everything switched on.
fn compiled(cluster: &Cluster) -> Ruleset {
    let attach = |key: &ObjectKey| {
        let interface = InterfaceName::new(&format!("veth-{}", key.name)).unwrap();
        let attachment = match key.name.as_bytes().last() {
            Some(b'3') => return None,
            Some(b'1' | b'4') => Attachment::Bridged {
                port: interface,
                hardware_address: Some(HardwareAddress([2, 0, 0, 0, 0xab, 1])),
            },
            _ => Attachment::Routed(interface),
        };
        Some((key.clone(), attachment))
    };
    let attachments: BTreeMap<_, _> = cluster.pods.keys().filter_map(attach).collect();
    let unknown_pods = UnknownPods::Drop {
        interface_prefixes: vec![InterfaceName::new("veth").unwrap()],
        bridge_ranges: vec!["10.244.0.0/24".parse().unwrap(), "fd00:10:244::/64".parse().unwrap()],
    };
    let options = NodeOptions {
        anti_spoofing: true,
        unknown_pods,
        revoked_mark: Some(0x1000_0000),
        counters: true,
        flow_log: Some(FlowLog { group: 9427, allowed: true }),
    };
    compile(NodeState {
        cluster,
        node: "node-1",
        attachments: &attachments,
        closed: &Closed::default(),
        options: &options,
    })
    .ruleset
}

fn judge(kernel: &mut Kernel, known: &Known, ruleset: &Ruleset) -> Result<(), String> {
    kernel.apply(&diff(known, ruleset)).map_err(|error| format!("the difference was refused: {error}"))?;
    expect_holds(kernel, ruleset, "after the difference")?;
    kernel
        .apply(&diff(&Known::Unknown, ruleset))
        .map_err(|error| format!("the whole was refused: {error}"))?;
    expect_holds(kernel, ruleset, "after the whole")?;
    let by_netlink = nft(&["list", "ruleset"], "")?;
    let clear: String =
        ruleset.tables.keys().map(|table| format!("table {table} {{}}\ndelete table {table}\n")).collect();
    let text = format!("{clear}{ruleset}");
    nft(&["-f", "-"], &text)?;
    nft(&["-f", "-"], &text)?;
    let by_text = nft(&["list", "ruleset"], "")?;
    same("the listing of what netlink loaded and of what nft -f loaded", &by_netlink, &by_text)?;
    same("our text and the listing", &ruleset.to_string(), &by_text)?;
    nft(&["-f", "-"], &format!("flush ruleset\n{}", of_packets(ruleset)))?;
    expect_holds(kernel, ruleset, "after nft -f")?;
    nft(&["-f", "-"], &format!("flush ruleset\n{by_netlink}"))?;
    same("the listing and what it reloads to", &by_netlink, &nft(&["list", "ruleset"], "")?)
}

/// The text, where the type of ICMPv6 messages on a bridge is that of the packet in the frame: without being told so,
/// nft looks for an ethertype in the frame's header, which is another rule.
fn of_packets(ruleset: &Ruleset) -> String {
    let text = ruleset.to_string();
    let Some((inet, bridge)) = text.split_once("table bridge") else { return text };
    let bridge = bridge.replace("icmpv6 type", "meta protocol ip6 icmpv6 type");
    format!("{inet}table bridge{bridge}")
}

fn expect_holds(kernel: &mut Kernel, ruleset: &Ruleset, when: &str) -> Result<(), String> {
    match kernel.read(&[table_id(), bridge_table_id()]).map_err(|error| error.to_string())? {
        ReadBack::Exactly(read) if read == *ruleset => Ok(()),
        ReadBack::Exactly(read) => Err(format!("{when} the kernel holds\n{read}instead of\n{ruleset}")),
        ReadBack::Foreign { table, what } => Err(format!("{when} {table} holds {what}, which is not ours")),
    }
}

/// The next case starts from what this one should have led to.
fn reload(kernel: &mut Kernel, ruleset: &Ruleset) -> Known {
    kernel.apply(&diff(&Known::Unknown, ruleset)).expect("taken before");
    Known::Exactly(ruleset.clone())
}

fn nft(arguments: &[&str], input: &str) -> Result<String, String> {
    let piped = || Stdio::piped();
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(piped())
        .stdout(piped())
        .stderr(piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    child.stdin.take().expect("piped").write_all(input.as_bytes()).map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("nft {arguments:?}: {}\n{input}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn same(what: &str, left: &str, right: &str) -> Result<(), String> {
    let (left, right) = (canonical(left), canonical(right));
    if left == right {
        Ok(())
    } else {
        Err(format!("{what} differ:\n{}\n---\n{}", left.join("\n"), right.join("\n")))
    }
}

/// Blocks sorted by name, white space squeezed, elements sorted: nft lists objects in order of creation, wraps
/// long element lists, and shows the elements of hash tables in any order.
fn canonical(text: &str) -> Vec<String> {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut blocks: Vec<String> = Vec::new();
    for word in joined.split(' ') {
        match word {
            "set" | "map" | "chain" => blocks.push(word.to_owned()),
            _ => match blocks.last_mut() {
                Some(block) => {
                    block.push(' ');
                    block.push_str(word);
                }
                None => blocks.push(word.to_owned()),
            },
        }
    }
    let mut blocks: Vec<String> =
        blocks.iter().map(|block| sort_elements(block.trim_end_matches([' ', '}']))).collect();
    blocks.sort();
    blocks
}

/// Sorts what stands between inner braces.
fn sort_elements(block: &str) -> String {
    let Some((head, body)) = block.split_once('{') else { return block.to_owned() };
    let mut parts = body.split('{');
    let mut result = format!("{head}{{{}", parts.next().unwrap_or_default());
    for part in parts {
        let (elements, rest) = part.split_once('}').unwrap_or((part, ""));
        let mut elements: Vec<&str> = elements.split(", ").map(str::trim).collect();
        elements.sort_unstable();
        result.push_str(&format!("{{ {} }}{rest}", elements.join(", ")));
    }
    result
}
