//! Golden cases: `cluster.yaml` beside the `ruleset.nft` that its `node-1` should hold. `UPDATE=1` rewrites the
//! rulesets; read the difference before you commit it.
//!
//! Every pod has an interface `veth-NAME` of its own, except those labelled `interface: none` and
//! `interface: bridged`, whose interface is a port of a bridge. A case that is to have
//! problems keeps them in `problems.txt`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use podwall_compiler::{Attachment, Closed, FlowLog, NodeOptions, NodeState, UnknownPods, compile};
use podwall_policy::read::{Source, read};
use podwall_policy::{ObjectKey, PlacementOptions, Pod, place};
use podwall_ruleset::{HardwareAddress, InterfaceName};

const NODE: &str = "node-1";
/// A case with this comment in it is compiled with unknown pods closed.
const UNKNOWN_PODS_DROP: &str = "# --unknown-pods=drop";
/// With a bit of the conntrack mark that revokes.
const REVOKED_MARK: (&str, u32) = ("# --revoked-mark=0x10000000", 0x1000_0000);
/// With group counters.
const COUNTERS: &str = "# --counters";
/// With the flow log.
const FLOW_LOG: [(&str, FlowLog); 2] = [
    ("# --flow-log=denied", FlowLog { group: 9427, allowed: false }),
    ("# --flow-log=all", FlowLog { group: 9427, allowed: true }),
];
/// A case with this comment in it has interfaces and addresses that are closed: those in the rest of the line.
const CLOSED: &str = "# closed:";

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 10, "the cases are gone");
    let failed: Vec<String> = cases.iter().flat_map(|case| check(case)).collect();
    assert!(failed.is_empty(), "{}\nUPDATE=1 rewrites them", failed.join("\n"));
}

/// What differs from the files of a case.
fn check(case: &Path) -> Vec<String> {
    let (ruleset, problems) = outcome(&fs::read(case.join("cluster.yaml")).unwrap());
    [("ruleset.nft", ruleset), ("problems.txt", problems)]
        .into_iter()
        .filter_map(|(file, actual)| {
            let path = case.join(file);
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if actual == expected {
                return None;
            }
            if std::env::var_os("UPDATE").is_some() {
                if actual.is_empty() {
                    fs::remove_file(&path).unwrap()
                } else {
                    fs::write(&path, &actual).unwrap()
                }
                return None;
            }
            Some(format!("{}:\n--- expected\n{expected}--- got\n{actual}", path.display()))
        })
        .collect()
}

fn outcome(yaml: &[u8]) -> (String, String) {
    let source = Source { name: "cluster.yaml".into(), bytes: yaml.to_vec() };
    let manifests = read(&[source], "default");
    let options = PlacementOptions { node_count: 1, ipv4: true, ipv6: false };
    let cluster = place(&manifests, &options, None);
    let label = |pod: &Pod| pod.labels.get("interface").map(ToString::to_string);
    let attachments: BTreeMap<ObjectKey, Attachment> = cluster
        .pods
        .iter()
        .filter_map(|(key, pod)| {
            let interface = InterfaceName::new(&format!("veth-{}", key.name)).unwrap();
            match label(pod).as_deref() {
                Some("none") => None,
                Some("bridged") => Some((
                    key.clone(),
                    Attachment::Bridged {
                        port: interface,
                        hardware_address: Some(HardwareAddress([2, 0, 0, 0, 0, 1])),
                    },
                )),
                _ => Some((key.clone(), Attachment::Routed(interface))),
            }
        })
        .collect();
    let text = String::from_utf8_lossy(yaml);
    let close = text.contains(UNKNOWN_PODS_DROP);
    let unknown_pods = UnknownPods::Drop {
        interface_prefixes: vec![InterfaceName::new("veth").unwrap()],
        bridge_ranges: vec!["10.0.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()],
    };
    let options = NodeOptions {
        anti_spoofing: true,
        unknown_pods: if close { unknown_pods } else { UnknownPods::Accept },
        revoked_mark: text.contains(REVOKED_MARK.0).then_some(REVOKED_MARK.1),
        counters: text.contains(COUNTERS),
        flow_log: FLOW_LOG.into_iter().find(|(words, _)| text.contains(words)).map(|(_, log)| log),
    };
    let mut closed = Closed::default();
    for word in text.lines().filter_map(|line| line.strip_prefix(CLOSED)).flat_map(str::split_whitespace) {
        match word.parse() {
            Ok(address) => closed.addresses.insert(address),
            Err(_) => closed.interfaces.insert(InterfaceName::new(word).unwrap()),
        };
    }
    let state = NodeState {
        cluster: &cluster,
        node: NODE,
        attachments: &attachments,
        closed: &closed,
        options: &options,
    };
    let compiled = compile(state);
    let problems = manifests.problems.iter().chain(&compiled.problems);
    (compiled.ruleset.to_string(), problems.map(|problem| format!("{problem}\n")).collect())
}
