//! Standard output, and the forms that a result is printed in.

use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::Value as Json;

/// Prints. Whoever reads may stop at any time, as `head` does.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// How a command prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For people, and all of it: names and rules that are too many for most
    Wide,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
}

/// How the result is printed. Commands that have forms of their own besides list all of theirs.
#[derive(Debug, Args)]
pub struct OutputOptions {
    /// How the result is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

impl OutputOptions {
    /// The result in the form that was asked for: `text` is told whether all of it is wanted.
    pub fn write(&self, text: impl FnOnce(bool) -> String, json: impl FnOnce() -> Json) -> String {
        match (self.json, self.output) {
            (true, _) | (_, Format::Json) => format!("{}\n", json()),
            (false, Format::Yaml) => yaml(&json()),
            (false, format) => text(format == Format::Wide),
        }
    }
}

/// What a library wrote as JSON, as a document of YAML.
pub fn yaml_of(json: &str) -> String {
    yaml(&parsed(json))
}

/// What a library wrote as JSON.
pub fn parsed(json: &str) -> Json {
    serde_json::from_str(json).expect("it was written as JSON")
}

/// A value as a document of YAML.
fn yaml(value: &Json) -> String {
    let mut text = String::new();
    write_value(&mut text, value, 0);
    // What begins on the line of its key is preceded by a blank.
    format!("{}\n", text.trim_start())
}

fn write_value(text: &mut String, value: &Json, indent: usize) {
    match value {
        Json::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                begin_line(text, indent);
                text.push_str(&format!("{}:", scalar(&Json::from(key.as_str()))));
                // A list may stand as far to the left as its key.
                let deeper = if value.is_array() { indent } else { indent + 2 };
                write_value(text, value, deeper);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                begin_line(text, indent);
                text.push('-');
                let mut below = String::new();
                write_value(&mut below, item, indent + 2);
                text.push(' ');
                text.push_str(below.trim_start());
            }
        }
        other => text.push_str(&format!(" {}", scalar(other))),
    }
}

fn begin_line(text: &mut String, indent: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', indent));
}

/// Text is quoted, as JSON does it, where it might be read as anything else.
fn scalar(value: &Json) -> String {
    let Json::String(text) = value else { return value.to_string() };
    let begins_plainly = text.starts_with(|it: char| it.is_ascii_alphabetic());
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_/.".contains(it);
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    match begins_plainly && text.chars().all(is_plain) && !is_word {
        true => text.clone(),
        false => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_is_what_kubectl_would_print() {
        let value = json!({
            "a": 1, "b": [], "c": {}, "d": ["x", {"y": [true, null], "z": "no"}, ["e", "f"]], "g": {"h": "two words"},
            "1": "10", "i": "a\nb", "j": "",
        });
        assert_eq!(
            yaml(&value),
            "\
\"1\": \"10\"
a: 1
b: []
c: {}
d:
- x
- \"y\":
  - true
  - null
  z: \"no\"
- - e
  - f
g:
  h: \"two words\"
i: \"a\\nb\"
j: \"\"
"
        );
    }
}
