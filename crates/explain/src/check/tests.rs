//! Every example of `docs/check-rules.md`, and the shapes of output.

use podwall_policy::{PlacementOptions, Source};

use super::*;

const PAGE: &str = include_str!("../../../../docs/check-rules.md");

fn report(text: &str) -> Report {
    let source = Source { name: "./a b.yaml".to_owned(), bytes: text.into() };
    let placement = PlacementOptions { node_count: 1, ipv4: true, ipv6: false };
    check(&Snapshot::read(&[source], "default", &placement, None))
}

/// The names of the rules whose findings count.
fn found(text: &str) -> Vec<&'static str> {
    report(text).counted(Severity::Note).map(|finding| finding.rule.name()).collect()
}

/// The sections of the page: a rule's name, its text, and its examples.
fn sections() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let sections = PAGE.split("\n## ").skip(1);
    sections
        .map(|section| {
            let (name, text) = section.split_once('\n').unwrap();
            let blocks = text.split("```yaml\n").skip(1);
            (name, text, blocks.map(|block| block.split("```").next().unwrap()).collect())
        })
        .collect()
}

#[test]
fn bad_examples_are_found_and_good_ones_are_not() {
    for (name, _, examples) in sections() {
        let [bad, good] = examples.as_slice() else { panic!("{name} has {} examples", examples.len()) };
        assert_eq!(found(bad), [name], "{}", report(bad).to_text(Severity::Note));
        assert_eq!(
            found(good),
            [""; 0],
            "the good example of {name}: {}",
            report(good).to_text(Severity::Note)
        );
    }
}

#[test]
fn the_page_has_every_rule_with_its_severity() {
    let sections = sections();
    let names: Vec<&str> = sections.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, Rule::ALL.iter().map(|rule| rule.name()).collect::<Vec<_>>());
    for ((name, text, _), rule) in sections.iter().zip(Rule::ALL) {
        let severity = format!("({}.)", rule.severity().name());
        assert!(
            text.to_lowercase().replace('\n', " ").contains(&severity),
            "{name} is not said to be {severity}"
        );
    }
}

const SUPPRESSED: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  annotations: {podwall.io/ignore: "port-protocol: NTS; no-such-rule: x; dns-forgotten"}
spec:
  podSelector: {}
  ingress:
  - ports: [{port: 123}]
"#;

#[test]
fn what_is_ignored_with_a_reason_does_not_count() {
    let report = report(SUPPRESSED);
    let text = report.to_text(Severity::Note);
    assert_eq!(
        text,
        "./a b.yaml:6: warning: bad-suppression: NetworkPolicy default/web: metadata.annotations[podwall.io/ignore]: there \
         is no rule no-such-rule\n\
         ./a b.yaml:6: warning: bad-suppression: NetworkPolicy default/web: metadata.annotations[podwall.io/ignore]: \
         dns-forgotten is ignored without a reason: write \"dns-forgotten: why\"\n\
         2 findings, 1 ignored with a reason\n"
    );
    assert_eq!(report.counted(Severity::Error).count(), 0);
}

#[test]
fn sarif_has_the_shape_that_code_hosts_read() {
    let log: serde_json::Value = serde_json::from_str(&report(SUPPRESSED).to_sarif(Severity::Note)).unwrap();
    let run = &log["runs"][0];
    assert_eq!((&log["version"], &run["tool"]["driver"]["name"]), (&"2.1.0".into(), &"podwall check".into()));
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        let location = &result["locations"][0]["physicalLocation"];
        assert_eq!(location["artifactLocation"]["uri"], "a%20b.yaml");
        assert!(location["region"]["startLine"].as_u64().unwrap() > 1);
    }
    let ignored = results.iter().find(|result| result["ruleId"] == "port-protocol").unwrap();
    assert_eq!(ignored["suppressions"][0]["justification"], "NTS");
}

#[test]
fn json_has_all_with_their_places() {
    let json: serde_json::Value = serde_json::from_str(&report(SUPPRESSED).to_json(Severity::Note)).unwrap();
    assert_eq!(json["findings"].as_array().unwrap().len(), 3);
    assert_eq!(json["findings"][2]["place"]["line"], 10);
    assert_eq!(json["findings"][2]["ignored"], "NTS");
}

#[test]
fn all_policies_of_one_pod_are_looked_at_together() {
    let separate = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dns}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}]}
"#;
    assert_eq!(found(separate), [""; 0]);
    let (deny, _) = separate.split_once("---").unwrap();
    let report = report(deny);
    assert_eq!(report.findings[0].rule, Rule::DnsForgotten);
    assert_eq!(report.findings[0].severity, Severity::Note, "who may send nothing may need no names");
}

#[test]
fn the_three_tier_example_is_clean_but_for_what_it_means() {
    let text = [
        include_str!("../../../../examples/three-tier/app.yaml"),
        include_str!("../../../../examples/three-tier/policies.yaml"),
    ];
    assert_eq!(found(&text.join("\n---\n")), [""; 0]);
}
