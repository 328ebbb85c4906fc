//! A case: steps of actions, and the states they lead to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::grid;

/// An object of the API, as JSON.
pub type Object = Value;

/// What is done to the cluster, step by step; it is to be probed after each step.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// `family/what/direction`: stable, and unique.
    pub name: String,
    /// What it is about: its family, directions, and whatever else a sample should cover.
    pub tags: BTreeSet<&'static str>,
    /// The actions of each step. Before the first the cluster is the grid, without policies.
    pub steps: Vec<Vec<Action>>,
}

/// One change of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The object is there, in this version.
    Apply(Object),
    /// The object is gone; with a namespace, all that is in it.
    Delete(Reference),
}

/// Names an object: kind, namespace (empty for a namespace) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `Namespace`, `Pod` or `NetworkPolicy`.
    pub kind: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
}

/// All objects of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    objects: BTreeMap<Reference, Object>,
}

impl Case {
    /// A case of these steps.
    pub fn new(
        name: impl Into<String>,
        tags: impl IntoIterator<Item = &'static str>,
        steps: Vec<Vec<Action>>,
    ) -> Self {
        Self { name: name.into(), tags: tags.into_iter().collect(), steps }
    }

    /// The whole cluster after each step.
    pub fn states(&self) -> Vec<State> {
        let mut state = State::grid();
        let after = |actions: &Vec<Action>| {
            actions.iter().for_each(|action| state.take(action));
            state.clone()
        };
        self.steps.iter().map(after).collect()
    }
}

impl Reference {
    /// The name of an object.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    /// The name that an object has.
    pub fn of(object: &Object) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        Self {
            kind: text(&object["kind"]),
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
        }
    }
}

impl State {
    /// The grid, without policies.
    pub fn grid() -> Self {
        let mut state = Self::default();
        grid::objects().into_iter().for_each(|object| state.take(&Action::Apply(object)));
        state
    }

    /// Changes the state.
    pub fn take(&mut self, action: &Action) {
        match action {
            Action::Apply(object) => {
                self.objects.insert(Reference::of(object), object.clone());
            }
            Action::Delete(reference) => {
                self.objects.remove(reference);
                if reference.kind == "Namespace" {
                    self.objects.retain(|it, _| it.namespace != reference.name);
                }
            }
        }
    }

    /// The objects, namespaces first, as an API server would want to be given them.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values().filter(is_namespace).chain(self.objects.values().filter(|it| !is_namespace(it)))
    }

    /// The objects as a stream of YAML documents.
    pub fn manifests(&self) -> String {
        self.objects().map(|object| format!("---\n{object}\n")).collect()
    }
}

fn is_namespace(object: &&Object) -> bool {
    object["kind"] == "Namespace"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_takes_all_that_is_in_it() {
        let mut state = State::grid();
        assert_eq!(state.objects().count(), 12);
        state.take(&Action::Delete(Reference::new("Namespace", "", "y")));
        assert_eq!(state.objects().count(), 8);
        assert!(state.objects().all(|object| Reference::of(object).namespace != "y"));
    }
}
