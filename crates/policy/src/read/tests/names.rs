//! `metadata`: names and their lengths, labels, misspelt fields, repeated objects.

use super::*;

fn policy_with(metadata: &str) -> Manifests {
    read_text(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  {metadata}\n\
         spec:\n  podSelector: {{matchLabels: {{a: b}}}}\n"
    ))
}

#[test]
fn long_names_s165() {
    let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    assert_eq!(longest.len(), 253);
    let manifests = policy_with(&format!("{{name: {longest}, namespace: {}}}", "n".repeat(63)));
    assert_eq!(manifests.problems, []);
    assert!(manifests.policies.contains_key(&ObjectKey::new("n".repeat(63), longest.as_str())));
    // One character without dots, as far as the API server is concerned.
    assert_eq!(policy_with(&format!("name: {}", "a".repeat(253))).problems, []);
    for (metadata, field, message) in [
        (format!("name: {longest}x"), "metadata.name", "254 characters, and 253 is the most"),
        (
            format!("{{name: p, namespace: {}}}", "n".repeat(64)),
            "metadata.namespace",
            "64 characters, and 63",
        ),
    ] {
        let manifests = policy_with(&metadata);
        assert_eq!(manifests.problems[0].field.as_deref(), Some(field));
        assert!(manifests.problems[0].message.contains(message), "{}", manifests.problems[0]);
        let closing = manifests.policies.values().next().unwrap();
        assert!(is_closing(closing, &label("a", "b")));
    }
}

#[test]
fn names_that_are_refused_s160() {
    let cases = [
        ("name: Web", "metadata.name", "is not a name"),
        ("name: a_b", "metadata.name", "is not a name: only a-z, 0-9, `-`, `.` may be used"),
        ("name: -a", "metadata.name", "is not a name"),
        ("name: a..b", "metadata.name", "is not a name"),
        ("name: \"\"", "metadata.name", "is not a name"),
        ("name: 123", "metadata.name", "must be a string: put it in quotes, as \"123\""),
        ("name: on", "metadata.name", "must be a string: put it in quotes, as \"on\""),
        ("name: [p]", "metadata.name", "must be a string, not a list"),
        ("{name: p, namespace: a.b}", "metadata.namespace", "is not a name: only a-z, 0-9, `-` may be used"),
        ("{name: p, labels: {a: }}", "metadata.labels.a", "nothing is given"),
        ("generateName: p-", "metadata", "generateName"),
        ("labels: {}", "metadata.name", "name is missing"),
        ("{name: p, lables: {}}", "metadata.lables", "did you mean labels?"),
        ("{name: p, labels: {a: true}}", "metadata.labels.a", "must be a string"),
        ("{name: p, annotations: {a.b/c: 1}}", "metadata.annotations[a.b/c]", "must be a string"),
        ("{name: p, labels: [a]}", "metadata.labels", "must be a mapping"),
    ];
    for (metadata, field, message) in cases {
        let manifests = policy_with(metadata);
        let [problem] = &manifests.problems[..] else { panic!("{metadata}: {:?}", manifests.problems) };
        assert_eq!(problem.consequence, Consequence::Refused, "{metadata}");
        assert_eq!((problem.field.as_deref(), problem.line), (Some(field), Some(4)), "{metadata}");
        assert!(problem.message.contains(message), "{problem}");
        assert_eq!(manifests.policies.len(), 1, "{metadata}: closed all the same");
        assert!(is_closing(manifests.policies.values().next().unwrap(), &label("a", "b")));
    }
}

#[test]
fn policies_without_a_name_close_one_by_one() {
    let item = "{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"NetworkPolicy\", \"spec\": {}}";
    let manifests =
        read_text(&format!("{{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{item}, {item}]}}"));
    assert_eq!(manifests.problems.len(), 2);
    let names: Vec<_> = manifests.policies.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["default/line-1-of-test-yaml", "default/line-1-of-test-yaml-too"]);
}

#[test]
fn a_refused_policy_of_no_namespace_closes_in_the_default_one_s163() {
    for namespace in ["", "namespace: ", "namespace: null", "namespace: \"\""] {
        let text = policy_text("{ingres: []}").replace("name: p", &format!("name: p\n  {namespace}"));
        let manifests = read(&[Source { name: "test.yaml".into(), bytes: text.into() }], "team");
        let [problem] = &manifests.problems[..] else { panic!("{namespace}: {:?}", manifests.problems) };
        assert_eq!(problem.object.as_deref(), Some("NetworkPolicy team/p"), "{namespace}");
        assert!(is_closing(&manifests.policies[&ObjectKey::new("team", "p")], &all()), "{namespace}");
    }
}

#[test]
fn harmless_fields_are_tolerated() {
    let manifests = policy_with(
        "{name: p, uid: x, resourceVersion: \"1\", generation: 1, creationTimestamp: null, managedFields: [], \
         annotations: {a: b}, ownerReferences: [], finalizers: []}\nstatus: {}",
    );
    assert_eq!(manifests.problems, []);
}

#[test]
fn of_repeated_objects_the_later_is_used() {
    let first = policy_text("podSelector: {matchLabels: {a: b}}");
    let second = policy_text("podSelector: {matchLabels: {c: d}}");
    let manifests = read_text(&format!("{first}---\n{second}"));
    let [problem] = &manifests.problems[..] else { panic!() };
    assert_eq!((problem.consequence, problem.line), (Consequence::Ignored, Some(8)));
    assert!(
        problem.message.contains("test.yaml:1") && problem.message.contains("later one is used"),
        "{problem}"
    );
    assert_eq!(problem.object.as_deref(), Some("NetworkPolicy default/p"));
    assert_eq!(manifests.policies[&ObjectKey::new("default", "p")].pod_selector, label("c", "d"));
    // Of different kinds or namespaces, they are different objects.
    read_clean(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\n",
    );
    let twice = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
    let manifests = read_text(&format!("{twice}---\n{twice}"));
    assert_eq!(manifests.problems[0].object.as_deref(), Some("Namespace a"));
}
