//! Text as a tree of values, each with its line: what the readers of objects work on.
//!
//! The tree knows nothing of YAML, so that objects of the API can be put into it without lines. Values stay as they
//! were written: what a field takes for a string or a number is decided by the field's reader.

mod json;
mod yaml;

use std::sync::Arc;

pub use json::Keep;
pub use yaml::{TreeError, parse};

/// How deep values may nest; a policy needs about ten. The bound keeps recursion over a tree off the stack's end.
pub const DEPTH_LIMIT: usize = 100;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The value.
    pub value: Value,
    /// Its line, if it was read from text; the first is 1.
    pub line: Option<usize>,
}

/// What stands at one place of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A single value, null included.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Tree>),
    /// Fields by name.
    Mapping(Mapping),
}

/// A single value with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// As it was written, without quotes and escapes.
    pub text: Arc<str>,
    /// What it is when nothing more is known of the field.
    pub kind: ScalarKind,
}

/// What a single value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarKind {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true` and `false`, and the `yes`, `no`, `on`, `off`, `y` and `n` that kubectl reads as such.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number of another shape, or one whose meaning depends on the reader, as `010` and `1_000`.
    Number,
    /// Text: in quotes, or nothing else.
    String,
}

/// Fields by name, in the order written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The fields; no two have the same key.
    pub entries: Vec<Entry>,
    /// What had to be left out of `entries`: repeated keys, keys that are no names.
    pub defects: Vec<Defect>,
}

/// One field of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Scalar,
    /// The line of the name.
    pub line: Option<usize>,
    /// Its value.
    pub value: Tree,
}

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The line of its name.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Tree {
    /// True for `null` and for nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { kind: ScalarKind::Null, .. }))
    }

    /// The field of this name, if this is a mapping that has it.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key.text == name)
    }

    /// Takes the value of a field out.
    pub fn remove(&mut self, name: &str) -> Option<Tree> {
        let Value::Mapping(mapping) = &mut self.value else { return None };
        let index = mapping.entries.iter().position(|entry| &*entry.key.text == name)?;
        Some(mapping.entries.swap_remove(index).value)
    }

    /// The text at the end of a path of fields, if a single value stands there and not null.
    pub fn text(&self, path: &[&str]) -> Option<&Arc<str>> {
        let end = path.iter().try_fold(self, |tree, name| Some(&tree.get(name)?.value))?;
        match &end.value {
            Value::Scalar(Scalar { text, kind }) if *kind != ScalarKind::Null => Some(text),
            _ => None,
        }
    }

    /// The fields; none when this is not a mapping.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(mapping) => &mapping.entries,
            _ => &[],
        }
    }

    /// The first defect of this value or of any below it.
    pub fn first_defect(&self) -> Option<&Defect> {
        match &self.value {
            Value::Scalar(_) => None,
            Value::Sequence(items) => items.iter().find_map(Tree::first_defect),
            Value::Mapping(mapping) => mapping
                .defects
                .first()
                .or_else(|| mapping.entries.iter().find_map(|entry| entry.value.first_defect())),
        }
    }
}

impl Scalar {
    /// Text that is meant as text.
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), kind: ScalarKind::String }
    }

    /// Text without quotes, for which its shape decides. Follows the YAML reader of kubectl where that differs from
    /// YAML 1.2 (`yes` is a boolean), except for `y` and `n`, which nobody means as booleans: there are namespaces
    /// called y.
    pub fn plain(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let kind = kind_of(&text);
        Self { text, kind }
    }
}

fn kind_of(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => ScalarKind::Boolean(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            ScalarKind::Boolean(false)
        }
        _ => number_kind(text).unwrap_or(ScalarKind::String),
    }
}

fn number_kind(text: &str) -> Option<ScalarKind> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(ScalarKind::Number);
    }
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            let value =
                i64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['-', '+']))?;
            return Some(ScalarKind::Integer(if text.starts_with('-') { -value } else { value }));
        }
    }
    let canonical = unsigned == "0" || !unsigned.starts_with('0');
    if canonical && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().map_or(ScalarKind::Number, ScalarKind::Integer));
    }
    is_decimal(unsigned).then_some(ScalarKind::Number)
}

/// Digits with at most one point, perhaps an exponent; underscores between digits do not count.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['-', '+']).unwrap_or(exponent));
    digits(whole)
        && digits(fraction)
        && mantissa.bytes().any(|byte| byte.is_ascii_digit())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_what_kubectl_takes_it_for() {
        use ScalarKind::{Boolean, Integer, Null, Number, String};
        let cases = [
            ("", Null),
            ("~", Null),
            ("null", Null),
            ("nULL", String),
            ("true", Boolean(true)),
            ("yes", Boolean(true)),
            ("off", Boolean(false)),
            ("no", Boolean(false)),
            ("n", String),
            ("y", String),
            ("yEs", String),
            ("80", Integer(80)),
            ("-1", Integer(-1)),
            ("+7", Integer(7)),
            ("0x50", Integer(80)),
            ("-0o17", Integer(-15)),
            ("0", Integer(0)),
            ("0x-5", String),
            ("010", Number),
            ("1_000", Number),
            ("99999999999999999999", Number),
            ("1.5", Number),
            (".5", Number),
            ("1e3", Number),
            ("-.inf", Number),
            (".nan", Number),
            (".", String),
            ("-", String),
            ("1e", String),
            ("10.0.0.1", String),
            ("10.0.0.0/8", String),
            ("2024-01-01T00:00:00Z", String),
            ("8a", String),
            ("::1", String),
        ];
        for (text, kind) in cases {
            assert_eq!(Scalar::plain(text).kind, kind, "{text:?}");
        }
    }
}
