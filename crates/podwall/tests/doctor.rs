//! `podwall doctor` on a node that is made here: an agent, a pod's interface, tables of others, and what goes wrong. In
//! a network namespace of this test's own; without libtest, because only a process of one thread may make a user
//! namespace.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use podwall_lab::isolate_process;
use serde_json::Value as Json;

const CLUSTER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: worker-1, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.1.0.2, podIPs: [{ip: 10.1.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {nodeName: worker-2, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.1.1.2, podIPs: [{ip: 10.1.1.2}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}]}]
";

/// A test, given the node.
type Test = fn(&Node);

fn main() {
    isolate_process().expect("a machine that allows network namespaces");
    let folder = std::env::temp_dir().join(format!("podwall-doctor-{}", std::process::id()));
    let node = Node::new(&folder);
    let tests: [(&str, Test); 6] = [
        ("nothing_is_said_against_a_healthy_node", nothing_is_said_against_a_healthy_node),
        ("others_are_named_with_their_priorities", others_are_named_with_their_priorities),
        ("bridges_that_hide_packets_are_doubtful", bridges_that_hide_packets_are_doubtful),
        ("ipvs_is_doubtful", ipvs_is_doubtful),
        ("drift_is_found", drift_is_found),
        ("a_node_without_an_agent_is_doubtful", a_node_without_an_agent_is_doubtful),
    ];
    for (name, test) in tests {
        test(&node);
        println!("test {name} ... ok");
    }
    let _ = fs::remove_dir_all(&folder);
}

struct Node {
    folder: PathBuf,
}

/// What `podwall doctor` said.
struct Said {
    code: i32,
    json: Json,
}

impl Said {
    /// The finding of this name, as `STATE: SEEN`.
    fn of(&self, name: &str) -> String {
        let findings = self.json["findings"].as_array().unwrap();
        let finding = findings.iter().find(|it| it["name"] == name);
        let finding = finding.unwrap_or_else(|| panic!("no finding {name} in {}", self.json));
        format!("{}: {}", finding["state"].as_str().unwrap(), finding["seen"].as_str().unwrap())
    }

    fn expect(&self, name: &str, part: &str) {
        assert!(self.of(name).contains(part), "{name} is not {part:?} in {:#}", self.json);
    }
}

impl Node {
    /// A pod's interface, a CNI that is routed, and nothing else.
    fn new(folder: &Path) -> Self {
        for part in ["manifests", "cni", "bridge-cni"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::write(folder.join("manifests/cluster.yaml"), CLUSTER).unwrap();
        fs::write(folder.join("cni/10.conflist"), r#"{"plugins": [{"type": "ptp"}]}"#).unwrap();
        fs::write(folder.join("bridge-cni/10.conflist"), r#"{"plugins": [{"type": "bridge"}]}"#).unwrap();
        for line in [
            "link set lo up",
            "link add vethpod type veth peer name inside",
            "link set vethpod up",
            "link set inside up",
            "route add 10.1.0.2 dev vethpod",
        ] {
            run("ip", &line.split(' ').collect::<Vec<_>>(), "");
        }
        Self { folder: folder.to_owned() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// An agent that enforces; it is killed at the end.
    fn agent(&self) -> Agent {
        // Whoever answered there does not any more.
        let _ = fs::remove_file(self.folder.join("status.socket"));
        let child = Command::new(env!("CARGO_BIN_EXE_podwall"))
            .args(["agent", "--node", "worker-1", "--listen", "off", "--log", "error"])
            .args(["--manifests", &self.path("manifests"), "--cni-configuration", &self.path("cni")])
            .args(["--status-socket", &self.path("status.socket")])
            .stdin(Stdio::null())
            .spawn()
            .expect("the program runs");
        let agent = Agent(child);
        let started = Instant::now();
        while !self.status().is_some_and(|it| it["localPods"][0]["interface"] == "vethpod") {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "the agent does not enforce: {:?}",
                self.status()
            );
            sleep(Duration::from_millis(50));
        }
        agent
    }

    fn status(&self) -> Option<Json> {
        let output = podwall(&["status", "--json", "--socket", &self.path("status.socket")]);
        if output.0 == 0 { serde_json::from_str(&output.1).ok() } else { None }
    }

    fn doctor(&self, cni: &str) -> Said {
        let arguments = ["--socket", &self.path("status.socket"), "--cni-configuration", &self.path(cni)];
        let (code, text) = podwall(&[&["doctor", "-o", "json"][..], &arguments].concat());
        Said { code, json: serde_json::from_str(&text).unwrap_or_else(|_| panic!("{code}: {text}")) }
    }
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nothing_is_said_against_a_healthy_node(node: &Node) {
    let _agent = node.agent();
    let said = node.doctor("cni");
    assert_eq!((said.code, &said.json["doubt"]), (0, &Json::from(false)), "{:#}", said.json);
    for (name, part) in [
        ("kernel", "ok: Linux "),
        ("rules", "ok: every kind"),
        ("conntrack", "ok: "),
        ("agent", "enforces 1 policies for node worker-1"),
        ("drift", "ok: the kernel holds what the agent wrote"),
        ("pods", "ok: 1 pods"),
        ("problems", "ok: "),
        ("other-tables", "ok: no base chain but ours"),
        ("other-enforcers", "ok: "),
        ("cni", "ok: routed, interfaces veth*"),
        ("br_netfilter", "ok: "),
        ("kube-proxy", "note: neither"),
        ("api-server", "note: not asked"),
        ("rbac", "note: "),
    ] {
        said.expect(name, part);
    }
    let text = podwall(&["doctor", "--socket", &node.path("status.socket")]).1;
    assert!(text.contains("\nok     drift            the kernel holds"), "{text}");
}

fn others_are_named_with_their_priorities(node: &Node) {
    let _agent = node.agent();
    nft("add table ip early
         add chain ip early before { type filter hook forward priority -10; }
         add table inet filter
         add chain inet filter cali-FORWARD { type filter hook forward priority 0; }
         add table ip kube-proxy");
    let said = node.doctor("cni");
    assert_eq!(said.code, 0, "{:#}", said.json);
    said.expect(
        "other-tables",
        "ok: base chains of others, first to last: ip early before: forward -10; inet filter",
    );
    said.expect("other-enforcers", "note: Calico");
    said.expect("kube-proxy", "ok: mode nftables");
    nft("add chain ip early tied { type filter hook forward priority -5; }");
    node.doctor("cni")
        .expect("other-tables", "note: at the same place as chains of ours: ip early tied: forward -5");
    nft("delete table ip early; delete table inet filter; delete table ip kube-proxy");
}

fn bridges_that_hide_packets_are_doubtful(node: &Node) {
    let _agent = node.agent();
    let setting = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
    if !setting.exists() {
        let said = node.doctor("bridge-cni");
        said.expect("br_netfilter", "doubt: the module is not loaded");
        assert_eq!(said.code, 1);
        return;
    }
    for other in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
        fs::write(setting.with_file_name(other), "1").unwrap();
    }
    node.doctor("bridge-cni").expect("br_netfilter", "ok: ");
    fs::write(setting, "0").unwrap();
    let said = node.doctor("bridge-cni");
    said.expect("br_netfilter", "doubt: not 1: net.bridge.bridge-nf-call-iptables");
    assert_eq!(said.code, 1);
    assert_eq!(fs::read_to_string(setting).unwrap().trim(), "0", "the doctor changes nothing");
    node.doctor("cni").expect("br_netfilter", "ok: not needed");
}

fn ipvs_is_doubtful(node: &Node) {
    let _agent = node.agent();
    run("ip", &["link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "other"], "");
    let said = node.doctor("cni");
    run("ip", &["link", "delete", "kube-ipvs0"], "");
    said.expect("kube-proxy", "doubt: mode ipvs (the interface kube-ipvs0)");
    assert_eq!(said.code, 1);
}

/// An agent undoes what others do at once. So its last words are repeated by somebody who does not.
fn drift_is_found(node: &Node) {
    for (commands, part) in [
        ("", "ok: the kernel holds what the agent wrote"),
        ("add rule inet podwall forward counter accept", "doubt: "),
        ("add element inet podwall sources.v4 { \"lo\" . 127.0.0.1 }", "doubt: the kernel holds 1 tables"),
        ("flush map inet podwall ingress", "nothing leads ingress of shop/web to its chain ingress/shop/"),
        ("delete table inet podwall", "doubt: the table inet podwall is not there"),
    ] {
        let agent = node.agent();
        let status = node.status().expect("it answers").to_string();
        drop(agent);
        let socket = node.folder.join("status.socket");
        fs::remove_file(&socket).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.unwrap().write_all(status.as_bytes());
            }
        });
        nft(commands);
        let said = node.doctor("cni");
        said.expect("drift", part);
        assert_eq!(said.code, i32::from(!commands.is_empty()), "{:#}", said.json);
    }
}

fn a_node_without_an_agent_is_doubtful(node: &Node) {
    // Its rules stay in force.
    drop(node.agent());
    let _ = fs::remove_file(node.folder.join("status.socket"));
    let said = node.doctor("cni");
    said.expect("agent", "doubt: no agent answers");
    said.expect("drift", "note: no agent to compare with; the kernel holds 1 tables of ours");
    assert_eq!(said.code, 1);
    nft("flush ruleset");
    node.doctor("cni").expect("drift", "doubt: the kernel holds no table of ours");
}

fn podwall(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_podwall"))
        .args(arguments)
        .env("KUBECONFIG", "/no-such-file")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (
        output.status.code().unwrap(),
        if text.is_empty() { String::from_utf8_lossy(&output.stderr).into() } else { text },
    )
}

fn nft(commands: &str) {
    run("nft", &["-f", "-"], commands);
}

fn run(program: &str, arguments: &[&str], input: &str) {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).spawn().expect(program);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{program} {arguments:?} {input}");
}
