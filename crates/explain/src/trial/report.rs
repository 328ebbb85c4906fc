//! Outcomes for people, and for the programs that collect results of tests.

use super::{Outcome, Trial};
use crate::page::{Page, escaped};

impl Trial {
    /// The failures, and how many hold.
    pub fn to_text(&self) -> String {
        self.text(false)
    }

    /// The same, with those that hold.
    pub fn to_wide(&self) -> String {
        self.text(true)
    }

    /// One object on one line.
    pub fn to_json(&self) -> String {
        let outcome = |outcome: &Outcome| {
            serde_json::json!({
                "line": outcome.expectation.line,
                "expectation": outcome.expectation.to_string(),
                "holds": outcome.failure.is_none(),
                "failure": outcome.failure,
            })
        };
        let outcomes: Vec<_> = self.outcomes.iter().map(outcome).collect();
        let value = serde_json::json!({
            "version": 1, "file": self.file, "holds": self.holds(), "outcomes": outcomes,
        });
        format!("{value}\n")
    }

    fn text(&self, wide: bool) -> String {
        let mut page = Page::default();
        for outcome in &self.outcomes {
            let head = format!("{}:{}: {}", self.file, outcome.expectation.line, outcome.expectation);
            match &outcome.failure {
                Some(failure) => page.line(0, format!("{head}: {failure}")),
                None if wide => page.line(0, format!("{head}: holds")),
                None => {}
            }
        }
        let held = self.outcomes.iter().filter(|outcome| outcome.failure.is_none()).count();
        page.line(0, format!("{held} of {} expectations of {} hold", self.outcomes.len(), self.file));
        page.into_text()
    }

    /// As the Test Anything Protocol, version 13.
    pub fn to_tap(&self) -> String {
        let mut page = Page::default();
        page.line(0, "TAP version 13");
        page.line(0, format!("1..{}", self.outcomes.len()));
        for (number, outcome) in (1..).zip(&self.outcomes) {
            let verdict = if outcome.failure.is_none() { "ok" } else { "not ok" };
            // A # would begin a directive.
            page.line(
                0,
                format!("{verdict} {number} - {}", outcome.expectation.to_string().replace('#', "\\#")),
            );
            if let Some(failure) = &outcome.failure {
                page.line(0, format!("# {}:{}: {failure}", self.file, outcome.expectation.line));
            }
        }
        page.into_text()
    }

    /// As JUnit's XML, one suite.
    pub fn to_junit(&self) -> String {
        let failed = self.outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
        let file = xml(&self.file);
        let mut page = Page::default();
        page.line(0, r#"<?xml version="1.0" encoding="UTF-8"?>"#);
        page.line(
            0,
            format!(r#"<testsuite name="{file}" tests="{}" failures="{failed}">"#, self.outcomes.len()),
        );
        for outcome in &self.outcomes {
            self.add_case(&mut page, outcome, &file);
        }
        page.line(0, "</testsuite>");
        page.into_text()
    }

    fn add_case(&self, page: &mut Page, outcome: &Outcome, file: &str) {
        let line = outcome.expectation.line;
        let name = xml(&outcome.expectation.to_string());
        let head = format!(r#"<testcase classname="{file}" name="line {line}: {name}""#);
        match &outcome.failure {
            None => page.line(2, format!("{head}/>")),
            Some(failure) => {
                page.line(2, format!("{head}>"));
                page.line(4, format!(r#"<failure message="{}"/>"#, xml(failure)));
                page.line(2, "</testcase>");
            }
        }
    }
}

fn xml(text: &str) -> String {
    let text = escaped(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
