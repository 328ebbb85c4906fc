//! The expectations of all acceptance scenarios hold without packets, and failures say why.

use std::fs;
use std::path::{Path, PathBuf};

use podwall_policy::tree::{Tree, Value, parse};
use podwall_policy::{Expectation, PlacementOptions, Source};

use super::*;

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration/scenarios")
}

fn read_source(path: &Path) -> Source {
    Source { name: path.display().to_string(), bytes: fs::read(path).unwrap() }
}

fn items(tree: &Tree, key: &str) -> Vec<Tree> {
    match tree.get(key).map(|entry| &entry.value.value) {
        Some(Value::Sequence(items)) => items.clone(),
        _ => Vec::new(),
    }
}

fn text(tree: &Tree) -> String {
    match &tree.value {
        Value::Scalar(scalar) => scalar.text.to_string(),
        other => panic!("expected text, found {other:?}"),
    }
}

/// The states that a scenario goes through, in these families.
fn states(folder: &Path, scenario: &Tree, ipv4: bool, ipv6: bool) -> Vec<Snapshot> {
    let nodes = scenario.get("nodes").map_or(2, |entry| text(&entry.value).parse().unwrap());
    let placement = PlacementOptions { node_count: nodes, ipv4, ipv6 };
    let mut states: Vec<Snapshot> = Vec::new();
    for step in items(scenario, "steps") {
        let Value::Sequence(files) = &step.value else { panic!("a step is a list of files") };
        let sources: Vec<Source> = files.iter().map(|file| read_source(&folder.join(text(file)))).collect();
        states.push(Snapshot::read(&sources, "default", &placement, states.last()));
    }
    states
}

fn outside(scenario: &Tree, ipv4: bool, ipv6: bool) -> Outside {
    let hosts = items(scenario, "outside").into_iter().map(|host| {
        let host = text(&host);
        let (name, addresses) = host.split_once('=').unwrap();
        let addresses = addresses.split(',').map(|address| address.parse::<IpAddr>().unwrap());
        let wanted = |address: &IpAddr| if address.is_ipv4() { ipv4 } else { ipv6 };
        (name.to_owned(), addresses.filter(wanted).collect())
    });
    hosts.collect()
}

#[test]
fn the_expectations_of_every_scenario_hold_offline() {
    let (mut judged, mut scenarios_judged) = (0, 0);
    for entry in fs::read_dir(scenarios()).unwrap() {
        let folder = entry.unwrap().path();
        let scenario = parse(&fs::read(folder.join("scenario.yaml")).unwrap()).unwrap().remove(0);
        if scenario.get("exit").is_some() {
            continue;
        }
        let file = scenario.get("expect").map_or("expect.yaml".to_owned(), |entry| text(&entry.value));
        let expectations = Expectation::read(&fs::read(folder.join(&file)).unwrap()).unwrap();
        let families: Vec<String> = items(&scenario, "families").iter().map(text).collect();
        for (name, ipv4, ipv6) in [("ipv4", true, false), ("ipv6", false, true), ("dual", true, true)] {
            if !families.is_empty() && !families.iter().any(|family| family == name) {
                continue;
            }
            let states = states(&folder, &scenario, ipv4, ipv6);
            let hosts = outside(&scenario, ipv4, ipv6);
            let trial = Trial::new(&format!("{} {name}", folder.display()), &expectations, &states, &hosts);
            assert!(trial.holds(), "{}", trial.to_text());
            judged += expectations.len();
        }
        scenarios_judged += 1;
    }
    assert!(scenarios_judged >= 18 && judged > 1000, "only {judged} lines of {scenarios_judged} scenarios");
}

fn trial(lines: &str) -> Trial {
    let folder = scenarios().join("a07-service");
    let sources = ["app.yaml", "policy.yaml"].map(|file| read_source(&folder.join(file)));
    let placement = PlacementOptions { node_count: 2, ipv4: true, ipv6: false };
    let state = Snapshot::read(&sources, "default", &placement, None);
    let expectations = Expectation::read(lines.as_bytes()).unwrap();
    Trial::new("expect.yaml", &expectations, &[state], &Outside::new())
}

const LINES: &str = "
- {from: deployment/app/frontend, to: service/app/api, port: 8000, allowed: true}
- {from: pod/app/random, to: deployment/app/api, port: 80, allowed: true}
- {from: pod/app/random, to: pod/app/ap-0, port: 80, allowed: true}
- {from: outside/203.0.113.1, to: pod/app/api-0, port: 80, allowed: false}
- {from: outside/visitor, to: pod/app/api-0, port: 80, allowed: false}
- {step: 7, from: pod/app/random, to: pod/app/api-0, port: 80, allowed: false}
";

#[test]
fn failures_say_why() {
    let trial = trial(LINES);
    let held: Vec<bool> = trial.outcomes.iter().map(|outcome| outcome.failure.is_none()).collect();
    assert_eq!(held, [true, false, false, true, false, false], "{}", trial.to_text());
    let text = trial.to_text();
    for part in [
        "expect.yaml:3: pod/app/random -> deployment/app/api TCP/80 must be allowed: denied: ingress of app/api-0 is \
         isolated by app/",
        "there is no app/ap-0; nearest: ",
        "--outside visitor=ADDRESS",
        "there is no such step",
        "2 of 6 expectations of expect.yaml hold",
    ] {
        assert!(text.contains(part), "does not say {part:?}:\n{text}");
    }
}

#[test]
fn programs_read_outcomes() {
    let trial = trial(LINES);
    let tap = trial.to_tap();
    assert!(
        tap.starts_with("TAP version 13\n1..6\nok 1 - deployment/app/frontend -> service/app/api"),
        "{tap}"
    );
    assert!(tap.contains("\nnot ok 2 - ") && tap.contains("\n# expect.yaml:3: denied: "), "{tap}");
    let junit = trial.to_junit();
    assert!(junit.contains(r#"<testsuite name="expect.yaml" tests="6" failures="4">"#), "{junit}");
    assert!(junit.contains("deployment/app/frontend -&gt; service/app/api"), "{junit}");
    assert_eq!(junit.matches("<failure message=\"").count(), 4);
}
