//! YAML, and JSON as a part of it, into trees.

use std::collections::{HashMap, HashSet};
use std::fmt;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{DEPTH_LIMIT, Defect, Entry, Mapping, Scalar, ScalarKind, Tree, Value};

/// How many values aliases may copy in one file: ten lines of aliases of aliases can stand for a billion values.
const COPY_LIMIT: usize = 400_000;

/// Why a text is not a tree. It concerns the whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeError {
    /// The line; the first is 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for TreeError {}

/// Reads all documents of a text; one without content is null.
pub fn parse(bytes: &[u8]) -> Result<Vec<Tree>, TreeError> {
    let text = text_of(bytes)?;
    // The parser places what it misses at the end of the text on a line of its own.
    let last_line = text.lines().count().max(1);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| TreeError {
            line: error.marker().line().min(last_line),
            message: format!("the YAML cannot be parsed: {}", error.info()),
        })?;
        let line = span.start.line();
        builder.accept(event, line).map_err(|message| TreeError { line, message })?;
    }
    Ok(builder.documents)
}

/// The text without a byte order mark. Control characters are refused here, as YAML demands: the parser would take
/// a NUL for the end of the text and lose what follows.
fn text_of(bytes: &[u8]) -> Result<&str, TreeError> {
    let line_of = |offset: usize| 1 + bytes[..offset].iter().filter(|byte| **byte == b'\n').count();
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let message = format!(
            "the text is not UTF-8 (the byte 0x{:02x} does not belong there): save the file as UTF-8",
            bytes[offset]
        );
        TreeError { line: line_of(offset), message }
    })?;
    let control = |byte: &u8| matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127);
    if let Some(offset) = bytes.iter().position(control) {
        let message = format!("the control character 0x{:02x} is not allowed: remove it", bytes[offset]);
        return Err(TreeError { line: line_of(offset), message });
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[derive(Default)]
struct Builder {
    documents: Vec<Tree>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    copied: usize,
}

/// A list or mapping whose end has not been seen.
struct Open {
    line: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Tree>),
    Mapping { mapping: Mapping, merged: Vec<Tree>, key: Option<Node> },
}

/// A value that aliases may copy.
struct Anchored {
    tree: Tree,
    values: usize,
    depth: usize,
}

/// A complete value on its way into what is open.
struct Node {
    tree: Tree,
    /// A plain `<<`: as a key, the fields of its value are merged.
    merges: bool,
}

impl Builder {
    fn accept(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = scalar(&text, style, tag.as_deref())?;
                let merges = style == ScalarStyle::Plain && text == "<<";
                let tree = Tree { value: Value::Scalar(scalar), line: Some(line) };
                self.complete(Node { tree, merges }, anchor)?;
            }
            Event::Alias(anchor) => self.alias(anchor)?,
            Event::SequenceStart(anchor, tag) => {
                self.begin(line, anchor, tag.as_deref(), "seq", Content::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Mapping { mapping: Mapping::default(), merged: Vec::new(), key: None };
                self.begin(line, anchor, tag.as_deref(), "map", content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        line: usize,
        anchor: usize,
        tag: Option<&Tag>,
        expected: &str,
        content: Content,
    ) -> Result<(), String> {
        if let Some(tag) = tag.filter(|tag| !(tag.is_yaml_core_schema() && tag.suffix == expected)) {
            return Err(unknown_tag(tag));
        }
        if self.open.len() >= DEPTH_LIMIT {
            return Err(too_deep());
        }
        self.open.push(Open { line, anchor, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { mapping, merged, .. } => Value::Mapping(finish(mapping, merged)),
        };
        self.complete(Node { tree: Tree { value, line: Some(open.line) }, merges: false }, open.anchor)
    }

    fn alias(&mut self, anchor: usize) -> Result<(), String> {
        let anchored = self
            .anchors
            .get(&anchor)
            .ok_or("the alias stands for nothing, or for a value that contains it")?;
        if self.open.len() + anchored.depth > DEPTH_LIMIT {
            return Err(too_deep());
        }
        let (tree, values) = (anchored.tree.clone(), anchored.values);
        self.count_copies(values)?;
        self.complete(Node { tree, merges: false }, 0)
    }

    fn count_copies(&mut self, values: usize) -> Result<(), String> {
        self.copied += values;
        if self.copied > COPY_LIMIT {
            return Err(format!("the aliases of this file copy more than {COPY_LIMIT} values"));
        }
        Ok(())
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        if anchor != 0 {
            let (values, depth) = measure(&node.tree);
            self.count_copies(values)?;
            self.anchors.insert(anchor, Anchored { tree: node.tree.clone(), values, depth });
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.documents.push(node.tree),
            Some(Content::Sequence(items)) => items.push(node.tree),
            Some(Content::Mapping { mapping, merged, key }) => match key.take() {
                None => *key = Some(node),
                Some(name) if name.merges => merged.push(node.tree),
                Some(name) => match name.tree.value {
                    Value::Scalar(key) => {
                        mapping.entries.push(Entry { key, line: name.tree.line, value: node.tree });
                    }
                    _ => mapping.defects.push(Defect {
                        line: name.tree.line,
                        message: "a list or a mapping cannot be the name of a field".to_owned(),
                    }),
                },
            },
        }
        Ok(())
    }
}

/// The number of values and the depth of a tree.
fn measure(tree: &Tree) -> (usize, usize) {
    let add = |(values, depth): (usize, usize), tree: &Tree| {
        let inner = measure(tree);
        (values + inner.0, depth.max(inner.1))
    };
    let (values, depth) = match &tree.value {
        Value::Scalar(_) => return (1, 0),
        Value::Sequence(items) => items.iter().fold((0, 0), add),
        Value::Mapping(mapping) => mapping.entries.iter().map(|entry| &entry.value).fold((0, 0), add),
    };
    (values + 1, depth + 1)
}

/// Takes repeated keys out, then adds what `<<` merges where no key of the mapping itself says otherwise.
pub(super) fn finish(mut mapping: Mapping, merged: Vec<Tree>) -> Mapping {
    let mut first_lines: HashMap<_, Option<usize>> = HashMap::with_capacity(mapping.entries.len());
    let defects = &mut mapping.defects;
    mapping.entries.retain(|entry| match first_lines.get(&entry.key.text) {
        None => first_lines.insert(entry.key.text.clone(), entry.line).is_none(),
        Some(first) => {
            let first = first.map_or(String::new(), |line| format!(" (first on line {line})"));
            let name = entry.key.text.chars().take(60).collect::<String>().escape_debug().to_string();
            let message = format!("the field {name} is given twice{first}: keep one of the two");
            defects.push(Defect { line: entry.line, message });
            false
        }
    });
    let mut names: HashSet<_> = first_lines.into_keys().collect();
    let sources = merged.into_iter().flat_map(|tree| match tree.value {
        Value::Sequence(items) => items,
        value => vec![Tree { value, line: tree.line }],
    });
    for source in sources {
        match source.value {
            Value::Mapping(other) => {
                mapping.defects.extend(other.defects);
                mapping
                    .entries
                    .extend(other.entries.into_iter().filter(|entry| names.insert(entry.key.text.clone())));
            }
            _ => mapping.defects.push(Defect {
                line: source.line,
                message: "`<<` merges mappings, and this is none".to_owned(),
            }),
        }
    }
    mapping
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Scalar, String> {
    let plain = Scalar::plain(text);
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { plain } else { Scalar::string(text) });
    };
    // A lone `!` says "text" as quotes do.
    if matches!((tag.handle.as_str(), tag.suffix.as_str()), ("", "!") | ("!", "")) {
        return Ok(Scalar::string(text));
    }
    let fits = tag.is_yaml_core_schema()
        && match tag.suffix.as_str() {
            "str" => return Ok(Scalar::string(text)),
            "null" => plain.kind == ScalarKind::Null,
            "bool" => matches!(plain.kind, ScalarKind::Boolean(_)),
            "int" => matches!(plain.kind, ScalarKind::Integer(_)),
            "float" => matches!(plain.kind, ScalarKind::Integer(_) | ScalarKind::Number),
            _ => false,
        };
    if fits { Ok(plain) } else { Err(unknown_tag(tag)) }
}

fn unknown_tag(tag: &Tag) -> String {
    let tag = tag.to_string().chars().take(60).collect::<String>();
    format!("the tag {} is not one that can be used here: remove it", tag.escape_debug())
}

fn too_deep() -> String {
    format!("values are nested more than {DEPTH_LIMIT} deep")
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
