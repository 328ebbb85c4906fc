//! What is served is what the reference lists: names, labels and kinds.

use std::collections::BTreeSet;

use podwall_netlink::RuleCounter;
use podwall_ruleset::Name;

use super::{Metrics, Reach, Reason, WatchRestart};

/// Every family with a member: without one it is not served.
fn all() -> (Metrics, String) {
    let metrics = Metrics::new();
    drop(metrics.refusals.get_or_create(&Reason { reason: "x" }));
    drop(metrics.watch_restarts.get_or_create(&WatchRestart { kind: "x", reason: "x" }));
    drop(metrics.problems.get_or_create(&Reach { consequence: "x" }));
    let counter =
        |chain: &str, rule| RuleCounter { chain: Name::new(chain).expect(chain), rule, packets: 1, bytes: 1 };
    // Of a group, another drop, and the two kinds of counters of the flow log.
    let counters = [("counted/ingress/x", 1), ("forward", 1), ("denied/ingress", 0), ("denied/ingress", 2)];
    let text = metrics.text(&counters.map(|(chain, rule)| counter(chain, rule)));
    (metrics, text)
}

/// `NAME{LABELS} KIND` of each metric that is served.
fn served(text: &str) -> BTreeSet<String> {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    kinds
        .map(|(family, kind)| {
            let name = match kind {
                "counter" => format!("{family}_total"),
                "info" => format!("{family}_info"),
                _ => family.to_owned(),
            };
            let sample = text.lines().find(|line| line.starts_with(&name)).expect(family);
            let labels = match sample.split_once('{') {
                Some((_, rest)) if kind != "histogram" => {
                    let labels = rest.split('}').next().unwrap_or_default().split(',');
                    let names: Vec<&str> = labels.filter_map(|label| label.split('=').next()).collect();
                    format!("{{{}}}", names.join(","))
                }
                _ => String::new(),
            };
            format!("{name}{labels} {kind}")
        })
        .collect()
}

/// The same of the rows of the table.
fn listed(reference: &str) -> BTreeSet<String> {
    let rows = reference.lines().filter(|line| line.starts_with("| `podwall_"));
    rows.flat_map(|row| {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let (names, kind) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        names.split('`').skip(1).step_by(2).map(move |name| format!("{name} {kind}"))
    })
    .collect()
}

#[test]
fn what_is_served_is_in_the_reference_and_the_other_way_round() {
    let (metrics, text) = all();
    let registered = format!("{:?}", metrics.registry).matches("Descriptor {").count();
    let served = served(&text);
    assert_eq!(served.len(), registered, "a family is not made to have a member here: {served:?}");
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md");
    let listed = listed(&std::fs::read_to_string(reference).expect(reference));
    assert_eq!(served, listed);
}
