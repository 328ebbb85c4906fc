//! An answer as people read it.

use super::side::{GrantPlace, PlacedMiss, Side};
use super::{Answer, Connection};
use crate::page::{Page, counted};
use crate::written::Place;

/// How many misses or policies are written out.
const SHOWN: usize = 3;

impl Answer {
    /// As text, with the nearest rules of many.
    pub fn to_text(&self) -> String {
        self.text(SHOWN)
    }

    /// All of it as text.
    pub fn to_wide(&self) -> String {
        self.text(usize::MAX)
    }

    fn text(&self, most: usize) -> String {
        let mut page = Page::default();
        for connection in &self.connections {
            page.blank();
            connection.write(&mut page, most);
        }
        for limit in &self.limits {
            page.line(0, format!("note: {limit}"));
        }
        page.into_text()
    }

    /// All of it as one line of JSON.
    pub fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).expect("names, numbers and lists can always be written");
        value["version"] = 1.into();
        value["allowed"] = self.allowed().into();
        format!("{value}\n")
    }
}

impl Connection {
    fn write(&self, page: &mut Page, most: usize) {
        let verdict = if self.allowed { "ALLOWED" } else { "DENIED" };
        let service = self.service.as_ref().map(|it| format!(" by {it}")).unwrap_or_default();
        page.line(0, format!("{verdict}  {} -> {} {}{service}", self.from, self.to, self.port));
        if self.alike > 0 {
            page.line(
                2,
                format!(
                    "and {} of pods and addresses that are judged alike",
                    counted(self.alike, "other pair")
                ),
            );
        }
        self.egress.write(page, most);
        self.ingress.write(page, most);
        for note in &self.notes {
            page.line(2, format!("note: {note}"));
        }
    }

    /// Why, in one line: for lists of failures.
    pub fn reason(&self) -> String {
        let sides = [&self.egress, &self.ingress];
        match sides.iter().find(|side| side.verdict == "denied") {
            Some(side) => side.denial(),
            None => {
                let reasons = sides.iter().map(|side| match (side.allowing.first(), side.exempt) {
                    (Some(grant), _) => {
                        format!("{} allowed by {} {}", side.direction.name(), grant.policy, grant.field)
                    }
                    (None, Some(exempt)) => format!("{}: {exempt}", side.direction.name()),
                    (None, None) => format!("no policy isolates {} for {}", side.of, side.direction.name()),
                });
                reasons.collect::<Vec<_>>().join("; ")
            }
        }
    }
}

impl Side {
    fn write(&self, page: &mut Page, most: usize) {
        let head = format!("{} of {}: ", self.direction.name(), self.of);
        match (self.verdict, self.exempt) {
            ("exempt", exempt) => page.line(2, format!("{head}not asked, {}", exempt.unwrap_or_default())),
            ("not isolated", _) => {
                page.line(2, format!("{head}allowed, no policy isolates it"));
                for text in self.not_selecting.iter().take(most) {
                    page.line(4, text);
                }
                more(
                    page,
                    self.not_selecting.len().saturating_sub(most),
                    "policy does not select it",
                    "policies do not select it",
                );
            }
            (verdict, _) => {
                page.line(2, format!("{head}{verdict}"));
                for policy in &self.isolating {
                    page.line(4, format!("isolated by {}{}", policy.policy, at(policy.place.as_ref())));
                }
                self.write_rules(page, most);
            }
        }
    }

    fn write_rules(&self, page: &mut Page, most: usize) {
        for grant in self.allowing.iter().take(most) {
            page.line(4, grant.to_line());
        }
        more(page, self.allowing.len().saturating_sub(most), "rule allows it too", "rules allow it too");
        if self.misses.is_empty() {
            return;
        }
        page.line(4, "no rule allows; the nearest:");
        for miss in self.misses.iter().take(most) {
            page.line(6, miss.to_line());
        }
        more(page, self.misses.len().saturating_sub(most), "rule is further off", "rules are further off");
    }

    fn denial(&self) -> String {
        let isolating: Vec<&str> = self.isolating.iter().map(|it| it.policy.as_str()).collect();
        let nearest = self.misses.first().map(PlacedMiss::to_line).unwrap_or_default();
        format!(
            "{} of {} is isolated by {}; nearest: {nearest}",
            self.direction.name(),
            self.of,
            crate::page::listed(&isolating, SHOWN)
        )
    }
}

impl GrantPlace {
    fn to_line(&self) -> String {
        let port = self.port_field.as_ref().map(|it| format!(" and {it}")).unwrap_or_default();
        format!("allowed by {} {}{port}{}: {}", self.policy, self.field, at(self.place.as_ref()), self.allows)
    }
}

impl PlacedMiss {
    fn to_line(&self) -> String {
        format!("{} {}{}: {}", self.miss.policy, self.miss.field, at(self.place.as_ref()), self.miss.message)
    }
}

fn at(place: Option<&Place>) -> String {
    place.map(|place| format!(" ({place})")).unwrap_or_default()
}

fn more(page: &mut Page, count: usize, one: &str, several: &str) {
    match count {
        0 => {}
        1 => page.line(4, format!("1 more {one}")),
        more => page.line(4, format!("{more} more {several}")),
    }
}
