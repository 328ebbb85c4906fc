//! The map as a picture.

use std::fmt::Write;

use podwall_policy::FlowVerdict;

use super::Map;
use super::dot::short;
use super::layout::{Layout, ROW, TITLE, WIDTH};
use crate::page::escaped;

/// What a row has room for.
const NAME_CHARACTERS: usize = 30;
const STYLE: &str = include_str!("picture.css");

impl Map {
    /// The map as one picture, with every edge.
    pub fn to_svg(&self) -> String {
        let layout = Layout::of(self);
        let mut edges = String::new();
        for (from, to, ports) in self.edges() {
            edge(&mut edges, &layout, from, to, "allowed", ports);
        }
        for it in &self.observed {
            let class = match it.verdict {
                FlowVerdict::Allowed => "observed",
                FlowVerdict::Denied => "denied",
                FlowVerdict::Audit => "audit",
            };
            edge(&mut edges, &layout, it.from, it.to, class, &format!("{} seen {} times", it.port, it.count));
        }
        self.picture(&layout, &edges, &format!("<style>{STYLE}</style>"))
    }

    /// The boxes, with `edges` above them.
    pub(super) fn picture(&self, layout: &Layout, edges: &str, style: &str) -> String {
        let (width, height) = (layout.width, layout.height);
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"map\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 \
             {width} {height}\">{style}\n"
        );
        for it in &layout.boxes {
            let (x, y, height) = (it.x, it.y, it.height());
            let title = xml(it.title);
            writeln!(
                text,
                "<g class=\"namespace\" data-namespace=\"{title}\"><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" \
                 height=\"{height}\" rx=\"6\"/><text class=\"title\" x=\"{}\" y=\"{}\">{title}</text></g>",
                x + 10,
                y + TITLE - 9
            )
            .expect("a String takes everything");
            it.ends.iter().for_each(|end| self.row(&mut text, layout, *end));
        }
        text.push_str("<g id=\"edges\">");
        text.push_str(edges);
        text.push_str("</g></svg>\n");
        text
    }

    fn row(&self, text: &mut String, layout: &Layout, index: usize) {
        let (end, (x, y)) = (&self.ends[index], layout.places[index]);
        let group = &self.groups[end.group];
        let name = match end.namespace {
            Some(_) => short(&end.name),
            None => &end.name,
        };
        let shown: String = match name.chars().count() > NAME_CHARACTERS {
            true => name.chars().take(NAME_CHARACTERS - 1).chain(['…']).collect(),
            false => name.to_owned(),
        };
        let mark = |isolated: bool, x: usize| {
            let class = if isolated { "closed" } else { "open" };
            format!("<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"4\" height=\"{}\"/>", y + 2, ROW - 4)
        };
        let marks = match end.namespace {
            Some(_) => mark(group.ingress.is_some(), x + 3) + &mark(group.egress.is_some(), x + WIDTH - 7),
            None => String::new(),
        };
        writeln!(
            text,
            "<g class=\"end\" data-end=\"{index}\"><title>{}</title><rect class=\"row\" x=\"{x}\" y=\"{y}\" \
             width=\"{WIDTH}\" height=\"{ROW}\"/>{marks}<text x=\"{}\" y=\"{}\">{}</text></g>",
            xml(&end.name),
            x + 12,
            y + ROW - 6,
            xml(&shown)
        )
        .expect("a String takes everything");
    }
}

/// From the right of one row to the left of another, or within a column from right to right. The page draws the same.
fn edge(text: &mut String, layout: &Layout, from: usize, to: usize, class: &str, title: &str) {
    let ((from_x, from_y), (to_x, to_y)) = (layout.places[from], layout.places[to]);
    let (x, y, to_y) = (from_x + WIDTH, from_y + ROW / 2, to_y + ROW / 2);
    let (near, to_x) = match from_x == to_x {
        true => (x as i64 + 60, x),
        false => (to_x as i64 - 60, to_x),
    };
    writeln!(
        text,
        "<path class=\"edge {class}\" d=\"M{x} {y}C{} {y} {near} {to_y} {to_x} {to_y}\"><title>{}</title></path>",
        x + 60,
        xml(title)
    )
    .expect("a String takes everything");
}

/// Text and attributes of XML.
pub(super) fn xml(text: &str) -> String {
    escaped(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
