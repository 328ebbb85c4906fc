//! Objects whose every text wants to be something else where it is written: a line of a log, nft syntax, a metric.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{Traffic, enforced};
use podwall_integration::{Agent, ApiServer, Kind, Storage, without_traffic};
use podwall_lab::{Layout, NetworkNamespace};
use podwall_policy::Labels;
use serde_json::{Value as Json, json};

const LIMIT: Duration = Duration::from_secs(5);
/// Whose they are: other namespaces are none the worse for them.
const NAMESPACE: &str = "hostile";
/// What begins whatever we never say.
const FORGED: &str = "FORGED";

/// The texts.
fn texts() -> Vec<String> {
    vec![
        format!("a\n{FORGED} INFO podwall: all is well\n"),
        format!("a\r\n{FORGED}\r"),
        format!("a\" drop }}; flush ruleset; add table inet {FORGED}; #"),
        format!("a\"}} 1\n{FORGED}_total{{x=\"1\"}} 1\n# EOF\n"),
        "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m".to_owned(),
        "a\\\"\\n\\".to_owned(),
        "a\0b\u{8}\u{7f}\u{85}".to_owned(),
        "\u{202e}\u{2066}\u{2028}\u{2029}\u{200b}\u{feff}".to_owned(),
        "$(reboot)`reboot`%s%n{0}".to_owned(),
        "x".repeat(100_000),
        "\u{1f9f1}".repeat(500),
        String::new(),
    ]
}

/// Planted, each in every place that has a text; agents hear of them one by one, and begin with them.
pub fn run(api: &mut ApiServer) -> Result<String> {
    let mut storage = Storage::open(api)?;
    let mut world = enforced(api, Layout::Routed, true)?;
    world.put_namespace(NAMESPACE, &Labels::default())?;
    for agent in world.agents.values_mut() {
        agent.options = vec!["--group-counters".to_owned(), "--log".to_owned(), "debug".to_owned()];
        agent.start()?;
        agent.wait_until_ready(LIMIT)?;
    }
    let (traffic, start) = (Traffic::start(&world)?, Instant::now());
    let mut planted = 0;
    for (index, text) in texts().iter().enumerate() {
        for (kind, object) in objects(text, index) {
            let place = match kind {
                Kind::Namespace => format!("hostile-{planted}"),
                _ => format!("{NAMESPACE}/hostile-{planted}"),
            };
            storage.plant(kind, &place, &object)?;
            planted += 1;
        }
    }
    // The last object is understood, and comes after all others of its kind.
    storage.plant(Kind::Pod, &format!("{NAMESPACE}/last"), &pod("last", "a", 199))?;
    let agent = world.agents.get_mut("node-1").context("a node")?;
    let heard = |agent: &Agent| -> Result<()> {
        let started = Instant::now();
        while !agent.status()?["localPods"].to_string().contains("hostile/last") {
            ensure!(started.elapsed() < LIMIT, "it does not hear of them: {:#}", agent.status()?);
        }
        // Problems are looked over a little later.
        std::thread::sleep(Duration::from_millis(500));
        Ok(())
    };
    heard(agent)?;
    let problems = agent.status()?["problems"].as_array().map_or(0, Vec::len);
    ensure!(problems >= texts().len(), "only {problems} problems: were they heard?");
    judge(agent, api)?;
    agent.start()?;
    agent.wait_until_ready(LIMIT)?;
    heard(agent)?;
    judge(agent, api)?;
    let events = world.objects.call(http::Method::GET, "/api/v1/events", Json::Null)?;
    for event in events["items"].as_array().into_iter().flatten() {
        plain("an Event", event["message"].as_str().unwrap_or_default())?;
    }
    drop(storage);
    let fate = traffic.finish(start)?;
    fate.check()?;
    Ok(format!("{planted} objects, {problems} problems; none of {} packets lost or leaked", fate.packets))
}

/// Objects with a text in every place that has one.
fn objects(text: &str, index: usize) -> Vec<(Kind, Json)> {
    let selector = json!({"matchLabels": {"app": "subject", text: text},
        "matchExpressions": [{"key": text, "operator": "In", "values": [text]}]});
    let policy = |name: &str, spec: Json| {
        let metadata = json!({"name": name, "namespace": NAMESPACE, "uid": text,
            "labels": {text: text}, "annotations": {text: text}});
        let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": metadata, "spec": spec});
        (Kind::NetworkPolicy, object)
    };
    let app = json!({"matchLabels": {"app": "subject"}});
    let peers = json!([{"podSelector": selector, "namespaceSelector": selector}]);
    let name = format!("hostile-{index}");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": text, "uid": text, "labels": {text: text}, "annotations": {text: text}}});
    vec![
        (Kind::Namespace, namespace),
        (Kind::Pod, pod(text, text, 100 + index)),
        (Kind::Pod, pod(&format!("labelled-{index}"), text, 120 + index)),
        policy(text, json!({"podSelector": app, "policyTypes": ["Ingress"]})),
        policy(&format!("{name}-selector"), json!({"podSelector": selector, "policyTypes": ["Ingress"]})),
        policy(&format!("{name}-peers"), json!({"podSelector": app, "ingress": [{"from": peers}]})),
        policy(
            &format!("{name}-block"),
            json!({"podSelector": app, "ingress": [
                {"from": [{"ipBlock": {"cidr": text, "except": [text]}}]},
                {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": [text]}}]}]}),
        ),
        policy(
            &format!("{name}-ports"),
            json!({"podSelector": app, "ingress": [
                {"ports": [{"port": text}, {"port": 80, "protocol": text}]}]}),
        ),
        policy(&format!("{name}-types"), json!({"podSelector": app, "policyTypes": [text]})),
        policy(
            &format!("{name}-operator"),
            json!({"podSelector":
            {"matchExpressions": [{"key": "app", "operator": text, "values": ["subject"]}]}}),
        ),
        policy(&format!("{name}-unknown"), json!({"podSelector": app, text: text})),
    ]
}

/// A pod of the server's node that has no link.
fn pod(name: &str, text: &str, number: usize) -> Json {
    let address = format!("10.244.0.{number}");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": format!("{number}{text}"),
            "labels": {"app": "subject", text: text},
            "annotations": {text: text, "podwall.io/anti-spoofing": text}},
        "spec": {"nodeName": "node-1", "containers": [{"name": text, "image": text,
            "ports": [{"name": text, "containerPort": 80, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": text,
            "startTime": "2026-01-01T00:00:00Z"},
    })
}

/// Nothing that the agent writes is any of them, or would do something where it is shown.
fn judge(agent: &Agent, api: &ApiServer) -> Result<()> {
    let log = agent.log()?;
    plain("the log", &log)?;
    for line in log.lines() {
        let is_time = line.get(..20).is_some_and(|time| time.starts_with("20") && time.contains('T'));
        ensure!(is_time, "a line of the log that is none: {line:?}");
    }
    let ruleset = agent.on_node("nft", &["list", "ruleset"])?;
    plain("the ruleset", &ruleset)?;
    // As nft prints it, it can be read again, and is all that there is.
    let file = api.folder().join("hostile.nft");
    fs::write(&file, &ruleset)?;
    let again = NetworkNamespace::create()?.enter(|| {
        Command::new("nft").arg("--file").arg(&file).output()?;
        Command::new("nft").args(["list", "ruleset"]).output()
    })??;
    let again = without_traffic(&String::from_utf8_lossy(&again.stdout));
    ensure!(again == without_traffic(&ruleset), "the ruleset reads otherwise than it is");
    let answer = agent.get("/metrics")?;
    let (_, metrics) = answer.split_once("\r\n\r\n").context("metrics")?;
    plain("the metrics", metrics)?;
    ensure!(metrics.ends_with("\n# EOF\n") && metrics.matches("# EOF").count() == 1, "{metrics}");
    for line in metrics.lines() {
        let is_ours = ["# HELP podwall_", "# TYPE podwall_", "# UNIT podwall_", "podwall_", "# EOF"];
        ensure!(is_ours.iter().any(|it| line.starts_with(it)), "a metric that is none of ours: {line:?}");
    }
    plain("the status", &agent.status_text(&[])?)?;
    plain(
        "the status as JSON",
        &agent
            .status()?
            .as_object()
            .map(|it| it.values().flat_map(texts_of).collect::<Vec<_>>().join("\n"))
            .context("an object")?,
    )
}

/// All texts in a value.
fn texts_of(value: &Json) -> Vec<String> {
    match value {
        Json::String(text) => vec![text.replace('\n', "\u{0}")],
        Json::Array(items) => items.iter().flat_map(texts_of).collect(),
        Json::Object(fields) => fields.values().flat_map(texts_of).collect(),
        _ => Vec::new(),
    }
}

/// Fails when a text has what does something where it is shown, or a line that we never wrote, or one without end.
fn plain(what: &str, text: &str) -> Result<()> {
    let acts = |c: &char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    for line in text.split('\n') {
        let start: String = line.chars().take(300).collect();
        ensure!(!line.trim_start().starts_with(FORGED), "{what} has a forged line: {start:?}");
        let found = line.chars().find(acts);
        ensure!(found.is_none(), "{what} has {found:?} in {start:?}");
    }
    // What is logged to find bugs with shows objects as long as they are.
    let longest = text.lines().filter(|line| !line.contains(" DEBUG ")).map(str::len).max().unwrap_or(0);
    ensure!(longest < 20_000, "{what} has a line of {longest} bytes");
    Ok(())
}
