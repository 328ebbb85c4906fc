//! Figures: what was measured, of how much, against what floor, and whether that is within the budget.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One line of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// The bench that measured it.
    pub suite: String,
    /// What was measured.
    pub name: String,
    /// Under which condition: `hot`, `cold`, `new`, `established` ...
    pub condition: String,
    /// The size of the cluster.
    pub size: Size,
    /// What the numbers are.
    pub unit: Unit,
    /// Ours.
    pub spread: Spread,
    /// The kernel's own, for the same, in the same run.
    pub floor: Option<Spread>,
    /// The differences between the two, round by round, where rounds are paired.
    pub over_floor: Option<Spread>,
    /// What `nft -f` takes for the same change (median).
    pub nft: Option<f64>,
    /// What it should be.
    pub budgets: Vec<Budget>,
}

/// The size of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Size {
    /// Pods in the cluster.
    pub pods: u32,
    /// Policies in the cluster; in the packet path, those that isolate the pod.
    pub policies: u32,
    /// Pods of this node.
    pub local_pods: u32,
}

/// What numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Nanoseconds
    Nanoseconds,
    /// Bytes
    Bytes,
    /// Things, counted.
    Count,
}

/// Samples in a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many samples there were.
    pub count: usize,
    /// The lowest.
    pub low: f64,
    /// Half of them are not above it.
    pub median: f64,
    /// 99 of 100 are not above it.
    pub p99: f64,
    /// The highest.
    pub high: f64,
}

/// What a figure should not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// What is compared.
    pub measure: Measure,
    /// With what.
    pub limit: f64,
}

/// What of a figure is compared with a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// The median.
    Median,
    /// The 99th percentile.
    P99,
    /// The median, as a multiple of the floor's.
    TimesFloor,
    /// The median of the differences to the floor.
    OverFloor,
    /// The same, in percent of the floor.
    PercentOverFloor,
}

impl Spread {
    /// Of samples, of which there is one at least.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let last = samples.len() - 1;
        // The nearest rank: of a hundred samples the 99th, of fewer the last.
        let p99 = (samples.len() * 99).div_ceil(100) - 1;
        Self {
            count: samples.len(),
            low: samples[0],
            median: samples[last / 2],
            p99: samples[p99],
            high: samples[last],
        }
    }

    /// Of times, in nanoseconds.
    pub fn of_times(times: &[Duration]) -> Self {
        Self::of(times.iter().map(|time| time.as_nanos() as f64).collect())
    }

    /// Of one number.
    pub fn one(number: f64) -> Self {
        Self::of(vec![number])
    }
}

impl Figure {
    /// A figure in nanoseconds, without floor or budget.
    pub fn new(suite: &str, name: &str, condition: &str, size: Size, spread: Spread) -> Self {
        Self {
            suite: suite.to_owned(),
            name: name.to_owned(),
            condition: condition.to_owned(),
            size,
            unit: Unit::Nanoseconds,
            spread,
            floor: None,
            over_floor: None,
            nft: None,
            budgets: Vec::new(),
        }
    }

    /// The same in another unit.
    pub fn in_unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// The same with a budget.
    pub fn within(mut self, measure: Measure, limit: f64) -> Self {
        self.budgets.push(Budget { measure, limit });
        self
    }

    /// The median as a multiple of the floor's.
    pub fn times_floor(&self) -> Option<f64> {
        self.floor.map(|floor| self.spread.median / floor.median)
    }

    /// What a budget compares; nothing when it was not measured.
    pub fn measured(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Median => Some(self.spread.median),
            Measure::P99 => Some(self.spread.p99),
            Measure::TimesFloor => self.times_floor(),
            Measure::OverFloor => self.over_floor.map(|it| it.median),
            Measure::PercentOverFloor => Some(100.0 * self.over_floor?.median / self.floor?.median),
        }
    }

    /// Whether a budget is met. What was not measured is missed.
    pub fn meets(&self, budget: Budget) -> bool {
        self.measured(budget.measure).is_some_and(|measured| measured <= budget.limit)
    }
}

/// The folder of all that benches write.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench"))
}

/// Keeps what a suite has measured, in place of what it measured before, and prints it.
pub fn save(suite: &str, figures: &[Figure]) -> Result<()> {
    fs::create_dir_all(folder())?;
    let path = folder().join(format!("{suite}.json"));
    fs::write(&path, serde_json::to_vec_pretty(figures)?).with_context(|| path.display().to_string())?;
    println!("{}", crate::table::markdown(figures));
    Ok(())
}

/// What the suites have measured, as far as they were run.
pub fn load_all() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for suite in ["update", "burst", "start", "packet", "end_to_end"] {
        let path = folder().join(format!("{suite}.json"));
        match fs::read(&path) {
            Ok(bytes) => figures.extend(serde_json::from_slice::<Vec<Figure>>(&bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    Ok(figures)
}

/// True when everything is to be measured, by `FULL=1`.
pub fn is_full() -> bool {
    std::env::var_os("FULL").is_some_and(|value| value == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_takes_the_nearest_rank() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        assert_eq!((spread.low, spread.median, spread.p99, spread.high), (1.0, 100.0, 198.0, 200.0));
        assert_eq!(Spread::one(3.0).p99, 3.0);
    }

    #[test]
    fn a_budget_of_what_was_not_measured_is_missed() {
        let size = Size { pods: 1, policies: 1, local_pods: 1 };
        let mut figure = Figure::new("update", "pod add", "hot", size, Spread::one(10.0));
        let budget = Budget { measure: Measure::TimesFloor, limit: 2.0 };
        assert!(!figure.meets(budget));
        figure.floor = Some(Spread::one(5.0));
        assert!(figure.meets(budget));
        figure.floor = Some(Spread::one(4.0));
        assert!(!figure.meets(budget));
    }
}
