//! The exit codes of `explain`, `check`, `test` and `diff`, and that they print what they found.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs podwall in the root of the repository: its exit code, and what it printed on both outputs.
fn podwall(arguments: &[&str]) -> (i32, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output =
        Command::new(env!("CARGO_BIN_EXE_podwall")).args(arguments).current_dir(root).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code().unwrap(), text)
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("questions-{name}"));
    std::fs::write(&path, text).unwrap();
    path
}

const EXAMPLE: &str = "examples/three-tier";
const APP: &str = "examples/three-tier/app.yaml";

#[test]
fn explain_ends_with_the_verdict() {
    let explain = |arguments: &[&str]| podwall(&[&["explain", "-f", EXAMPLE], arguments].concat());
    let (code, text) = explain(&["production/deployment/web", "production/service/app"]);
    assert!(
        code == 0 && text.starts_with("ALLOWED  production/web-0 -> production/app-0 TCP/8080"),
        "{text}"
    );
    let (code, text) = explain(&["production/web-0", "production/deployment/database", "TCP/5432"]);
    assert!(
        code == 1 && text.contains("isolated by production/database (examples/three-tier/policies.yaml:"),
        "{text}"
    );
    assert_eq!(explain(&["production/web-0", "203.0.113.1"]).0, 2, "no port is declared there");
    assert_eq!(explain(&["production", "production/web-0"]).0, 2);
    let (code, text) = explain(&["production/wbe-0", "production/app-0"]);
    assert!(code == 3 && text.contains("there is no production/wbe-0; nearest: production/web-0"), "{text}");
    let (code, text) = explain(&["production/web-0", "production/app-0", "TCP/8080", "--json"]);
    assert!(code == 0 && text.contains(r#""allowed":true"#), "{text}");
}

#[test]
fn check_ends_with_what_it_found() {
    assert_eq!(podwall(&["check", "-f", EXAMPLE]), (0, "0 findings\n".to_owned()));
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n\
                  spec: {podSelector: {}, ingress: [{from: []}]}\n";
    let path = file("check.yaml", policy);
    let (code, text) = podwall(&["check", "-f", path.to_str().unwrap()]);
    assert!(code == 1 && text.contains(":4: warning: empty-peer-list: "), "{text}");
    assert_eq!(podwall(&["check", "--severity", "error", "-f", path.to_str().unwrap()]).0, 0);
    let (code, text) = podwall(&["check", "-f", "integration/scenarios/a16-flat/manifests.yaml"]);
    assert!(code == 3 && text.contains("indentation looks lost"), "{text}");
    assert_eq!(podwall(&["check", "-f", "no-such-file.yaml"]).0, 2);
}

#[test]
fn test_ends_with_whether_all_hold() {
    let steps = ["--step", APP, "--step", EXAMPLE, "--outside", "internet=203.0.113.50"];
    let expect = "integration/scenarios/three-tier/expect.yaml";
    let (code, text) = podwall(&[&["test", expect], steps.as_slice()].concat());
    assert!(
        code == 0 && text.contains("expectations of integration/scenarios/three-tier/expect.yaml hold"),
        "{text}"
    );
    let wrong =
        file("expect.yaml", "- {from: node/node-1, to: pod/production/web-0, port: 80, allowed: false}\n");
    let (code, text) = podwall(&["test", wrong.to_str().unwrap(), "-f", APP, "--output", "tap"]);
    assert!(
        code == 1 && text.contains("not ok 1 - node/node-1 -> pod/production/web-0 TCP/80 must be denied"),
        "{text}"
    );
    let broken = file("broken.yaml", "- {form: node/node-1}\n");
    assert_eq!(podwall(&["test", broken.to_str().unwrap(), "-f", APP]).0, 2);
}

#[test]
fn diff_ends_with_what_fail_on_names() {
    let (code, text) = podwall(&["diff", APP, EXAMPLE]);
    assert!(code == 0 && text.starts_with("becomes denied\n"), "{text}");
    assert_eq!(podwall(&["diff", APP, EXAMPLE, "--fail-on", "denied"]).0, 1);
    assert_eq!(podwall(&["diff", APP, EXAMPLE, "--fail-on", "allowed"]).0, 0);
    assert_eq!(podwall(&["diff", EXAMPLE, APP, "--fail-on", "any"]).0, 1);
    let policies = "examples/three-tier/policies.yaml";
    let (code, text) = podwall(&["diff", policies, policies, "-f", APP, "--fail-on", "any"]);
    assert_eq!((code, text.as_str()), (0, "nothing becomes allowed or denied\n"));
}

#[test]
fn shells_and_kubectl_know_it() {
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef podwall"), ("fish", "complete -c podwall")]
    {
        let (code, text) = podwall(&["completion", shell]);
        assert!(code == 0 && text.contains(part) && text.contains("explain"), "{shell}: {text}");
    }
    let plugin = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubectl-podwall");
    let _ = std::fs::remove_file(&plugin);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_podwall"), &plugin).unwrap();
    let output = Command::new(plugin).args(["explain", "--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Usage: kubectl podwall explain"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour where nobody looks: {text}");
}
