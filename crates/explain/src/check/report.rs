//! Findings as people and programs read them.

use super::{Finding, Report, Severity};
use crate::page::{Page, counted};

impl Report {
    /// The findings that count: at least as bad as `least`, and not ignored.
    pub fn counted(&self, least: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |it| it.severity >= least && it.ignored.is_none())
    }

    /// `FILE:LINE: SEVERITY: RULE: OBJECT: FIELD: MESSAGE`, line by line, and a summary.
    pub fn to_text(&self, least: Severity) -> String {
        self.text(least, false)
    }

    /// The same, with what is ignored and why.
    pub fn to_wide(&self, least: Severity) -> String {
        self.text(least, true)
    }

    fn text(&self, least: Severity, wide: bool) -> String {
        let mut page = Page::default();
        for finding in self.findings.iter().filter(|it| it.severity >= least) {
            match &finding.ignored {
                None => page.line(0, finding.to_line()),
                Some(reason) if wide => page.line(0, format!("{} (ignored: {reason})", finding.to_line())),
                Some(_) => {}
            }
        }
        let (found, ignored) =
            (self.counted(least).count(), self.findings.iter().filter(|it| it.ignored.is_some()));
        let ignored = match ignored.count() {
            0 => String::new(),
            some => format!(", {some} ignored with a reason"),
        };
        page.line(0, format!("{}{ignored}", counted(found, "finding")));
        page.into_text()
    }

    /// One object on one line; what is ignored has a reason in `ignored`.
    pub fn to_json(&self, least: Severity) -> String {
        let findings: Vec<&Finding> = self.findings.iter().filter(|it| it.severity >= least).collect();
        let report = serde_json::json!({"version": 1, "findings": findings});
        format!("{report}\n")
    }
}

impl Finding {
    fn to_line(&self) -> String {
        let place = self.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        let parts = [&self.object, &self.field].into_iter().flatten().map(|part| format!("{part}: "));
        let parts: String = parts.collect();
        format!("{place}{}: {}: {parts}{}", self.severity.name(), self.rule.name(), self.message)
    }
}
