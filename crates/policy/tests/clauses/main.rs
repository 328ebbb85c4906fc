//! Expectations written from the clauses of the specification by hand: what each says of a connection. The clauses
//! are those of the project's reading of the NetworkPolicy API, S1 to S166, which the whole code cites; each has an
//! expectation, or a line in `unseen.rs` that says why it cannot have one.
//!
//! The cluster is the same for all: namespaces x (labelled ns=x), y (ns=y, team=ops) and z (not declared), each
//! with pods a, b and c (labelled pod=a and so on; c of x has no labels; a of x declares port http = 80/TCP,
//! b of x http = 8080/TCP and dns = 53/UDP) on two nodes: a on node-1, b and c on node-2.

mod table;
mod unseen;

use std::collections::BTreeSet;

use podwall_policy::{Cluster, Decision, Exemption, Grant, ObjectKey, Verdict, evaluate};

use table::{cases, cluster, flow, words};

fn decide(cluster: &Cluster, from: &str, to: &str, spoken: &str) -> Decision {
    evaluate(cluster, &flow(cluster, [from, to, spoken]))
}

#[test]
fn every_connection_is_judged_as_the_clauses_say() {
    let mut wrong = Vec::new();
    for ((clause, policies, expectations), objects) in cases() {
        let cluster = cluster(policies, objects);
        assert!(cluster.policies.len() >= policies.len(), "{clause}");
        for line in expectations.lines() {
            let (asked, expected) = words(line);
            let decision = evaluate(&cluster, &flow(&cluster, asked));
            if decision.allowed() != expected {
                wrong.push(format!("{clause}\n  {line}\n  {decision:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An expectation that only says yes, or only no, would hold of a program that always says it.
#[test]
fn every_case_expects_both_what_is_allowed_and_what_is_not() {
    let says = |expectations: &str, word: &str| expectations.lines().any(|line| line.ends_with(word));
    let lopsided: Vec<&str> = cases()
        .filter(|((_, _, expectations), _)| !(says(expectations, "yes") && says(expectations, "no")))
        .map(|((title, ..), _)| title)
        .filter(|title| !title.starts_with("S4:"))
        .collect();
    assert!(lopsided.is_empty(), "{lopsided:#?}");
}

#[test]
fn every_clause_has_an_expectation_or_a_reason() {
    let numbers = unseen::PARTS.iter().flat_map(|(first, last)| *first..=*last).map(|it| format!("S{it}"));
    let clauses: BTreeSet<String> =
        numbers.chain(unseen::LETTERED.iter().map(|it| (*it).to_owned())).collect();
    let named = |title: &str| -> Vec<String> {
        let (clauses, _) = title.split_once(':').expect("CLAUSE, CLAUSE: what they say");
        clauses.split(", ").map(str::to_owned).collect()
    };
    let seen: BTreeSet<String> = cases().flat_map(|((title, ..), _)| named(title)).collect();
    let unseen: BTreeSet<String> = unseen::UNSEEN.iter().map(|(clause, ..)| (*clause).to_owned()).collect();
    assert!(unseen::UNSEEN.iter().all(|(_, reason, _)| reason.len() > 20), "a reason is a sentence");
    assert_eq!(seen.intersection(&unseen).next(), None, "seen after all");
    let said: BTreeSet<String> = seen.union(&unseen).cloned().collect();
    assert_eq!(clauses.difference(&said).next(), None, "a clause without expectation and without reason");
    assert_eq!(said.difference(&clauses).next(), None, "an expectation of no clause");
}

/// A reason that points elsewhere must find it there.
#[test]
fn what_is_seen_elsewhere_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (clause, _, elsewhere) in unseen::UNSEEN {
        let Some((file, word)) = elsewhere else { continue };
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(word), "{clause}: {file} says nothing of {word}");
    }
}

#[test]
fn a_decision_names_what_isolates_and_what_allows() {
    let policies = [
        ("x", "podSelector: {}"),
        (
            "x",
            "podSelector: {matchLabels: {pod: a}}\ningress:\n- ports: [{port: 1}]\n- from: [{ipBlock: {cidr: 192.0.2.0/24}}, {namespaceSelector: {}}]\n  ports: [{port: 443}, {port: 80}]",
        ),
    ];
    let cluster = cluster(&policies, "");
    let policies = [0, 1].map(|index| ObjectKey::new("x", format!("policy-{index}")));
    let decision = decide(&cluster, "y/a", "x/a", "TCP/80");
    assert_eq!(decision.egress, Verdict::NotIsolated);
    let grant = Grant { policy: policies[1].clone(), rule: 1, peer: Some(1), port: Some(1) };
    assert_eq!(decision.ingress, Verdict::Allowed { isolating: policies.to_vec(), grant });
    let denied = Verdict::Denied { isolating: policies.to_vec() };
    assert_eq!(decide(&cluster, "y/a", "x/a", "TCP/81").ingress, denied);
    assert_eq!(decide(&cluster, "node-1", "x/a", "TCP/81").ingress, Verdict::Exempt(Exemption::OwnNode));
    assert_eq!(decide(&cluster, "x/a", "x/a", "TCP/81").ingress, Verdict::Exempt(Exemption::Itself));
    assert_eq!(decide(&cluster, "x/a", "outside", "TCP/81").ingress, Verdict::Exempt(Exemption::NotAPod));
    let anyone = Grant { policy: policies[1].clone(), rule: 0, peer: None, port: Some(0) };
    let Verdict::Allowed { grant, .. } = decide(&cluster, "outside", "x/a", "TCP/1").ingress else {
        panic!("denied")
    };
    assert_eq!(grant, anyone);
}
