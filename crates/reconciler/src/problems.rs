//! What cannot be honoured at present: said once when it begins and once when it ends.

use std::collections::BTreeMap;

use podwall_policy::{Consequence, Problem};

use crate::metrics::{Metrics, Reach};

/// More problems than this are counted, but neither logged one by one nor listed.
const LISTED_MAX: usize = 200;

/// The problems of the moment, by their text.
#[derive(Debug, Default)]
pub struct Problems {
    present: BTreeMap<String, Problem>,
    truncated: usize,
}

impl Problems {
    /// These are all; returns those that are new.
    pub fn replace(&mut self, all: impl Iterator<Item = Problem>, metrics: &Metrics) -> Vec<Problem> {
        let mut present = BTreeMap::new();
        let mut truncated = 0;
        let mut counts: BTreeMap<&'static str, i64> = BTreeMap::new();
        for problem in all {
            *counts.entry(word(problem.consequence)).or_default() += 1;
            if present.len() < LISTED_MAX {
                present.insert(problem.to_string(), problem);
            } else {
                truncated += 1;
            }
        }
        for consequence in
            [Consequence::Ignored, Consequence::Closed, Consequence::Refused, Consequence::Unreadable]
        {
            let consequence = word(consequence);
            let count = counts.get(consequence).copied().unwrap_or_default();
            metrics.problems.get_or_create(&Reach { consequence }).set(count);
        }
        let new = |text: &&String| !self.present.contains_key(*text);
        let appeared: Vec<Problem> = present.keys().filter(new).map(|text| present[text].clone()).collect();
        for problem in &appeared {
            tracing::warn!(consequence = word(problem.consequence), "{problem}");
        }
        for text in self.present.keys().filter(|text| !present.contains_key(*text)) {
            tracing::info!(problem = text.as_str(), "no longer a problem");
        }
        if truncated > 0 && self.truncated == 0 {
            tracing::warn!("more than {LISTED_MAX} problems: the others are only counted");
        }
        self.present = present;
        self.truncated = truncated;
        appeared
    }

    /// As they are shown.
    pub fn texts(&self) -> Vec<String> {
        let more = (self.truncated > 0).then(|| format!("and {} more", self.truncated));
        self.present.keys().cloned().chain(more).collect()
    }
}

fn word(consequence: Consequence) -> &'static str {
    match consequence {
        Consequence::Ignored => "ignored",
        Consequence::Closed => "closed",
        Consequence::Refused => "refused",
        Consequence::Unreadable => "unreadable",
    }
}
