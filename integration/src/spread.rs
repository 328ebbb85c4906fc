//! How long something took, many times.

use std::fmt;
use std::time::Duration;

/// Durations, at least one.
#[derive(Debug, Clone)]
pub struct Spread {
    sorted: Vec<Duration>,
}

impl Spread {
    /// Of these durations, in any order; there must be one.
    pub fn of(mut durations: Vec<Duration>) -> Self {
        assert!(!durations.is_empty(), "nothing was measured");
        durations.sort();
        Self { sorted: durations }
    }

    /// The duration that so many of a hundred do not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent).div_ceil(100);
        self.sorted[rank.max(1) - 1]
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.percentile(100)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p99, longest] = [50, 99, 100].map(|percent| self.percentile(percent));
        write!(f, "{median:.1?} (median), {p99:.1?} (p99), {longest:.1?} (longest)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let spread = Spread::of((1..=100).rev().map(Duration::from_millis).collect());
        let found = [50, 99, 100].map(|percent| spread.percentile(percent).as_millis());
        assert_eq!(found, [50, 99, 100]);
        assert_eq!(spread.to_string(), "50.0ms (median), 99.0ms (p99), 100.0ms (longest)");
        let one = Spread::of(vec![Duration::from_millis(3)]);
        assert_eq!((one.percentile(50), one.longest()), (Duration::from_millis(3), Duration::from_millis(3)));
    }
}
