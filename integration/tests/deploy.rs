//! What `deploy/` and the documents say holds: one version everywhere, manifests that are what they were made from,
//! metrics that are documented and drawn, workflows that only call `make`, claims of security that name a test, and
//! judges of the clusters' suite that can fail.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use podwall_policy::tree::{Tree, Value, parse};

fn root() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).to_owned()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A document without lines and order of fields, so that two that mean the same are the same.
fn meaning(tree: &Tree) -> String {
    match &tree.value {
        Value::Scalar(scalar) => format!("{:?}", scalar.text),
        Value::Sequence(items) => format!("[{}]", items.iter().map(meaning).collect::<Vec<_>>().join(",")),
        Value::Mapping(_) => {
            let fields: BTreeSet<String> =
                tree.entries().iter().map(|it| format!("{}:{}", it.key.text, meaning(&it.value))).collect();
            format!("{{{}}}", fields.into_iter().collect::<Vec<_>>().join(","))
        }
    }
}

fn documents(path: &str) -> Vec<Tree> {
    let trees = parse(text(path).as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}"));
    trees.into_iter().filter(|tree| !tree.is_null()).collect()
}

/// What follows `field` on the lines of a file that have it.
fn values<'a>(text: &'a str, field: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim().strip_prefix(field)).map(str::trim).collect()
}

#[test]
fn there_is_one_version() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = text("deploy/chart/podwall/Chart.yaml");
    assert_eq!(values(&chart, "version:"), [version]);
    assert_eq!(values(&chart, "appVersion:"), [version]);
    let image = format!("ghcr.io/podwall/podwall:{version}");
    for path in ["deploy/base/daemonset.yaml", "deploy/cleanup/daemonset.yaml", "deploy/install.yaml"] {
        assert_eq!(values(&text(path), "image:"), [image.as_str()], "{path}");
    }
    assert!(text("deploy/Dockerfile").contains(&image));
}

#[test]
fn install_yaml_is_the_base() {
    let meanings = |paths: &[&str]| -> BTreeSet<String> {
        paths.iter().flat_map(|path| documents(path)).map(|tree| meaning(&tree)).collect()
    };
    let base = meanings(&["deploy/base/rbac.yaml", "deploy/base/daemonset.yaml"]);
    assert!(meanings(&["deploy/install.yaml"]) == base, "deploy/install.yaml is stale: make install-yaml");
}

/// The words of a text that begin with `podwall_` and are no crates.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let of_ours = words.filter(|word| word.starts_with("podwall_") && *word != "podwall_reconciler");
    of_ours.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn every_metric_is_documented_and_drawn() {
    let documented = metrics(&text("docs/operating.md"));
    let dashboard = text("deploy/chart/podwall/dashboards/podwall.json");
    serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
    assert_eq!(metrics(&dashboard), documented);
    assert!(documented.len() > 20);
}

#[test]
fn pods_have_one_capability_and_nothing_more() {
    for path in ["deploy/base/daemonset.yaml", "deploy/cleanup/daemonset.yaml"] {
        let text = text(path);
        for (field, expected) in [
            ("drop:", "[ALL]"),
            ("privileged:", "false"),
            ("allowPrivilegeEscalation:", "false"),
            ("readOnlyRootFilesystem:", "true"),
            ("type: Runtime", "Default"),
        ] {
            assert_eq!(values(&text, field), [expected], "{path}: {field}");
        }
        let added: Vec<&str> =
            values(&text, "add:").iter().map(|it| it.split(" #").next().unwrap_or_default()).collect();
        assert_eq!(added, ["[NET_ADMIN]"], "{path}");
        assert!(!text.contains("hostPID: true") && !text.contains("hostIPC: true"), "{path}");
    }
}

#[test]
fn workflows_only_call_make() {
    let targets = text("Makefile");
    for path in [".github/workflows/ci.yaml", ".github/workflows/release.yaml"] {
        let text = text(path);
        let runs = values(&text, "- run:");
        assert!(!runs.is_empty(), "{path}");
        for run in runs {
            let target = run.strip_prefix("make ").and_then(|it| it.split(' ').next());
            let target = target.unwrap_or_else(|| panic!("{path}: {run} is not a call of make"));
            assert!(targets.lines().any(|it| it.starts_with(&format!("{target}:"))), "{path}: {run}");
        }
    }
}

/// A claim is a line of a table whose last column is the test: `FILE` or `FILE` `NAME`, several by commas.
#[test]
fn every_claim_of_security_names_a_test_that_is_there() {
    let security = text("SECURITY.md");
    let claims: Vec<&str> = security.lines().filter(|line| line.starts_with("| ")).collect();
    let mut named = 0;
    for claim in claims.iter().filter(|line| !line.starts_with("| What")) {
        let cell = claim.trim_end_matches('|').rsplit('|').next().unwrap();
        let mut file = None;
        for word in cell.split('`').skip(1).step_by(2) {
            if word.contains('/') {
                assert!(root().join(word).exists(), "{word} is not there: {claim}");
                file = Some(word);
                named += 1;
            } else {
                let file = file.unwrap_or_else(|| panic!("{word}: in which file? {claim}"));
                // Of Rust a function: a word may be there for many reasons.
                let name = if file.ends_with(".rs") { format!("fn {word}(") } else { word.to_owned() };
                assert!(text(file).contains(&name), "{file} has no {word}: {claim}");
            }
        }
        assert!(file.is_some(), "no test: {claim}");
    }
    assert!(named > 10, "only {named} tests named");
}

/// The table of `make integration` says WRONG of what a broken cluster gives it.
#[test]
fn the_judges_of_the_clusters_suite_can_fail() {
    let output = Command::new(root().join("integration/cluster/check")).output().expect("the check");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Links between documents, and the files of this repository that they name.
#[test]
fn documents_name_what_is_there() {
    let documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md"];
    let mut documents: Vec<PathBuf> = documents.iter().map(|path| root().join(path)).collect();
    let folder = std::fs::read_dir(root().join("docs")).expect("docs/");
    documents.extend(
        folder
            .map(|entry| entry.expect("docs/").path())
            .filter(|it| it.extension().is_some_and(|it| it == "md")),
    );
    let mut seen = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document).expect("a document");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let path = document.with_file_name(link.split('#').next().unwrap_or_default());
            assert!(path.exists(), "{}: {link} is not there", document.display());
            seen += 1;
        }
        let words = text.split('`').skip(1).step_by(2);
        let known = ["crates/", "integration/", "docs/", "deploy/", "benches/", "examples/"];
        for word in words.filter(|word| {
            known.iter().any(|start| word.starts_with(start)) && !word.contains([' ', '*', '<'])
        }) {
            let found = root().join(word).exists() || word.contains('{');
            assert!(found, "{}: {word} is not there", document.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} names");
}
