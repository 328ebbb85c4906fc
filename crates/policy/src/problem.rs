//! What is wrong with an object: data, not an error. The rest of the input keeps its meaning.

use std::fmt;

/// Something that was not understood, where it stands, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named to us, or `-` for standard input.
    pub file: Option<String>,
    /// The line; the first is 1.
    pub line: Option<usize>,
    /// The object, as `NetworkPolicy default/web`.
    pub object: Option<String>,
    /// The path of the field, as `spec.ingress[0].from[1].ipBlock.cidr`.
    pub field: Option<String>,
    /// What is wrong, what becomes of it, and what to do.
    pub message: String,
    /// How far the problem reaches.
    pub consequence: Consequence,
}

/// How far a problem reaches, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consequence {
    /// An object was passed over or replaced; nothing that policy needs was lost.
    Ignored,
    /// A part of a policy matches nothing; the policy isolates and its other parts allow.
    Closed,
    /// The whole object was refused. A refused policy closes the pods it may select, unless an earlier version
    /// of it is known and stays in force.
    Refused,
    /// The text cannot be read as objects at all.
    Unreadable,
}

/// `FILE:LINE: OBJECT: FIELD: MESSAGE`, without what is not known.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            match self.line {
                Some(line) => write!(f, "{line}: ")?,
                None => f.write_str(" ")?,
            }
        }
        for part in [&self.object, &self.field].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.message)
    }
}
