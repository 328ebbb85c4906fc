//! Policies that are refused, misspelt kinds, and what is left of the rest.

use super::*;
use crate::tree::{Tree, Value};

#[test]
fn an_unknown_field_refuses_the_policy_s162() {
    let cases = [
        (
            "podSelctor: {matchLabels: {a: b}}",
            "spec.podSelctor",
            "unknown field podSelctor; did you mean podSelector?",
        ),
        ("ingres: []", "spec.ingres", "did you mean ingress?"),
        ("selector: {}", "spec.selector", "it may have podSelector, policyTypes, ingress, egress"),
        ("{ingress: [{form: []}]}", "spec.ingress[0].form", "did you mean from?"),
        ("{ingress: [{to: []}]}", "spec.ingress[0].to", "it may have from, ports"),
        ("{egress: [{from: []}]}", "spec.egress[0].from", "it may have to, ports"),
        ("{egress: [{}, {protocols: []}]}", "spec.egress[1].protocols", "unknown field protocols"),
    ];
    for (spec, field, message) in cases {
        let (policy, problem) = flawed(spec);
        assert_eq!(problem.consequence, Consequence::Refused, "{spec}");
        assert_eq!((problem.field.as_deref(), problem.line), (Some(field), Some(6)), "{spec}");
        assert_eq!(problem.object.as_deref(), Some("NetworkPolicy default/p"));
        assert!(problem.message.contains(message), "{problem}");
        assert!(problem.message.contains("refused: the pods it may select are closed"), "{problem}");
        assert!(is_closing(&policy.unwrap(), &all()), "{spec}");
    }
}

#[test]
fn a_refused_policy_closes_what_its_selector_says() {
    let selector = "podSelector: {matchLabels: {app: web}}";
    for spec in [
        "ingress: {}",
        "ingress: [{from: {}}]",
        "ingress: [{ports: {}}]",
        "ingress: [allow]",
        "ingress: [null]",
        "egress: [{}, 1]",
        "ingress: all",
        "polcyTypes: []",
        "ingress: [{from: [], from: []}]",
    ] {
        let (policy, problem) = flawed(&format!("{{{selector}, {spec}}}"));
        assert_eq!(problem.consequence, Consequence::Refused, "{spec}");
        assert!(is_closing(&policy.unwrap(), &label("app", "web")), "{spec}");
    }
    let (policy, problem) = flawed("podSelector: {matchLabels: {a: b}}\n  podSelector: {}");
    assert!(problem.message.contains("podSelector is given twice (first on line 6)"), "{problem}");
    assert_eq!(problem.line, Some(7));
    assert!(is_closing(&policy.unwrap(), &all()), "which of the two cannot be known");
    let (policy, _) = flawed("podSelector: {matchLabels: {a: b, a: c}}");
    assert!(is_closing(&policy.unwrap(), &all()));
}

#[test]
fn another_version_of_the_api_is_refused() {
    for version in ["extensions/v1beta1", "networking.k8s.io/v1beta1", "v1", "projectcalico.org/v3", "\"\""] {
        let text = policy_text("podSelector: {}").replace("networking.k8s.io/v1", version);
        let manifests = read_text(&text);
        let [problem] = &manifests.problems[..] else { panic!("{version}") };
        assert_eq!(problem.consequence, Consequence::Refused);
        assert_eq!((problem.field.as_deref(), problem.line), (Some("apiVersion"), Some(1)));
        assert!(problem.message.contains("write networking.k8s.io/v1"), "{problem}");
        assert!(is_closing(&manifests.policies[&ObjectKey::new("default", "p")], &all()));
    }
}

#[test]
fn a_misspelt_kind_closes_like_a_refused_policy() {
    for kind in ["NetworkPolcy", "networkpolicy", "NetworkPolicies", "NetwrokPolicy"] {
        let manifests =
            read_text(&policy_text("podSelector: {matchLabels: {a: b}}").replace("NetworkPolicy", kind));
        let [problem] = &manifests.problems[..] else { panic!("{kind}") };
        if kind == "NetworkPolicies" {
            assert_eq!(problem.consequence, Consequence::Ignored, "three letters are too many");
            continue;
        }
        assert_eq!(problem.consequence, Consequence::Refused, "{kind}");
        assert_eq!((problem.field.as_deref(), problem.line), (Some("kind"), Some(2)));
        assert!(problem.message.contains("did you mean NetworkPolicy?"), "{problem}");
        assert!(is_closing(&manifests.policies[&ObjectKey::new("default", "p")], &label("a", "b")));
    }
}

#[test]
fn other_kinds() {
    let problem = |text: &str| {
        let mut manifests = read_text(text);
        assert_eq!(manifests.problems.len(), 1, "{text}: {:?}", manifests.problems);
        manifests.problems.remove(0)
    };
    let unknown = problem("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n");
    assert_eq!((unknown.consequence, unknown.line), (Consequence::Ignored, Some(2)));
    assert_eq!(
        unknown.to_string(),
        "test.yaml:2: Widget w: kind: kind Widget is not one that Podwall reads; it is passed over"
    );
    let misspelt = problem("apiVersion: apps/v1\nkind: Deploymnt\nmetadata: {name: w}\n");
    assert_eq!(misspelt.consequence, Consequence::Refused);
    assert!(misspelt.message.contains("did you mean Deployment?"), "{misspelt}");
    let old = problem("apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: w}\n");
    assert_eq!(old.consequence, Consequence::Refused);
    assert!(old.message.contains("write apps/v1"), "{old}");
    let knative = problem("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: w}\n");
    assert_eq!(knative.consequence, Consequence::Ignored);
    for kind in
        ["ConfigMap", "Secret", "CronJob", "ClusterRoleBinding", "Ingress", "EndpointSlice", "ConfigMapList"]
    {
        read_clean(&format!("apiVersion: v1\nkind: {kind}\nmetadata: {{nmae: x}}\ndata: {{}}\n"));
    }
}

#[test]
fn documents_that_are_no_objects() {
    let cases = [
        ("- a\n- b\n", 1, "must be a mapping"),
        ("\n\nhello\n", 3, "must be a mapping"),
        ("apiVersion: v1\nmetadata: {}\n", 1, "kind is missing"),
        ("kind: NetworkPolicy\nmetadata: {}\n", 1, "apiVersion is missing"),
        ("apiVersion: v1\nkind:\n", 2, "kind is missing"),
        ("apiversion: v1\nkind: Pod\n", 1, "apiVersion is missing; did you mean it here?"),
        ("apiVersion: v1\nkind: [Pod]\n", 2, "must be a string"),
        ("apiVersion: 1\nkind: Pod\n", 1, "must be a string"),
        ("apiVersion: v1\nkind: List\nitems: {}\n", 3, "must be a list"),
        ("apiVersion: v1\nkind: List\nitems:\n- x\n", 4, "must be a mapping"),
    ];
    for (text, line, message) in cases {
        let manifests = read_text(text);
        let [problem] = &manifests.problems[..] else { panic!("{text}: {:?}", manifests.problems) };
        assert_eq!(problem.consequence, Consequence::Unreadable, "{text}");
        assert_eq!((problem.line, problem.file.as_deref()), (Some(line), Some("test.yaml")), "{text}");
        assert!(problem.message.contains(message), "{problem}");
        assert_eq!(problem.message.contains("mean"), message.contains("mean"), "{problem}");
        assert!(manifests.unreadable());
    }
    for text in ["", "---\n", "# comment\n", "---\n---\n# nothing\n", "null\n"] {
        read_clean(text);
    }
}

#[test]
fn text_that_cannot_be_parsed_spoils_its_file_only() {
    let good = policy_text("podSelector: {}");
    let sources = [
        Source { name: "good.yaml".into(), bytes: good.clone().into() },
        Source {
            name: "bad.yaml".into(),
            bytes: format!("{good}---\na: [1\n").replace("name: p", "name: q").into(),
        },
        Source { name: "latin.yaml".into(), bytes: b"a: b\nc: \xe9\n".to_vec() },
    ];
    let manifests = read(&sources, "default");
    let names: Vec<_> = manifests.policies.keys().map(|key| &*key.name).collect();
    assert_eq!(names, ["p"]);
    let places: Vec<_> =
        manifests.problems.iter().map(|problem| (problem.file.as_deref().unwrap(), problem.line)).collect();
    assert_eq!(places, [("bad.yaml", Some(8)), ("latin.yaml", Some(2))]);
    assert!(manifests.problems.iter().all(|problem| problem.consequence == Consequence::Unreadable));
}

#[test]
fn problems_are_in_the_order_of_files_and_lines() {
    let bad = policy_text("{ingress: [{from: [{}], ports: [{port: 0}]}]}");
    let text = format!("{bad}---\nkind: X\napiVersion: v1\n---\n{}", bad.replace("name: p", "name: P"));
    let sources = ["b.yaml", "a.yaml"].map(|name| Source { name: name.into(), bytes: text.clone().into() });
    let places: Vec<_> = read(&sources, "default")
        .problems
        .iter()
        .map(|problem| (problem.file.clone().unwrap(), problem.line.unwrap()))
        .collect();
    let lines =
        |name: &str, lines: &[usize]| lines.iter().map(|line| (name.to_owned(), *line)).collect::<Vec<_>>();
    // The second file repeats the objects of the first.
    assert_eq!(places, [lines("b.yaml", &[6, 6, 8, 14]), lines("a.yaml", &[1, 6, 6, 8, 11, 14])].concat());
}

#[test]
fn objects_of_the_api_have_no_lines() {
    fn without_lines(tree: &mut Tree) {
        tree.line = None;
        match &mut tree.value {
            Value::Scalar(_) => {}
            Value::Sequence(items) => items.iter_mut().for_each(without_lines),
            Value::Mapping(mapping) => mapping.entries.iter_mut().for_each(|entry| {
                entry.line = None;
                without_lines(&mut entry.value);
            }),
        }
    }
    let mut tree =
        crate::tree::parse(b"{metadata: {name: p, namespace: team}, spec: {ingress: [{from: [{}]}]}}")
            .unwrap();
    without_lines(&mut tree[0]);
    let PolicyReading::Read { key, policy, problems } = read_policy(&tree[0], None, "default") else {
        panic!()
    };
    assert_eq!((key, policy.location), (ObjectKey::new("team", "p"), None));
    assert_eq!((problems[0].line, problems[0].field.as_deref()), (None, Some("spec.ingress[0].from[0]")));
}
