//! JSON, or whatever else speaks serde, into trees without lines. What is not kept is skipped while it is parsed and
//! never built: of a pod, that is nine tenths.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::yaml::finish;
use super::{DEPTH_LIMIT, Entry, Mapping, Scalar, ScalarKind, Tree, Value};

/// What of a value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    All,
    /// Of a mapping these fields, each as it says; of a list, the same of every item.
    Fields(&'static [(&'static str, Keep)]),
}

impl Keep {
    /// Reads a value and keeps this of it.
    ///
    /// # Errors
    ///
    /// What the deserializer says, and values that nest deeper than [`DEPTH_LIMIT`].
    pub fn read<'de, D: Deserializer<'de>>(&self, deserializer: D) -> Result<Tree, D::Error> {
        Level { keep: *self, depth: 0 }.deserialize(deserializer)
    }
}

/// What is kept at one depth.
#[derive(Debug, Clone, Copy)]
struct Level {
    keep: Keep,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        if self.depth > DEPTH_LIMIT {
            return Err(D::Error::custom(format_args!("values are nested more than {DEPTH_LIMIT} deep")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(scalar("null", ScalarKind::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(scalar(if value { "true" } else { "false" }, ScalarKind::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(scalar(&value.to_string(), ScalarKind::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(scalar(&value.to_string(), i64::try_from(value).map_or(ScalarKind::Number, ScalarKind::Integer)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(scalar(&value.to_string(), ScalarKind::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(scalar(text, ScalarKind::String))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let item = Level { keep: self.keep, depth: self.depth + 1 };
        let mut items = Vec::new();
        while let Some(tree) = list.next_element_seed(item)? {
            items.push(tree);
        }
        Ok(Tree { value: Value::Sequence(items), line: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Tree, A::Error> {
        let mut mapping = Mapping::default();
        while let Some(found) = fields.next_key_seed(Name(self.keep))? {
            let Some((name, keep)) = found else {
                fields.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = fields.next_value_seed(Level { keep, depth: self.depth + 1 })?;
            mapping.entries.push(Entry { key: Scalar::string(name), line: None, value });
        }
        if repeats(&mapping.entries) {
            mapping = finish(mapping, Vec::new());
        }
        Ok(Tree { value: Value::Mapping(mapping), line: None })
    }
}

fn scalar(text: &str, kind: ScalarKind) -> Tree {
    Tree { value: Value::Scalar(Scalar { text: text.into(), kind }), line: None }
}

/// True when two fields have one name. Most mappings are small, and then no table is needed.
fn repeats(entries: &[Entry]) -> bool {
    if entries.len() <= 8 {
        let repeated = |(index, entry): (usize, &Entry)| {
            entries[..index].iter().any(|other| other.key.text == entry.key.text)
        };
        return entries.iter().enumerate().any(repeated);
    }
    let mut names = HashSet::with_capacity(entries.len());
    !entries.iter().all(|entry| names.insert(&entry.key.text))
}

/// The name of a field and what is kept of its value; `None` when it is skipped.
struct Name(Keep);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<(Arc<str>, Keep)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Option<(Arc<str>, Keep)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(match self.0 {
            Keep::All => Some((name.into(), Keep::All)),
            Keep::Fields(fields) => {
                fields.iter().find(|(field, _)| *field == name).map(|(field, keep)| ((*field).into(), *keep))
            }
        })
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
