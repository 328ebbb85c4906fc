//! The questions asked of a real API server: the same answers as from manifests, in the names that people use.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use http::Method;
use podwall_integration::{ApiServer, Kind, Objects, Suite};
use serde_json::{Value as Json, json};

fn main() -> ExitCode {
    Suite::main(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster-questions"), |suite| {
        suite.test("questions are answered from the API server", |api| answered(api));
        Ok(())
    })
}

/// Runs podwall: its exit code, and what it printed on both outputs.
fn podwall(kubeconfig: &Path, arguments: &[&str]) -> Result<(i32, String)> {
    let own = std::env::current_exe()?;
    let program = own.parent().and_then(Path::parent).context("the test has no folder")?.join("podwall");
    let output = Command::new(&program)
        .args(arguments)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .output()
        .with_context(|| format!("{}: cargo build --package podwall", program.display()))?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((output.status.code().context("podwall was killed")?, text.concat()))
}

fn pod(name: &str, address: &str) -> [Json; 2] {
    let app = name.split('-').next().unwrap_or(name);
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-5d8"),
        "uid": "00000000-0000-0000-0000-000000000001", "controller": true});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": app, "pod-template-hash": "5d8"},
            "ownerReferences": [owner]},
        "spec": {"nodeName": "worker-1", "containers": [{"name": "main", "image": "none",
            "ports": [{"containerPort": 80}]}]},
    });
    [pod, json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}})]
}

fn policy(from: &str) -> Json {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "api"}}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": from}}}], "ports": [{"port": 80}]}]},
    })
}

fn fill(api: &ApiServer) -> Result<()> {
    let objects = Objects::new(&api.admin())?;
    objects.put(
        Kind::Namespace,
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
    )?;
    for (name, address) in [("web-5d8-a", "10.1.0.1"), ("api-5d8-a", "10.1.0.2"), ("job-5d8-a", "10.1.0.3")] {
        let [pod, status] = pod(name, address);
        objects.create(Kind::Pod, &pod)?;
        let path = format!("{}/{name}/status", Kind::Pod.path("shop"));
        objects.call(Method::PATCH, &path, status)?;
    }
    objects.create(Kind::NetworkPolicy, &policy("web")).map(drop)
}

fn answered(api: &ApiServer) -> Result<String> {
    fill(api)?;
    let admin = api.admin();
    let expect = |kubeconfig: &Path, arguments: &[&str], code: i32, parts: &[&str]| {
        let (ended, text) = podwall(kubeconfig, arguments)?;
        let missing = parts.iter().find(|part| !text.contains(**part));
        ensure!(ended == code && missing.is_none(), "{arguments:?} ended with {ended}, not {code}:\n{text}");
        anyhow::Ok(())
    };
    let allowed = ["explain", "shop/deployment/web", "shop/deployment/api", "TCP/80"];
    expect(&admin, &allowed, 0, &["ALLOWED", "shop/api", "cluster:NetworkPolicy/shop/api:"])?;
    let denied = ["explain", "shop/job-5d8-a", "10.1.0.2", "TCP/80"];
    expect(&admin, &denied, 1, &["DENIED", "isolated by shop/api"])?;
    expect(&admin, &["explain", "shop/wbe-5d8-a", "10.1.0.2"], 3, &["nearest: shop/web-5d8-a"])?;
    expect(&admin, &["check", "--severity", "error"], 0, &[])?;

    // What the agent's role may not list is done without, and said.
    expect(&api.agent(), &allowed, 0, &["answered without the cluster's services", "ALLOWED"])?;

    // The cluster against a folder that would be applied to it.
    let folder = api.folder().join("change");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("policy.json"), policy("job").to_string())?;
    let folder = folder.display().to_string();
    expect(
        &admin,
        &["diff", "cluster", &folder, "--fail-on", "denied"],
        1,
        &["becomes denied", "becomes allowed"],
    )?;
    expect(&admin, &["diff", "cluster", "cluster", "--fail-on", "any"], 0, &["nothing becomes"])?;

    let file = api.folder().join("expect.yaml");
    let lines = "- {from: deployment/shop/web, to: deployment/shop/api, port: 80, allowed: true}\n\
                 - {from: deployment/shop/job, to: deployment/shop/api, port: 80, allowed: false}\n";
    std::fs::write(&file, lines)?;
    expect(&admin, &["test", &file.display().to_string()], 0, &["2 expectations"])?;

    let nowhere = podwall(&api.folder().join("no-such-file"), &["check"])?;
    ensure!(nowhere.0 == 2 && nowhere.1.contains("--kubeconfig"), "{nowhere:?}");
    Ok("explain, check, diff and test".to_owned())
}
