//! A step's results for people: who reaches whom.
//!
//! ```text
//!                default/api          default/web
//!                80   8080  api:80    80   8080
//! default/web    ✓    ✗     ✓         -    -
//! node/node-1    ✓    ✓               ✓    ✓
//! ```

use std::collections::{BTreeMap, BTreeSet};

use anstyle::{AnsiColor, Style};
use podwall_policy::{ObjectKey, Protocol, Transport};

use crate::attempt::Outcome;
use crate::plan::Via;
use crate::report::ProbeResult;
use crate::scene::Party;

/// Tables with more columns or rows than this are listed instead of drawn: they take several blocks of a screen's
/// width each, and beyond that nobody finds their way.
const COLUMNS_MAX: usize = 120;
const ROWS_MAX: usize = 60;
/// How many names a list shows before it says how many more there are.
const NAMES_MAX: usize = 8;
const GAP: usize = 2;

/// What explains the signs.
pub const LEGEND: &str = "✓ answered   ○ let through, nobody listens   ✗ no answer: denied   ! differs from the specification   \
     ? could not be asked   ✓/✗ IPv4/IPv6";

/// How to draw.
#[derive(Debug, Clone, Copy)]
pub struct Drawing {
    /// With colours; the signs say the same without.
    pub colour: bool,
    /// How wide a line may be.
    pub width: usize,
}

/// Where a column leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Column {
    to: Party,
    service: Option<ObjectKey>,
    transport: Transport,
}

/// What became of the probes of one cell: IPv4, then IPv6.
#[derive(Debug, Clone, Default)]
struct Cell<'a> {
    ipv4: Option<&'a ProbeResult>,
    ipv6: Option<&'a ProbeResult>,
}

struct Table<'a> {
    rows: Vec<&'a Party>,
    columns: BTreeSet<Column>,
    cells: BTreeMap<(&'a Party, Column), Cell<'a>>,
}

/// Draws the results of a step.
pub fn draw(results: &[ProbeResult], drawing: Drawing) -> String {
    let table = Table::new(results);
    match (table.columns.len(), table.rows.len()) {
        (0, _) => "nothing to probe\n".to_owned(),
        (1..=COLUMNS_MAX, 1..=ROWS_MAX) => table.draw(drawing),
        _ => table.list(drawing),
    }
}

impl<'a> Table<'a> {
    fn new(results: &'a [ProbeResult]) -> Self {
        let mut table = Self { rows: Vec::new(), columns: BTreeSet::new(), cells: BTreeMap::new() };
        let mut rows = BTreeSet::new();
        for result in results {
            let probe = &result.probe;
            let service = match &probe.via {
                Via::Direct => None,
                Via::Service { service, .. } => Some(service.clone()),
            };
            let column = Column { to: probe.to.clone(), service, transport: probe.transport };
            if rows.insert(&probe.from) {
                table.rows.push(&probe.from);
            }
            table.columns.insert(column.clone());
            let cell = table.cells.entry((&probe.from, column)).or_default();
            let side = if probe.address.is_ipv4() { &mut cell.ipv4 } else { &mut cell.ipv6 };
            // A host with several addresses of a family shows the worst of them.
            if side.is_none_or(|other| rank(result) > rank(other)) {
                *side = Some(result);
            }
        }
        table
    }

    /// Blocks of destinations, as many side by side as fit.
    fn draw(&self, drawing: Drawing) -> String {
        let label_width = self.rows.iter().map(|row| short_name(row).chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        let mut block: Vec<(&Party, Vec<(&Column, usize)>)> = Vec::new();
        let mut used = label_width;
        for (to, columns) in self.destinations() {
            let width: usize = columns.iter().map(|(_, width)| width + GAP).sum();
            if !block.is_empty() && used + width > drawing.width {
                self.draw_block(&mut text, &block, label_width, drawing);
                block.clear();
                used = label_width;
            }
            used += width;
            block.push((to, columns));
        }
        self.draw_block(&mut text, &block, label_width, drawing);
        text
    }

    /// The columns of each destination with their widths; together at least as wide as its name.
    fn destinations(&self) -> Vec<(&Party, Vec<(&Column, usize)>)> {
        let mut found: Vec<(&Party, Vec<(&Column, usize)>)> = Vec::new();
        for column in &self.columns {
            let width = column_name(column).chars().count().max(3);
            match found.last_mut() {
                Some((to, columns)) if *to == &column.to => columns.push((column, width)),
                _ => found.push((&column.to, vec![(column, width)])),
            }
        }
        for (to, columns) in &mut found {
            let all: usize = columns.iter().map(|(_, width)| width + GAP).sum::<usize>() - GAP;
            if let Some((_, last)) = columns.last_mut() {
                *last += short_name(to).chars().count().saturating_sub(all);
            }
        }
        found
    }

    fn draw_block(
        &self,
        text: &mut String,
        block: &[(&Party, Vec<(&Column, usize)>)],
        label_width: usize,
        drawing: Drawing,
    ) {
        let bold = Style::new().bold();
        let mut names = " ".repeat(label_width);
        let mut ports = names.clone();
        for (to, columns) in block {
            let width: usize = columns.iter().map(|(_, width)| width + GAP).sum::<usize>() - GAP;
            push_cell(&mut names, &short_name(to), width, bold, drawing);
            for (column, width) in columns {
                push_cell(&mut ports, &column_name(column), *width, Style::new().dimmed(), drawing);
            }
        }
        push_line(text, &names);
        push_line(text, &ports);
        let columns = || block.iter().flat_map(|(_, columns)| columns);
        let concerned =
            |row: &&&Party| columns().any(|(column, _)| self.cells.contains_key(&(**row, (*column).clone())));
        for row in self.rows.iter().filter(concerned) {
            let mut line = String::new();
            push_styled(&mut line, &short_name(row), label_width, bold, drawing);
            for (column, width) in columns() {
                let (sign, style) = match self.cells.get(&(*row, (*column).clone())) {
                    Some(cell) => cell.sign(),
                    None if **row == column.to => ("-".to_owned(), Style::new().dimmed()),
                    None => (String::new(), Style::new()),
                };
                push_cell(&mut line, &sign, *width, style, drawing);
            }
            push_line(text, &line);
        }
        text.push('\n');
    }

    /// For each destination, who gets which signs: what a drawing too large to read is replaced by.
    fn list(&self, drawing: Drawing) -> String {
        let mut text = String::new();
        for (to, columns) in self.destinations() {
            // Sources that see the same signs, by those signs.
            let mut alike: BTreeMap<Vec<(String, String)>, Vec<&Party>> = BTreeMap::new();
            for row in &self.rows {
                let mut by_sign: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for (column, _) in &columns {
                    if let Some(cell) = self.cells.get(&(*row, (*column).clone())) {
                        by_sign.entry(cell.sign().0).or_default().push(column_name(column));
                    }
                }
                let signs: Vec<_> =
                    by_sign.into_iter().map(|(sign, ports)| (sign, ports.join(" "))).collect();
                if !signs.is_empty() {
                    alike.entry(signs).or_default().push(row);
                }
            }
            let bold = Style::new().bold();
            push_styled(&mut text, &short_name(to), 0, bold, drawing);
            text.push('\n');
            for (signs, sources) in alike {
                let signs: Vec<String> =
                    signs.iter().map(|(sign, ports)| format!("{sign} {ports}")).collect();
                let sources: Vec<String> = sources.into_iter().map(short_name).collect();
                push_line(&mut text, &format!("  {}  from {}", signs.join("  "), shortened(&sources)));
            }
        }
        text
    }
}

impl Cell<'_> {
    fn sign(&self) -> (String, Style) {
        let signs: Vec<String> = [self.ipv4, self.ipv6].into_iter().flatten().map(sign).collect();
        let worst = [self.ipv4, self.ipv6].into_iter().flatten().max_by_key(|result| rank(result));
        let text = match signs.as_slice() {
            [one, other] if one != other => format!("{one}/{other}"),
            _ => signs.first().cloned().unwrap_or_default(),
        };
        (text, worst.map(style).unwrap_or_default())
    }
}

fn sign(result: &ProbeResult) -> String {
    let sign = match result.outcome {
        Outcome::Answered => "✓",
        Outcome::Refused => "○",
        Outcome::Timeout => "✗",
        Outcome::Error(_) => "?",
    };
    format!("{sign}{}", if result.is_mismatch() { "!" } else { "" })
}

/// What to show when one place must stand for several: the larger.
fn rank(result: &ProbeResult) -> u8 {
    match (&result.outcome, result.is_mismatch()) {
        (_, true) => 4,
        (Outcome::Error(_), _) => 3,
        (Outcome::Timeout, _) => 2,
        (Outcome::Refused, _) => 1,
        (Outcome::Answered, _) => 0,
    }
}

fn style(result: &ProbeResult) -> Style {
    match rank(result) {
        4 => {
            Style::new().bold().fg_color(Some(AnsiColor::White.into())).bg_color(Some(AnsiColor::Red.into()))
        }
        3 => AnsiColor::Yellow.on_default(),
        2 => AnsiColor::Red.on_default(),
        _ => AnsiColor::Green.on_default(),
    }
}

/// Without the `pod/` that most names would begin with.
pub fn short_name(party: &Party) -> String {
    match party {
        Party::Pod(key) => key.to_string(),
        _ => party.to_string(),
    }
}

/// The port, with what is unusual about it: `80`, `53/UDP`, `ICMP`, `api:80`.
fn column_name(column: &Column) -> String {
    let port = match column.transport {
        Transport::Port(Protocol::Tcp, port) => port.to_string(),
        Transport::Port(protocol, port) => format!("{port}/{protocol}"),
        Transport::Other => "ICMP".to_owned(),
    };
    match &column.service {
        Some(service) => format!("{}:{port}", service.name),
        None => port,
    }
}

/// The first names, and how many more there are.
pub fn shortened(names: &[String]) -> String {
    match names.len().checked_sub(NAMES_MAX) {
        None | Some(0 | 1) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..NAMES_MAX].join(", ")),
    }
}

fn push_cell(line: &mut String, text: &str, width: usize, style: Style, drawing: Drawing) {
    line.push_str(&" ".repeat(GAP));
    push_styled(line, text, width, style, drawing);
}

/// Pads by characters, and outside of the colours: the codes of colours have no width.
fn push_styled(line: &mut String, text: &str, width: usize, style: Style, drawing: Drawing) {
    if drawing.colour && !text.is_empty() {
        line.push_str(&format!("{style}{text}{style:#}"));
    } else {
        line.push_str(text);
    }
    line.push_str(&" ".repeat(width.saturating_sub(text.chars().count())));
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::probe_result;

    const PLAIN: Drawing = Drawing { colour: false, width: 80 };

    #[test]
    fn columns_stand_under_their_headings() {
        let results = [
            probe_result("a", "web", 80, Outcome::Answered, true),
            probe_result("a", "web", 8080, Outcome::Timeout, false),
            probe_result("a-long-name", "web", 80, Outcome::Refused, true),
            probe_result("web", "a", 80, Outcome::Answered, false),
        ];
        let expected = [
            "                     default/a  default/web",
            "                     80         80   8080",
            "default/a            -          ✓    ✗",
            "default/a-long-name             ○",
            "default/web          ✓!         -    -",
            "\n",
        ];
        assert_eq!(draw(&results, PLAIN), expected.join("\n"));
    }

    #[test]
    fn families_are_told_apart_only_where_they_differ() {
        let ipv4 = probe_result("a", "web", 80, Outcome::Answered, true);
        let mut ipv6 = probe_result("a", "web", 80, Outcome::Timeout, false);
        ipv6.probe.address = "fd00::2".parse().unwrap();
        assert!(draw(&[ipv4.clone(), ipv6.clone()], PLAIN).contains("✓/✗"));
        ipv6.outcome = Outcome::Answered;
        ipv6.probe.decision = ipv4.probe.decision.clone();
        assert!(!draw(&[ipv4, ipv6], PLAIN).contains("✓/"));
    }

    #[test]
    fn colours_do_not_move_columns() {
        let results = [probe_result("a", "web", 80, Outcome::Answered, true)];
        let coloured = draw(&results, Drawing { colour: true, width: 80 });
        let mut plain = String::new();
        let mut in_code = false;
        for c in coloured.chars() {
            match c {
                '\u{1b}' => in_code = true,
                'm' if in_code => in_code = false,
                c if !in_code => plain.push(c),
                _ => {}
            }
        }
        assert_eq!(plain, draw(&results, PLAIN));
    }

    #[test]
    fn too_many_columns_become_a_list() {
        let results: Vec<_> =
            (1..=121).map(|port| probe_result("a", "web", port, Outcome::Timeout, false)).collect();
        let text = draw(&results, PLAIN);
        assert!(text.starts_with("default/web\n  ✗ 1 2 3"), "{text}");
        assert!(text.ends_with("121  from default/a\n"), "{text}");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..12).map(|index| format!("p{index}")).collect();
        assert_eq!(shortened(&names[..9]), "p0, p1, p2, p3, p4, p5, p6, p7, p8");
        assert_eq!(shortened(&names), "p0, p1, p2, p3, p4, p5, p6, p7 and 4 more");
    }
}
