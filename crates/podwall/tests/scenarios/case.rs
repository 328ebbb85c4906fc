//! The runs: each scenario by families and by how pods are attached.

use std::path::Path;

use crate::Result;
use crate::scenario::{Scenario, read_scenarios};

/// The scenario that is run without enforcement as well.
const UNENFORCED: &str = "a01-deny-ingress";

/// One run of a scenario.
pub struct Case<'a> {
    pub scenario: &'a Scenario,
    pub family: Family,
    pub layout: Layout,
    /// False for the run that must notice that nothing is enforced.
    pub enforce: bool,
}

impl Case<'_> {
    pub fn name(&self) -> String {
        let enforced = if self.enforce { "" } else { " unenforced" };
        let bridged = if self.layout == Layout::Bridged { " bridged" } else { "" };
        format!("{} {}{bridged}{enforced}", self.scenario.name, self.family.name())
    }
}

pub fn read_cases(folder: &Path) -> Result<Vec<Case<'static>>> {
    // They live as long as the process.
    let scenarios: &'static [Scenario] = read_scenarios(folder)?.leak();
    let mut cases: Vec<Case> = Vec::new();
    for scenario in scenarios {
        for layout in Layout::ALL.into_iter().filter(|layout| scenario.is_run(*layout)) {
            let families = scenario.families.iter();
            cases.extend(families.map(|family| Case { scenario, family: *family, layout, enforce: true }));
        }
    }
    let scenario = scenarios.iter().find(|scenario| scenario.name == UNENFORCED);
    let scenario = scenario.ok_or_else(|| format!("{}: {UNENFORCED} is missing", folder.display()))?;
    cases.push(Case { scenario, family: Family::Dual, layout: Layout::Routed, enforce: false });
    Ok(cases)
}

/// The families of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Ipv4,
    Ipv6,
    Dual,
}

impl Family {
    pub const ALL: [Family; 3] = [Family::Ipv4, Family::Ipv6, Family::Dual];

    pub fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
            Family::Dual => "dual",
        }
    }

    /// The families that are probed.
    pub fn probed(self) -> &'static [&'static str] {
        match self {
            Family::Ipv4 => &["ipv4"],
            Family::Ipv6 => &["ipv6"],
            Family::Dual => &["ipv4", "ipv6"],
        }
    }
}

/// How pods are attached in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Routed,
    Bridged,
}

impl Layout {
    pub const ALL: [Layout; 2] = [Layout::Routed, Layout::Bridged];

    pub fn name(self) -> &'static str {
        match self {
            Layout::Routed => "routed",
            Layout::Bridged => "bridged",
        }
    }
}
