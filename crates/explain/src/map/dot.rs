//! The map for Graphviz.

use std::fmt::Write;

use super::Map;
use crate::page::escaped;

impl Map {
    /// The map in the language of Graphviz: `podwall map --format dot | dot -Tsvg`.
    pub fn to_dot(&self) -> String {
        let mut text = String::from("digraph podwall {\n  rankdir=LR;\n  node [shape=box];\n");
        let mut line = |words: String| writeln!(text, "{words}").expect("a String takes everything");
        for (index, namespace) in self.namespaces().into_iter().enumerate() {
            line(format!("  subgraph cluster_{index} {{\n    label={};", quoted(namespace)));
            for (number, end) in self.ends.iter().enumerate() {
                if end.namespace.as_deref() == Some(namespace) {
                    line(format!("    e{number} [label={}];", quoted(short(&end.name))));
                }
            }
            line("  }".to_owned());
        }
        for (number, end) in self.ends.iter().enumerate().filter(|(_, end)| end.namespace.is_none()) {
            line(format!("  e{number} [label={}, style=dashed];", quoted(&end.name)));
        }
        for (from, to, ports) in self.edges() {
            line(format!("  e{from} -> e{to} [label={}];", quoted(ports)));
        }
        for it in self.observed.iter().filter(|it| it.verdict != podwall_policy::FlowVerdict::Allowed) {
            let label = quoted(&format!("{} seen {} times", it.port, it.count));
            line(format!("  e{} -> e{} [label={label}, color=red, style=dashed];", it.from, it.to));
        }
        text.push_str("}\n");
        text
    }
}

/// Without the namespace.
pub(super) fn short(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, rest)| rest)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('\\', "\\\\").replace('"', "\\\""))
}
