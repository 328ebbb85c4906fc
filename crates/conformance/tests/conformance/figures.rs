//! What a stage did, and what it found.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use podwall_ruleset::Ruleset;

/// The figures of a stage.
pub struct Figures {
    stage: &'static str,
    started: Instant,
    took: Duration,
    pub cases: usize,
    /// Connections judged.
    pub probes: u64,
    pub denied: u64,
    /// The distinct programs, by hash.
    pub programs: BTreeSet<u64>,
    /// A line or more for everything that is not as it should be.
    pub mismatches: Vec<String>,
}

impl Figures {
    pub const HEADER: &str =
        "stage                        cases  programs      probes  denied  mismatches    time";

    pub fn new(stage: &'static str) -> Self {
        Self {
            stage,
            started: Instant::now(),
            took: Duration::ZERO,
            cases: 0,
            probes: 0,
            denied: 0,
            programs: BTreeSet::new(),
            mismatches: Vec::new(),
        }
    }

    /// Counts what the groups of a node are judged by. Chains and sets are named by content, so equal rules are one
    /// program, whoever it is for.
    pub fn count_programs(&mut self, ruleset: &Ruleset) {
        let chains = ruleset.tables.values().flat_map(|table| &table.chains);
        let of_groups =
            chains.filter(|(name, _)| ["ingress/", "egress/"].iter().any(|it| name.as_str().starts_with(it)));
        for (_, chain) in of_groups {
            let mut hasher = DefaultHasher::new();
            chain.rules.iter().for_each(|rule| rule.to_string().hash(&mut hasher));
            self.programs.insert(hasher.finish());
        }
    }

    pub fn count_probe(&mut self, allowed: bool) {
        self.probes += 1;
        self.denied += u64::from(!allowed);
    }

    /// Takes in what another thread did.
    pub fn add(&mut self, other: Figures) {
        self.cases += other.cases;
        self.probes += other.probes;
        self.denied += other.denied;
        self.programs.extend(other.programs);
        self.mismatches.extend(other.mismatches);
    }

    /// Ends the stage.
    pub fn finish(mut self) -> Self {
        self.took = self.started.elapsed();
        println!("{self}");
        self
    }

    /// Ends a stage of generated connections: what is nearly always denied, or nearly never, is no test.
    pub fn finish_balanced(mut self) -> Self {
        let share = self.share_denied();
        if !(20..=80).contains(&share) {
            self.mismatches.push(format!("{}: the balance is lost: {share} % denied", self.stage));
        }
        self.finish()
    }

    fn share_denied(&self) -> u64 {
        self.denied * 100 / self.probes.max(1)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let programs =
            if self.programs.is_empty() { "-".to_owned() } else { self.programs.len().to_string() };
        write!(
            f,
            "{:28} {:5}  {:>8}  {:10}  {:4} %  {:10}  {:4.0} s",
            self.stage,
            self.cases,
            programs,
            self.probes,
            self.share_denied(),
            self.mismatches.len(),
            self.took.as_secs_f64()
        )
    }
}
