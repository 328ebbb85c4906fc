//! Objects by their labels, so that a selector asks only those that it may select; and where a selector is found by
//! the labels of what it may select.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use podwall_policy::{LabelSelector, Labels, Operator};

/// Where a selector is found by what it can select: things of a namespace, or any; and with a label that it asks for,
/// or any.
pub type Bucket = (Option<Arc<str>>, Option<(Arc<str>, Arc<str>)>);

/// The buckets that a selector is found in: one for each value that its first requirement of a value allows, or one.
pub fn buckets(namespace: Option<&Arc<str>>, selector: &LabelSelector) -> Vec<Bucket> {
    let values = selector.requirements().find_map(|requirement| match &requirement.operator {
        Operator::In(values) => Some((&requirement.key, values)),
        _ => None,
    });
    match values {
        Some((key, values)) => {
            let label = |value: &Arc<str>| (key.clone(), value.clone());
            values.iter().map(|value| (namespace.cloned(), Some(label(value)))).collect()
        }
        None => vec![(namespace.cloned(), None)],
    }
}

/// The buckets of the selectors that are found by these labels. No selector is in two of them.
pub fn buckets_of(namespace: Option<&Arc<str>>, labels: &Labels) -> impl Iterator<Item = Bucket> {
    let labels = labels.iter().map(|(key, value)| Some((key.clone(), value.clone())));
    labels.chain([None]).map(move |label| (namespace.cloned(), label))
}

/// Numbers of objects by each of their labels.
#[derive(Debug, Default)]
pub struct LabelIndex {
    by_label: HashMap<(Arc<str>, Arc<str>), BTreeSet<u32>>,
}

impl LabelIndex {
    /// Adds an object. Its labels as they are to be kept: the texts of a label that is there already are shared.
    pub fn insert(&mut self, id: u32, labels: &Labels) -> Labels {
        let mut shared = Labels::new();
        for (key, value) in labels {
            let label = (key.clone(), value.clone());
            let (key, value) = self.by_label.get_key_value(&label).map_or(&label, |(label, _)| label);
            shared.insert(key.clone(), value.clone());
            self.by_label.entry(label).or_default().insert(id);
        }
        shared
    }

    /// Removes an object with the labels that it was added with.
    pub fn remove(&mut self, id: u32, labels: &Labels) {
        for (key, value) in labels {
            let label = (key.clone(), value.clone());
            if let Some(ids) = self.by_label.get_mut(&label) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_label.remove(&label);
                }
            }
        }
    }

    /// The objects that a selector may select: those with the values that one of its requirements asks for, and of
    /// several requirements the one that the fewest meet. `None` when it asks for no value, and may select anyone.
    pub fn candidates(&self, selector: &LabelSelector) -> Option<Candidates<'_>> {
        let found = selector.requirements().filter_map(|requirement| match &requirement.operator {
            Operator::In(values) => {
                let label = |value: &Arc<str>| (requirement.key.clone(), value.clone());
                Some(Candidates(values.iter().filter_map(|value| self.by_label.get(&label(value))).collect()))
            }
            _ => None,
        });
        found.min_by_key(Candidates::len)
    }
}

/// Objects; none is there twice, because a label has one value.
#[derive(Debug)]
pub struct Candidates<'a>(Vec<&'a BTreeSet<u32>>);

impl Candidates<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|ids| ids.len()).sum()
    }

    /// Their numbers.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|ids| ids.iter().copied())
    }
}
