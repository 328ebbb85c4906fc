//! The plumbing of the lab with real packets: does what nothing forbids arrive, and does what is forbidden not?
//! Needs a machine that lets us have network namespaces.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Two pods with a Service before both, one on the host's network, one alone.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: api}}
spec: {nodeName: a, containers: [{name: c, image: x, ports: [
  {name: http, containerPort: 8080}, {containerPort: 53, protocol: UDP}, {containerPort: 9, protocol: SCTP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: api}}
spec: {nodeName: b, containers: [{name: c, image: x, ports: [{name: http, containerPort: 8081}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host, labels: {app: host}}
spec: {nodeName: a, hostNetwork: true, containers: [{name: c, image: x, ports: [{containerPort: 9100}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {nodeName: a, containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{name: h, port: 80, targetPort: http},
  {name: d, port: 53, protocol: UDP, targetPort: 53}, {name: s, port: 9, protocol: SCTP, targetPort: 9}]}
"#;

const DENY_ALL: &str = r#"
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
"#;

/// A folder of its own for each test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("podwall-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file of the test");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn podwall(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_podwall")).args(arguments).output().expect("the program runs")
}

/// Runs a lab and returns its exit code and report.
fn lab(arguments: &[&str]) -> (i32, Value) {
    let output = podwall(&[&["lab", "run", "--json"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().expect("an exit code");
    assert_ne!(code, 4, "this machine cannot run the lab, or a probe could not be made:\n{errors}");
    let report = serde_json::from_slice(&output.stdout);
    (code, report.unwrap_or_else(|error| panic!("stdout is no JSON ({error}):\n{errors}")))
}

fn probes(report: &Value, step: usize) -> &Vec<Value> {
    report["steps"][step]["probes"].as_array().expect("a list of probes")
}

#[test]
fn what_nothing_forbids_arrives_in_both_families() {
    let folder = Folder::new("open");
    let path = folder.file("pods.yaml", PODS);
    for layout in ["routed", "bridged"] {
        open_in_both_families(&path, layout);
    }
}

fn open_in_both_families(path: &str, layout: &str) {
    let outside = "internet=203.0.113.9,2001:db8::9";
    let more = ["--ip-families", "dual", "--layout", layout, "--outside", outside];
    let (code, report) = lab(&[&["--step", path][..], &more].concat());
    assert_eq!((code, &report["mismatches"]), (0, &Value::from(0)));
    let probes = probes(&report, 0);
    for probe in probes {
        assert_eq!(probe["allowed"], true, "{probe}");
    }
    for family in ["ipv4", "ipv6"] {
        for protocol in ["TCP", "UDP", "SCTP"] {
            let hairpin = probes.iter().find(|probe| {
                let itself = probe["from"] == "pod/default/one" && probe["to"] == "pod/default/one";
                itself && probe["family"] == family && probe["protocol"] == protocol
            });
            let hairpin = hairpin.unwrap_or_else(|| panic!("no hairpin by {protocol} over {family}"));
            assert_eq!(
                (&hairpin["via"], &hairpin["outcome"]),
                (&"service".into(), &"answered".into()),
                "{hairpin}"
            );
        }
    }
}

#[test]
fn each_backend_is_reached_at_its_own_target_port() {
    let folder = Folder::new("backends");
    let path = folder.file("pods.yaml", PODS);
    let (_, report) = lab(&["--step", &path, "--probe", "TCP/80"]);
    let from_client = probes(&report, 0).iter().filter(|probe| probe["from"] == "pod/default/client");
    let mut backends: Vec<(&Value, &Value)> = from_client
        .filter(|probe| probe["via"] == "service")
        .map(|it| (&it["to"], &it["target_port"]))
        .collect();
    backends.sort_by_key(|(to, _)| to.as_str());
    let expected = [("pod/default/one", 8080), ("pod/default/two", 8081)];
    assert_eq!(backends.len(), expected.len());
    for (found, (to, port)) in backends.iter().zip(expected) {
        assert_eq!((found.0, found.1), (&Value::from(to), &Value::from(port)));
    }
}

#[test]
fn steps_close_and_open_again_and_pods_may_move() {
    let folder = Folder::new("steps");
    let open = folder.file("open.yaml", PODS);
    let closed = folder.file("closed.yaml", &format!("{PODS}{DENY_ALL}"));
    let moved = folder.file("moved.yaml", &PODS.replace("nodeName: a", "nodeName: c"));
    let steps = ["--step", &open, "--step", &closed, "--step", &moved, "--step", &closed, "--step", &open];
    for layout in ["routed", "bridged"] {
        let (code, report) = lab(&[&steps[..], &["--layout", layout, "--ip-families", "dual"]].concat());
        assert_eq!((code, &report["mismatches"]), (0, &Value::from(0)), "{layout}");
        let denied = |step| probes(&report, step).iter().filter(|probe| probe["allowed"] == false).count();
        assert_eq!([denied(0), denied(2), denied(4)], [0, 0, 0], "{layout}");
        assert!(denied(1) > 0, "{layout}");
        assert_eq!(denied(1), denied(3), "{layout}");
    }
}

#[test]
fn what_is_not_enforced_is_a_mismatch() {
    let folder = Folder::new("unenforced");
    let path = folder.file("closed.yaml", &format!("{PODS}{DENY_ALL}"));
    let (code, report) = lab(&["--step", &path, "--enforce=false", "--probe", "TCP/80", "--probe", "ICMP"]);
    assert_eq!(code, 1);
    let differing = probes(&report, 0).iter().filter(|probe| probe["allowed"] != probe["evaluated"]).count();
    assert!(differing > 0);
    assert_eq!(report["mismatches"], differing);
}

#[test]
fn expectations_decide_the_exit_code() {
    let folder = Folder::new("expect");
    let path = folder.file("pods.yaml", PODS);
    let line = |allowed: bool, port: u16| {
        format!("- {{from: pod/default/client, to: pod/default/one, port: {port}, allowed: {allowed}}}\n")
    };
    for (text, expected) in [(line(true, 8080), 0), (line(false, 8080), 1), (line(true, 7), 1)] {
        let expectations = folder.file("expectations.yaml", &text);
        let (code, _) = lab(&["--step", &path, "--probe", "TCP/8080", "--expect", &expectations]);
        assert_eq!(code, expected, "{text}");
    }
    let wrong = folder.file("wrong.yaml", "- {form: pod/default/client}\n");
    let output = podwall(&["lab", "run", "--step", &path, "--expect", &wrong]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("wrong.yaml:1: unknown key"));
}

#[test]
fn refused_manifests_are_not_probed() {
    let folder = Folder::new("refused");
    let path = folder.file("broken.yaml", "kind: [\n");
    let (code, report) = lab(&["--step", &path]);
    assert_eq!(code, 3);
    assert!(probes(&report, 0).is_empty());
    assert_eq!(report["steps"][0]["problems"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_kept_lab_can_be_entered_and_removed() {
    for layout in ["routed", "bridged"] {
        keep_and_remove(layout);
    }
}

fn keep_and_remove(layout: &str) {
    let folder = Folder::new(&format!("keep-{layout}"));
    let path = folder.file("pods.yaml", PODS);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podwall"));
        command.args(arguments).env("XDG_RUNTIME_DIR", &folder.0).output().expect("the program runs")
    };
    let kept = run(&["lab", "run", "--step", &path, "--probe", "TCP/80", "--keep", "--layout", layout]);
    assert_eq!(kept.status.code(), Some(0), "{}", String::from_utf8_lossy(&kept.stderr));
    let inside = run(&["lab", "shell", "default/client", "--", "cat", "/proc/net/fib_trie"]);
    let text = String::from_utf8_lossy(&inside.stdout);
    assert!(text.contains("169.254.1.1"), "{text}");
    assert_eq!(run(&["lab", "shell", "default/nobody"]).status.code(), Some(4));
    let down = run(&["lab", "down"]);
    assert!(String::from_utf8_lossy(&down.stderr).contains("removed 1 lab"));
    assert!(String::from_utf8_lossy(&run(&["lab", "down"]).stderr).contains("no kept lab"));
}

#[test]
fn a_pod_that_no_node_knows_is_closed_for_all_but_its_own_node() {
    let folder = Folder::new("unknown");
    let path = folder.file("pods.yaml", PODS);
    for layout in ["routed", "bridged"] {
        let arguments = ["--step", &path, "--layout", layout, "--ip-families", "dual", "--probe", "TCP/8080"];
        let more = ["--probe", "ICMP", "--outside", "internet=203.0.113.9,2001:db8::9"];
        let unknown = ["--unknown", "default/client", "--unknown-pods"];
        let run = |what| lab(&[&arguments[..], &more, &unknown, &[what]].concat());
        let (code, report) = run("drop");
        assert_eq!((code, &report["mismatches"]), (0, &Value::from(0)), "{layout}");
        // The pod on the host's network of node a is its node.
        let own_node = ["node/a", "pod/default/host"].map(Value::from);
        for probe in probes(&report, 0) {
            let ends = [&probe["from"], &probe["to"]];
            let is_own = ends.iter().any(|end| own_node.contains(*end));
            let concerned = ends.iter().any(|end| **end == "pod/default/client");
            assert_eq!(probe["allowed"], !concerned || is_own, "{layout}: {probe}");
        }
        let (code, report) = run("accept");
        assert_eq!((code, &report["mismatches"]), (0, &Value::from(0)), "{layout}");
        assert!(probes(&report, 0).iter().all(|probe| probe["allowed"] == true), "{layout}");
    }
}

#[test]
fn a_bridge_that_hides_its_packets_is_said_and_not_probed() {
    let folder = Folder::new("hidden");
    let path = folder.file("pods.yaml", PODS);
    for setting in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
        let setting = format!("net.bridge.{setting}");
        let off = format!("{setting}=0");
        let run =
            |layout| podwall(&["lab", "run", "--step", &path, "--layout", layout, "--node-sysctl", &off]);
        let bridged = run("bridged");
        let errors = String::from_utf8_lossy(&bridged.stderr);
        assert_eq!((bridged.status.code(), bridged.stdout.len()), (Some(4), 0), "{errors}");
        assert!(errors.contains("would not be enforced"), "{errors}");
        assert!(errors.contains(&format!("sysctl -w {setting}=1")), "{errors}");
        assert_eq!(run("routed").status.code(), Some(0));
    }
}

/// How many labs are interrupted, and after how long at most.
const INTERRUPTED: u64 = 50;
const INTERRUPTED_AFTER: u64 = 1000;

#[test]
fn an_interrupted_lab_leaves_nothing() {
    let folder = Folder::new("interrupted");
    let path = folder.file("pods.yaml", PODS);
    let closed = folder.file("closed.yaml", &format!("{PODS}{DENY_ALL}"));
    let (links, mounts) = (fs::read_to_string("/proc/net/dev"), fs::read_to_string("/proc/self/mounts"));
    let names = |text: std::io::Result<String>| -> BTreeSet<String> {
        let text = text.expect("a list of the kernel");
        text.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
    };
    let interrupt_some = |worker: u64| {
        for number in (worker..INTERRUPTED).step_by(5) {
            interrupt(&folder.0, [&path, &closed], number);
        }
    };
    thread::scope(|scope| (0..5).for_each(|worker| drop(scope.spawn(move || interrupt_some(worker)))));
    let down = podwall_in(&folder.0, &["lab", "down"]).output().expect("the program runs");
    assert_eq!(down.status.code(), Some(0));
    // The kernel takes namespaces away in its own time.
    let started = Instant::now();
    while !processes_of(&folder.0).is_empty() && started.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(processes_of(&folder.0), Vec::<String>::new(), "processes, and the namespaces that they hold");
    let states: Vec<_> = fs::read_dir(folder.0.join("podwall-lab")).into_iter().flatten().flatten().collect();
    assert!(states.is_empty(), "{states:?}");
    assert_eq!(names(fs::read_to_string("/proc/net/dev")), names(links));
    let before = mounts.expect("a list of the kernel");
    assert_eq!(fs::read_to_string("/proc/self/mounts").expect("a list of the kernel"), before);
}

/// Starts a lab and ends it at some moment, by the number as everything else of it.
fn interrupt(folder: &Path, steps: [&str; 2], number: u64) {
    let layout = if number.is_multiple_of(2) { "routed" } else { "bridged" };
    let mut arguments = vec!["lab", "run", "--step", steps[0], "--step", steps[1], "--layout", layout];
    arguments.extend((number % 4 < 2).then_some("--keep"));
    let mut command = podwall_in(folder, &arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program runs");
    // Spread over the whole time, and not in the order of the numbers.
    thread::sleep(Duration::from_millis(number * 617 % INTERRUPTED_AFTER));
    let signal = if number.is_multiple_of(3) { "INT" } else { "KILL" };
    let _ = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    child.wait().expect("the program ends");
}

/// The program, with a place for its state that nobody else uses.
fn podwall_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podwall"));
    command.args(arguments).env("XDG_RUNTIME_DIR", folder);
    command
}

/// The processes of labs whose state is in this folder. A network namespace without a name or a mount lives by
/// these alone.
fn processes_of(folder: &Path) -> Vec<String> {
    let wanted = format!("XDG_RUNTIME_DIR={}", folder.display());
    let is_wanted = |process: &PathBuf| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let processes = fs::read_dir("/proc").expect("a list of processes").flatten().map(|entry| entry.path());
    let named = |process: PathBuf| process.display().to_string();
    processes.filter(is_wanted).map(named).collect()
}
