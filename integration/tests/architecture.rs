//! What ARCHITECTURE.md and README.md say of the tree holds: the arrows between crates, and that every path named
//! is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn the_arrows_between_crates_are_the_ones_we_drew() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let is_ours = |name: &str| name.starts_with("podwall");
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let ours = dependencies
            .filter(|it| it["kind"].is_null() && is_ours(it["name"].as_str().unwrap()))
            .map(|it| it["name"].as_str().unwrap().trim_start_matches("podwall-").to_owned());
        let name = package["name"].as_str().unwrap().trim_start_matches("podwall-").to_owned();
        arrows.insert(name, ours.collect());
    }
    let drawn = [
        ("policy", vec![]),
        ("ruleset", vec![]),
        ("compiler", vec!["policy", "ruleset"]),
        ("netlink", vec!["ruleset"]),
        ("explain", vec!["policy"]),
        ("conformance", vec![]),
        ("lab", vec!["compiler", "netlink", "policy", "ruleset"]),
        ("reconciler", vec!["compiler", "netlink", "policy", "ruleset"]),
        ("podwall", vec!["compiler", "explain", "lab", "netlink", "policy", "reconciler", "ruleset"]),
        ("integration", vec!["compiler", "lab", "netlink", "policy", "ruleset"]),
    ];
    for (name, to) in drawn {
        let to: BTreeSet<String> = to.into_iter().map(str::to_owned).collect();
        assert_eq!(arrows[name], to, "the arrows of {name}");
    }
}

#[test]
fn every_path_that_the_documents_name_is_there() {
    let mut named = 0;
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = ["crates/", "integration/", "examples/", "deploy/", "benches/"];
            if is_path.iter().any(|prefix| word.starts_with(prefix)) && !word.contains(['*', ' ', '<']) {
                assert!(root().join(word).exists(), "{document} names {word}, which is not there");
                named += 1;
            }
        }
    }
    assert!(named > 10, "only {named} paths found");
}
