//! Label selectors.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Labels of an object.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// A label selector in canonical form: requirements sorted, duplicates gone, `matchLabels` written as `In`. Two
/// selectors that were written differently but say the same requirements are equal.
///
/// A clone shares: selectors are kept in as many places as there are policies and peers.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSelector {
    requirements: Arc<[Requirement]>,
}

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: Arc<str>,
    /// What must hold of its value.
    pub operator: Operator,
}

/// What a requirement asks of a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The key is there and its value is one of these (S41).
    In(BTreeSet<Arc<str>>),
    /// The key is absent, or its value is none of these (S42, S45).
    NotIn(BTreeSet<Arc<str>>),
    /// The key is there (S43).
    Exists,
    /// The key is absent (S44).
    DoesNotExist,
}

impl LabelSelector {
    /// The selector of all these requirements; of none, the one that selects everything (S40).
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> Self {
        let sorted: BTreeSet<Requirement> = requirements.into_iter().collect();
        Self { requirements: sorted.into_iter().collect() }
    }

    /// True when it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The requirements, sorted.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.requirements.iter()
    }

    /// True when an object with these labels is selected: all requirements hold.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    /// True when the labels meet the requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => !value.is_some_and(|value| values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// As kubectl writes selectors: `app=web,tier in (a,b),!debug`.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", list(values)),
            Operator::In(values) => write!(f, "{key} in ({})", list(values)),
            Operator::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", list(values)),
            Operator::NotIn(values) => write!(f, "{key} notin ({})", list(values)),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

fn list(values: &BTreeSet<Arc<str>>) -> String {
    values.iter().map(|value| &**value).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    fn selects(key: &str, operator: Operator, with: &[(&str, &str)]) -> bool {
        LabelSelector::new([Requirement { key: key.into(), operator }]).matches(&labels(with))
    }

    fn values(texts: &[&str]) -> BTreeSet<Arc<str>> {
        texts.iter().map(|text| (*text).into()).collect()
    }

    #[test]
    fn an_empty_selector_selects_everything_s40() {
        assert!(LabelSelector::default().matches(&labels(&[])));
        assert!(LabelSelector::default().matches(&labels(&[("a", "b")])));
    }

    #[test]
    fn operators_s41_to_s46() {
        assert!(selects("a", Operator::In(values(&["x", "y"])), &[("a", "y")]));
        assert!(!selects("a", Operator::In(values(&["x"])), &[]));
        assert!(!selects("a", Operator::In(values(&[""])), &[]), "S46: an empty value is not an absent key");
        assert!(selects("a", Operator::In(values(&[""])), &[("a", "")]));
        assert!(selects("a", Operator::NotIn(values(&["x"])), &[]), "S45: NotIn holds for an absent key");
        assert!(selects("a", Operator::NotIn(values(&["x"])), &[("a", "y")]));
        assert!(!selects("a", Operator::NotIn(values(&["x"])), &[("a", "x")]));
        assert!(selects("a", Operator::Exists, &[("a", "")]));
        assert!(!selects("a", Operator::Exists, &[("b", "")]));
        assert!(selects("a", Operator::DoesNotExist, &[("b", "")]));
        assert!(!selects("a", Operator::DoesNotExist, &[("a", "")]));
        assert!(!selects("a", Operator::Exists, &[("A", "")]), "S47: keys are case-sensitive");
    }

    #[test]
    fn prints_as_kubectl_does() {
        let selector = LabelSelector::new([
            Requirement { key: "app".into(), operator: Operator::In(values(&["web"])) },
            Requirement { key: "tier".into(), operator: Operator::In(values(&["b", "a"])) },
            Requirement { key: "debug".into(), operator: Operator::DoesNotExist },
            Requirement { key: "env".into(), operator: Operator::NotIn(values(&["dev"])) },
        ]);
        assert_eq!(selector.to_string(), "app=web,!debug,env!=dev,tier in (a,b)");
    }
}
