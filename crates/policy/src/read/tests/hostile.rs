//! Input of any shape: never a panic, never minutes.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn read_bytes(bytes: &[u8]) -> Manifests {
    read(&[Source { name: "-".into(), bytes: bytes.to_vec() }], "default")
}

#[test]
fn five_megabytes_take_seconds_at_most() {
    let mut text = String::new();
    let mut count = 0;
    while text.len() < 5_000_000 {
        let policy = include_str!("tutorial.yaml");
        text += &policy.replace("test-network-policy", &format!("p{count}"));
        text += "---\n";
        count += 1;
    }
    let started = Instant::now();
    let manifests = read_bytes(text.as_bytes());
    let elapsed = started.elapsed();
    assert_eq!((manifests.policies.len(), manifests.problems.len()), (count, 0));
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
}

#[test]
fn five_megabytes_of_mistakes_take_seconds_at_most() {
    let shapes = [
        policy_text(&format!("{{ingress: [{{from: [{}]}}]}}", "{}, ".repeat(5_000_000 / 4))),
        policy_text(&format!("{{podSelector: {{matchLabels: {{{}}}}}}}", "a: b, ".repeat(5_000_000 / 6))),
        (0..5_000_000 / 40).map(|line| format!("k{line}: {{apiVersion: v1, kind: Pod}}\n")).collect(),
        "kind: X\napiVersion: v1\n---\n".repeat(5_000_000 / 27),
        format!("kind: {}\napiVersion: v1\n", "x".repeat(5_000_000)),
        policy_text(&format!("{}: 1", "x".repeat(1000)))
            .replace("name: p", &format!("name: {}", "p".repeat(4_000_000))),
        format!(
            "apiVersion: v1\nkind: List\nitems: [{}]",
            "{kind: NetworkPolicy, apiVersion: v1}, ".repeat(20_000)
        ),
    ];
    for text in shapes {
        let started = Instant::now();
        let manifests = read_bytes(text.as_bytes());
        let elapsed = started.elapsed();
        assert!(!manifests.problems.is_empty());
        assert!(manifests.problems.iter().all(|problem| problem.message.len() < 2000));
        assert!(elapsed < Duration::from_secs(20), "{elapsed:?}: {}", &text[..60]);
    }
}

#[test]
fn truncated_manifests_say_so_or_are_complete_objects() {
    let text = include_str!("tutorial.yaml");
    for end in 1..text.len() {
        let manifests = read_bytes(&text.as_bytes()[..end]);
        assert!(manifests.policies.len() + manifests.problems.len() > 0, "silently nothing of {end} bytes");
    }
}

/// A manifest of every kind that is read.
const MANIFESTS: [&str; 3] = [
    include_str!("tutorial.yaml"),
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels: {a: b}\nspec:\n  nodeName: n1\n  containers:\n  - name: c\n    \
     ports:\n    - {name: http, containerPort: 80, protocol: TCP}\nstatus:\n  podIPs: [{ip: 10.0.0.1}, {ip: \"fd00::1\"}]\n",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: &m {name: w}\nspec:\n  replicas: 2\n  template: {metadata: {<<: *m}}\n\
     ---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80, targetPort: http}]}\n---\n\
     apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: n1}\n",
];

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_bytes(&bytes);
    }

    #[test]
    fn arbitrary_syntax(text in "[-:?,\\[\\]{}#&*!|>'\"%@` a1\\n\\t~<]{0,120}") {
        read_bytes(text.as_bytes());
    }

    #[test]
    fn mutated_manifests(
        which in 0..MANIFESTS.len(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_usize, "[-:?,\\[\\]{}#&*!|>'\" a1\\n~]{1,4}"), 1..6),
    ) {
        let mut text: Vec<u8> = MANIFESTS[which].into();
        for (at, removed, inserted) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, inserted.bytes());
        }
        let manifests = read_bytes(&text);
        let options = crate::PlacementOptions { node_count: 2, ipv4: true, ipv6: true };
        crate::place(&manifests, &options, None);
        for problem in &manifests.problems {
            prop_assert!(problem.line.is_some() && problem.file.is_some(), "{problem:?}");
        }
    }
}
