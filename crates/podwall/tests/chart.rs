//! The Helm chart passes every option of `podwall agent` and no other.

use std::collections::BTreeSet;
use std::process::Command;

/// What a cluster has no use for, or the chart sets by other means.
const NOT_PASSED: [&str; 3] = ["--help", "--manifests", "--node"];

fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
}

#[test]
fn the_chart_passes_every_option_of_the_agent() {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/chart/podwall/templates/_helpers.tpl");
    let passed = options(&std::fs::read_to_string(chart).unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_podwall")).args(["agent", "--help"]).output().unwrap();
    // Options begin their lines; elsewhere they are only spoken of.
    let help = String::from_utf8_lossy(&output.stdout);
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let mut taken: BTreeSet<String> =
        lines.flat_map(|line| options(line.split("  ").next().unwrap_or_default())).collect();
    taken.retain(|option| !NOT_PASSED.contains(&option.as_str()));
    assert_eq!(passed, taken);
}
