//! Places inside a policy.

use std::fmt;

use podwall_policy::{NetworkPolicy, Rule};
use serde::{Serialize, Serializer};

/// Which way a connection goes, seen from the pod that a policy selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// What the pod sends.
    Egress,
    /// What the pod is sent.
    Ingress,
}

impl Direction {
    /// Both, in the order in which a connection meets them.
    pub const BOTH: [Direction; 2] = [Direction::Egress, Direction::Ingress];

    /// `egress` or `ingress`, the field of the rules.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Egress => "egress",
            Direction::Ingress => "ingress",
        }
    }

    /// As `policyTypes` names it.
    pub fn policy_type(self) -> &'static str {
        match self {
            Direction::Egress => "Egress",
            Direction::Ingress => "Ingress",
        }
    }

    /// The field of a rule that names the peers.
    pub fn peers(self) -> &'static str {
        match self {
            Direction::Egress => "to",
            Direction::Ingress => "from",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Direction::Egress => Direction::Ingress,
            Direction::Ingress => Direction::Egress,
        }
    }

    /// The rules of a policy in this direction; `None` when it does not isolate in it.
    pub fn rules(self, policy: &NetworkPolicy) -> Option<&[Rule]> {
        match self {
            Direction::Egress => policy.egress.as_deref(),
            Direction::Ingress => policy.ingress.as_deref(),
        }
    }
}

/// The path of a field, as `spec.ingress[0].from[1]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Step>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Into a field.
    Key(String),
    /// Into an item of a list.
    Index(usize),
}

impl FieldPath {
    /// The path of these keys.
    pub fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// A rule of a policy.
    pub fn rule(direction: Direction, rule: usize) -> Self {
        Self::of(&["spec", direction.name()]).item(rule)
    }

    /// A peer of a rule.
    pub fn peer(direction: Direction, rule: usize, peer: usize) -> Self {
        Self::rule(direction, rule).key(direction.peers()).item(peer)
    }

    /// A port of a rule.
    pub fn port(direction: Direction, rule: usize, port: usize) -> Self {
        Self::rule(direction, rule).key("ports").item(port)
    }

    /// The field `key` in here.
    pub fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// The item `index` in here.
    pub fn item(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }

    /// The steps, from the object inwards.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if key.contains(['.', '/', ' ']) => write!(f, "[{key}]")?,
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
