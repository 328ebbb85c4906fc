//! The policies as they were written: for what reading them forgets (an empty list and none are the same afterwards),
//! and for the lines of their fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use podwall_policy::tree::{Tree, Value, parse};
use podwall_policy::{ObjectKey, Source};
use serde::Serialize;

use crate::field::{FieldPath, Step};

/// A file and a line of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The file as it was named to us, or `-` for standard input.
    pub file: String,
    /// The line; the first is 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One policy as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPolicy {
    file: Arc<str>,
    tree: Tree,
}

impl WrittenPolicy {
    /// The value at a path.
    pub fn at(&self, path: &FieldPath) -> Option<&Tree> {
        path.steps().iter().try_fold(&self.tree, descend)
    }

    /// The line of the innermost field of the path that was written.
    pub fn place(&self, path: &FieldPath) -> Option<Place> {
        let (mut here, mut line) = (&self.tree, self.tree.line);
        for step in path.steps() {
            line = match step {
                Step::Key(key) => here.get(key).and_then(|entry| entry.line).or(line),
                Step::Index(_) => line,
            };
            let Some(next) = descend(here, step) else { break };
            if matches!(step, Step::Index(_)) {
                line = next.line.or(line);
            }
            here = next;
        }
        Some(Place { file: self.file.to_string(), line: line? })
    }
}

fn descend<'t>(tree: &'t Tree, step: &Step) -> Option<&'t Tree> {
    match (step, &tree.value) {
        (Step::Key(key), _) => tree.get(key).map(|entry| &entry.value),
        (Step::Index(index), Value::Sequence(items)) => items.get(*index),
        (Step::Index(_), _) => None,
    }
}

/// The policies of all sources that have a name; of several of one name the last, as it is the one that is used.
pub fn written_policies(sources: &[Source], default_namespace: &str) -> BTreeMap<ObjectKey, WrittenPolicy> {
    let mut found = BTreeMap::new();
    for source in sources {
        let file: Arc<str> = source.name.as_str().into();
        for document in parse(&source.bytes).unwrap_or_default() {
            collect(document, false, &file, default_namespace, &mut found);
        }
    }
    found
}

fn collect(
    document: Tree,
    is_policy: bool,
    file: &Arc<str>,
    default_namespace: &str,
    found: &mut BTreeMap<ObjectKey, WrittenPolicy>,
) {
    let kind = text(&document, &["kind"]).unwrap_or_default();
    if let Some(item) = kind.strip_suffix("List") {
        let items = document.get("items").map(|entry| entry.value.value.clone());
        if let Some(Value::Sequence(items)) = items {
            for tree in items {
                collect(tree, item == "NetworkPolicy", file, default_namespace, found);
            }
        }
        return;
    }
    if &*kind != "NetworkPolicy" && !(is_policy && kind.is_empty()) {
        return;
    }
    let namespace = text(&document, &["metadata", "namespace"]).filter(|namespace| !namespace.is_empty());
    if let Some(name) = text(&document, &["metadata", "name"]) {
        let key = ObjectKey::new(namespace.as_deref().unwrap_or(default_namespace), &*name);
        found.insert(key, WrittenPolicy { file: file.clone(), tree: document });
    }
}

fn text(tree: &Tree, keys: &[&str]) -> Option<Arc<str>> {
    let tree = keys.iter().try_fold(tree, |tree, key| tree.get(key).map(|entry| &entry.value))?;
    match &tree.value {
        Value::Scalar(scalar) if !tree.is_null() => Some(scalar.text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Direction;

    #[test]
    fn fields_have_their_lines() {
        let text = "\
kind: NetworkPolicy
metadata: {name: a}
spec:
  ingress:
  - from:
    - podSelector: {}
    - ipBlock:
        cidr: 10.0.0.0/8
";
        let source = Source { name: "a.yaml".to_owned(), bytes: text.into() };
        let policies = written_policies(&[source], "default");
        let policy = &policies[&ObjectKey::new("default", "a")];
        let line = |path: FieldPath| policy.place(&path).unwrap().line;
        assert_eq!(line(FieldPath::peer(Direction::Ingress, 0, 1)), 7);
        assert_eq!(line(FieldPath::rule(Direction::Ingress, 0)), 5);
        assert_eq!(line(FieldPath::of(&["spec", "policyTypes"])), 3, "the nearest that is there");
    }
}
