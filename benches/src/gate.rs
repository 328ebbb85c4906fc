//! Whether anything has become slower: ratios of this run against those of a baseline.
//!
//! Times of two machines cannot be compared, ratios can: ours to the kernel's floor in the same run, a packet's cost to
//! that of plain connection tracking, and a large cluster's event to a small one's.

use std::collections::BTreeMap;

use crate::figure::{Figure, Unit};

/// By how much a ratio may be above the baseline's: runs differ by some 15 % on a quiet machine.
pub const TOLERANCE: f64 = 1.3;
/// Nothing is made of differences below this: the ratio of two equal things jitters.
const MARGIN: f64 = 0.1;

/// The ratios of a run, by name.
pub fn ratios(figures: &[Figure]) -> BTreeMap<String, f64> {
    let timed = || figures.iter().filter(|it| it.unit == Unit::Nanoseconds);
    let mut ratios = BTreeMap::new();
    // Of bursts there are too few rounds: their ratios differ more from run to run than a regression would.
    for figure in timed().filter(|it| it.suite != "burst") {
        if let Some(times) = figure.times_floor() {
            ratios.insert(format!("{} to the floor", key(figure)), times);
        }
    }
    for large in timed().filter(|it| it.suite == "update" && it.condition == "hot") {
        let same = |it: &&Figure| {
            it.suite == large.suite && it.name == large.name && it.condition == large.condition
        };
        let smallest = timed().filter(same).min_by_key(|it| it.size);
        if let Some(small) = smallest.filter(|it| it.size.pods < large.size.pods) {
            let name = format!("{} to that at {} pods", key(large), small.size.pods);
            ratios.insert(name, large.spread.median / small.spread.median);
        }
    }
    ratios
}

/// What is above the baseline, and what the baseline has and this run has not; empty when all is well.
pub fn failures(baseline: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) -> Vec<String> {
    let failure = |(name, before): (&String, &f64)| match now.get(name) {
        None => Some(format!("{name}: not measured; it was {before:.2}")),
        Some(ratio) if *ratio > before * TOLERANCE + MARGIN => {
            Some(format!("{name}: {ratio:.2}, it was {before:.2}"))
        }
        Some(_) => None,
    };
    baseline.iter().filter_map(failure).collect()
}

fn key(figure: &Figure) -> String {
    let size = figure.size;
    let (name, condition) = (&figure.name, &figure.condition);
    format!("{}: {name}, {condition} ({}/{}/{})", figure.suite, size.pods, size.policies, size.local_pods)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{Size, Spread};

    fn figure(pods: u32, median: f64, floor: f64) -> Figure {
        let size = Size { pods, policies: 100, local_pods: 110 };
        let figure = Figure::new("update", "pod add", "hot", size, Spread::one(median));
        Figure { floor: Some(Spread::one(floor)), ..figure }
    }

    #[test]
    fn what_is_slower_fails_and_what_is_missing_too() {
        let before = ratios(&[figure(1_000, 10.0, 8.0), figure(100_000, 12.0, 8.0)]);
        assert_eq!(before.len(), 3);
        assert!(failures(&before, &before).is_empty());
        let slower = ratios(&[figure(1_000, 10.0, 8.0), figure(100_000, 24.0, 8.0)]);
        assert_eq!(failures(&before, &slower).len(), 2, "to the floor, and to the small cluster");
        let fewer = ratios(&[figure(1_000, 10.0, 8.0)]);
        assert_eq!(failures(&before, &fewer).len(), 2);
    }
}
