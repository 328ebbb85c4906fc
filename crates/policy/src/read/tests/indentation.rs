//! A16: indentation that was lost in a copy. Never read as closing everything, never as opening everything.

use super::*;

const HEAD: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n";

fn unreadable(text: &str) -> Problem {
    let mut manifests = read_text(text);
    assert_eq!(manifests.problems.len(), 1, "{text}: {:#?}", manifests.problems);
    assert!(
        manifests.policies.is_empty() && manifests.pods.is_empty() && manifests.namespaces.is_empty(),
        "{text}"
    );
    let problem = manifests.problems.remove(0);
    assert_eq!(problem.consequence, Consequence::Unreadable, "{text}");
    problem
}

#[test]
fn fields_that_lost_their_indentation_a16() {
    let cases = [
        ("metadata:\n  name: p\nspec:\npodSelector: {}\n", 6, "podSelector"),
        ("metadata:\n  name: p\nspec:\npolicyTypes: [Ingress]\n", 6, "policyTypes"),
        ("metadata:\n  name: p\nspec:\ningress:\n- from:\n  - podSelector: {}\n", 6, "ingress"),
        ("metadata:\n  name: p\npodSelector: {}\nspec:\n  policyTypes: [Ingress]\n", 5, "podSelector"),
        ("metadata:\n  name: p\nspec:\n  podSelector:\nmatchLabels:\n  a: b\n", 7, "matchLabels"),
        ("metadata:\nname: p\nspec:\n  podSelector: {}\n", 4, "name"),
        ("metadata:\n  name: p\nnamespace: x\nspec:\n  podSelector: {}\n", 5, "namespace"),
        ("metadata:\n  name: p\nlabels: {}\nspec: {}\n", 5, "labels"),
        ("metadata:\n  name: p\nspec: {}\nfrom: []\n", 6, "from"),
        ("metadata:\n  name: p\nspec: {}\nto: []\n", 6, "to"),
        ("metadata:\n  name: p\nspec: {}\nports: []\n", 6, "ports"),
        ("metadata:\n  name: p\nspec:\n  podSelector:\n  matchLabels:\n    a: b\n", 7, "spec.matchLabels"),
        ("metadata:\n  name: p\nspec:\n  ingress:\n  from:\n  - podSelector: {}\n", 7, "spec.from"),
        (
            "metadata:\n  name: p\nspec:\n  ingress:\n  - from:\n    podSelector: {}\n",
            8,
            "spec.ingress[0].podSelector",
        ),
    ];
    for (rest, line, field) in cases {
        let problem = unreadable(&format!("{HEAD}{rest}"));
        assert_eq!((problem.line, problem.field.as_deref()), (Some(line), Some(field)), "{rest}");
        assert!(problem.message.contains("indentation looks lost"), "{problem}");
        assert_eq!(problem.file.as_deref(), Some("test.yaml"));
        // The name is given as far as it is where names stand.
        let named = if rest.contains("  name: p") { "NetworkPolicy p" } else { "NetworkPolicy" };
        assert_eq!(problem.object.as_deref(), Some(named), "{rest}");
        let elsewhere =
            unreadable(&format!("{HEAD}{}", rest.replace("  name: p", "  name: p\n  namespace: n")));
        let named = if rest.contains("  name: p") { "NetworkPolicy n/p" } else { "NetworkPolicy" };
        assert_eq!(elsewhere.object.as_deref(), Some(named), "{rest}");
    }
}

#[test]
fn a_spec_that_says_nothing_a16() {
    let cases = [
        ("metadata:\n  name: p\nspec: null\n", 5, "spec is missing"),
        ("metadata:\n  name: p\nspec:\n", 5, "spec is missing"),
        ("metadata:\n  name: p\n", 1, "spec is missing"),
        ("metadata:\n  name: p\nspec:\n- podSelector: {}\n", 6, "must be a mapping"),
        ("metadata:\n  name: p\nspec: podSelector\n", 5, "must be a mapping"),
        ("metadata:\n- name: p\nspec:\n  podSelector: {}\n", 4, "must be a mapping"),
        ("metadata: p\nspec:\n  podSelector: {}\n", 3, "must be a mapping"),
    ];
    for (rest, line, message) in cases {
        let problem = unreadable(&format!("{HEAD}{rest}"));
        assert_eq!(problem.line, Some(line), "{rest}");
        assert!(problem.message.contains(message), "{problem}");
        assert!(problem.object.as_deref().is_some_and(|object| object.starts_with("NetworkPolicy")));
    }
}

#[test]
fn a_list_under_a_mapping_a16() {
    let problem = unreadable(&format!("{HEAD}metadata:\n  name: p\n- spec:\n"));
    assert_eq!(problem.line, Some(5));
    assert!(problem.message.contains("cannot be parsed"), "{problem}");
}

#[test]
fn other_kinds_that_lost_their_indentation_a16() {
    let cases = [
        ("apiVersion: v1\nkind: Pod\nmetadata:\nname: p\n", 4, "name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\ncontainers: []\n", 5, "containers"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: p}\nlabels: {a: b}\n", 4, "labels"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: p}\nspec:\ntemplate: {}\n", 5, "template"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: p}\nselector: {}\n", 4, "selector"),
    ];
    for (text, line, field) in cases {
        let problem = unreadable(text);
        assert_eq!((problem.line, problem.field.as_deref()), (Some(line), Some(field)), "{text}");
        assert!(problem.message.contains("indentation looks lost"), "{problem}");
    }
}
