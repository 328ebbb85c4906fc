//! What was found about a node, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in one word that stays.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was seen.
    pub seen: String,
    /// What that means for policy; empty when all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub means: String,
    /// What to do about it; empty when nothing is to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub todo: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Worth knowing; policy holds all the same.
    Note,
    /// Policy may not hold.
    Doubt,
}

impl Finding {
    /// As it should be.
    pub fn ok(name: &'static str, seen: impl Into<String>) -> Self {
        Self { name, state: State::Ok, seen: seen.into(), means: String::new(), todo: String::new() }
    }

    /// Worth knowing.
    pub fn note(name: &'static str, seen: impl Into<String>, means: &str, todo: &str) -> Self {
        Self { name, state: State::Note, seen: seen.into(), means: means.into(), todo: todo.into() }
    }

    /// Policy may not hold.
    pub fn doubt(name: &'static str, seen: impl Into<String>, means: &str, todo: &str) -> Self {
        Self { state: State::Doubt, ..Self::note(name, seen, means, todo) }
    }
}

/// True when policy may not hold.
pub fn is_doubtful(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.state == State::Doubt)
}

/// The findings as text: a line for each, and below it what it means and what to do.
pub fn to_text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { name, state, seen, means, todo } in findings {
        let state = match state {
            State::Ok => "ok   ",
            State::Note => "note ",
            State::Doubt => "DOUBT",
        };
        line(&mut text, &format!("{state}  {name:width$}  {seen}"));
        for (title, what) in [("means", means), ("do", todo)] {
            if !what.is_empty() {
                line(&mut text, &format!("         {title:5}  {what}"));
            }
        }
    }
    let count = |wanted| findings.iter().filter(|finding| finding.state == wanted).count();
    let verdict = match is_doubtful(findings) {
        true => "enforcement is in doubt",
        false => "nothing casts doubt on enforcement",
    };
    let (doubts, notes) = (count(State::Doubt), count(State::Note));
    line(&mut text, &format!("{} looked at, {doubts} in doubt, {notes} to note: {verdict}", findings.len()));
    text
}

/// What was seen may carry names that others chose.
fn line(text: &mut String, line: &str) {
    for character in line.chars() {
        match character.is_control() {
            true => text.extend(character.escape_debug()),
            false => text.push(character),
        }
    }
    writeln!(text).expect("a String takes everything");
}
