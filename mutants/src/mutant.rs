//! A change of the source, as cargo-mutants lists it.

use serde::Deserialize;

/// One change.
#[derive(Debug, Deserialize)]
pub struct Mutant {
    /// Its place in the list, from 1; 0 is no mutant.
    #[serde(default)]
    pub id: u32,
    /// File, place, change and function.
    name: String,
    /// The file, from the root of the workspace.
    pub file: String,
    /// What kind of change.
    pub genre: Genre,
    /// What stands there instead.
    pub replacement: String,
    function: Option<Function>,
    span: Extent,
}

/// What kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Genre {
    /// A function gives a value at once.
    FnValue,
    /// Another operator.
    BinaryOperator,
    /// No operator.
    UnaryOperator,
    /// An arm is deleted, where others catch what it caught.
    MatchArm,
    /// A guard is true or false.
    MatchArmGuard,
    /// A field of a struct expression is left to its base.
    StructField,
}

#[derive(Debug, Deserialize)]
struct Function {
    return_type: String,
}

#[derive(Debug, Deserialize)]
struct Extent {
    start: Place,
}

#[derive(Debug, Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

impl Mutant {
    /// Line and column, both from 1, of what is changed.
    pub fn start(&self) -> (usize, usize) {
        (self.span.start.line, self.span.start.column)
    }

    /// Whether its function returns `impl Trait`.
    pub fn returns_opaque(&self) -> bool {
        self.function.as_ref().is_some_and(|function| function.return_type.contains("impl "))
    }

    /// File, change and function, without the line, which moves: `crates/policy/src/model.rs: delete ! in f`.
    pub fn title(&self) -> String {
        let change = self.name.splitn(4, ':').last().unwrap_or_default().trim_start();
        format!("{}: {change}", self.file)
    }

    /// The line, for who looks for it.
    pub fn line(&self) -> usize {
        self.span.start.line
    }
}
