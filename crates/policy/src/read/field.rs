//! One field of an object: its value, its path, and the checks that all readers share.

use std::sync::Arc;

use super::fault::{Fault, Reading, printable, suggestion};
use crate::selector::Labels;
use crate::tree::{Entry, Scalar, ScalarKind, Tree, Value};

/// A value with the path that leads to it.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    pub tree: &'a Tree,
    pub path: String,
}

impl<'a> Field<'a> {
    /// The object itself.
    pub fn root(tree: &'a Tree) -> Self {
        Self { tree, path: String::new() }
    }

    /// A fault of this field.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault {
            line: self.tree.line,
            field: Some(self.path.clone()).filter(|path| !path.is_empty()),
            message: message.into(),
            unreadable: false,
        }
    }

    /// A fault of a field in here, at the line of its name.
    pub fn fault_at(&self, entry: &Entry, message: impl Into<String>) -> Fault {
        Fault {
            line: entry.line.or(entry.value.line),
            field: Some(self.path_of(&entry.key.text)),
            message: message.into(),
            unreadable: false,
        }
    }

    /// The field of this name; none when it is absent or null, which mean the same everywhere (S29).
    pub fn get(&self, name: &str) -> Option<Field<'a>> {
        let entry = self.tree.get(name)?;
        (!entry.value.is_null()).then(|| Field { tree: &entry.value, path: self.path_of(name) })
    }

    /// The field of this name, or a fault.
    pub fn require(&self, name: &str) -> Reading<Field<'a>> {
        self.get(name).ok_or_else(|| {
            let entry = self.tree.get(name);
            let mut fault = self.fault(format!("{name} is missing"));
            fault.field = Some(self.path_of(name));
            fault.line = entry.and_then(|entry| entry.line).or(fault.line);
            fault
        })
    }

    /// The text of a field, if it is there.
    pub fn text(&self, name: &str) -> Reading<Option<&'a Arc<str>>> {
        self.get(name).map(|field| field.string()).transpose()
    }

    fn path_of(&self, name: &str) -> String {
        let name = printable(name);
        match (self.path.as_str(), name.contains(['.', '/', ' '])) {
            ("", _) => name,
            (path, true) => format!("{path}[{name}]"),
            (path, false) => format!("{path}.{name}"),
        }
    }

    /// The fields, all of which must have one of these names. Misspelt fields would silently widen or narrow a
    /// policy (S162).
    pub fn known(&self, names: &[&str]) -> Reading<()> {
        match self.mapping()?.iter().find(|entry| !names.contains(&&*entry.key.text)) {
            None => Ok(()),
            Some(entry) => Err(self.unknown(entry, names)),
        }
    }

    /// The fault of a field that has none of these names.
    pub fn unknown(&self, entry: &Entry, names: &[&str]) -> Fault {
        let hint = match suggestion(&entry.key.text, names) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("it may have {}", names.join(", ")),
        };
        self.fault_at(entry, format!("unknown field {}; {hint}", printable(&entry.key.text)))
    }

    /// The fields; their names are not checked.
    pub fn mapping(&self) -> Reading<&'a [Entry]> {
        match &self.tree.value {
            Value::Mapping(mapping) => Ok(&mapping.entries),
            _ => Err(self.wrong_type("a mapping (fields with names)")),
        }
    }

    /// The items of a list.
    pub fn list(&self) -> Reading<impl Iterator<Item = Field<'a>> + use<'a>> {
        let Value::Sequence(items) = &self.tree.value else {
            return Err(self.wrong_type("a list (items that begin with `- `)"));
        };
        let path = self.path.clone();
        Ok(items
            .iter()
            .enumerate()
            .map(move |(index, tree)| Field { tree, path: format!("{path}[{index}]") }))
    }

    /// Text.
    pub fn string(&self) -> Reading<&'a Arc<str>> {
        match &self.tree.value {
            Value::Scalar(Scalar { text, kind: ScalarKind::String }) => Ok(text),
            Value::Scalar(Scalar { kind: ScalarKind::Null, .. }) => {
                Err(self
                    .fault("must be a string, and nothing is given: write \"\" if it is meant to be empty"))
            }
            Value::Scalar(Scalar { text, .. }) => {
                let text = printable(text);
                Err(self.fault(format!("must be a string: put it in quotes, as \"{text}\"")))
            }
            _ => Err(self.wrong_type("a string")),
        }
    }

    /// A whole number between these two.
    pub fn number(&self, lowest: i64, highest: i64) -> Reading<i64> {
        match &self.tree.value {
            Value::Scalar(Scalar { kind: ScalarKind::Integer(number), .. }) => {
                if (lowest..=highest).contains(number) {
                    Ok(*number)
                } else {
                    Err(self.fault(format!("{number} is not between {lowest} and {highest}")))
                }
            }
            Value::Scalar(Scalar { text, kind: ScalarKind::Number }) => Err(self.fault(format!(
                "{} is not a plain whole number: write it as digits, without leading zeros",
                printable(text)
            ))),
            Value::Scalar(Scalar { text, kind: ScalarKind::String }) if text.parse::<i64>().is_ok() => {
                Err(self.fault(format!("must be a number: write {} without quotes", printable(text))))
            }
            _ => Err(self.wrong_type("a number")),
        }
    }

    /// A port number.
    pub fn port(&self) -> Reading<u16> {
        self.number(1, 65535).map(|number| number as u16)
    }

    /// True or false.
    pub fn boolean(&self) -> Reading<bool> {
        match &self.tree.value {
            Value::Scalar(Scalar { kind: ScalarKind::Boolean(value), .. }) => Ok(*value),
            _ => Err(self.wrong_type("true or false, without quotes")),
        }
    }

    /// Text by name, as labels are.
    pub fn string_map(&self) -> Reading<Labels> {
        self.mapping()?
            .iter()
            .map(|entry| {
                // A number as a key becomes text on its way to the API; `yes` would become "true".
                if !matches!(entry.key.kind, ScalarKind::String | ScalarKind::Integer(_)) {
                    let key = printable(&entry.key.text);
                    return Err(self.fault_at(
                        entry,
                        format!("the key must be a string: put it in quotes, as \"{key}\""),
                    ));
                }
                let value = Field { tree: &entry.value, path: self.path_of(&entry.key.text) };
                Ok((entry.key.text.clone(), value.string()?.clone()))
            })
            .collect()
    }

    /// The fault of a value of another type.
    pub fn wrong_type(&self, expected: &str) -> Fault {
        let found = match &self.tree.value {
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => "nothing".to_owned(),
                ScalarKind::Boolean(_) => format!("the boolean {}", scalar.text),
                ScalarKind::Integer(_) | ScalarKind::Number => {
                    format!("the number {}", printable(&scalar.text))
                }
                ScalarKind::String => format!("the string \"{}\"", printable(&scalar.text)),
            },
        };
        self.fault(format!("must be {expected}, not {found}"))
    }
}
