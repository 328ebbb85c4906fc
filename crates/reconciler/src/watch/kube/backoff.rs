//! Pauses between tries.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Pauses that grow, each at random between nothing and its bound: after an outage, agents come back spread out.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    bound: Duration,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, bound: first }
    }

    /// The next pause.
    pub fn next(&mut self) -> Duration {
        self.next_within(self.longest)
    }

    /// The next pause, bounded as this failure asks for.
    pub fn next_within(&mut self, longest: Duration) -> Duration {
        self.bound = self.bound.min(longest);
        let pause = self.bound.mul_f64(random());
        self.bound = (self.bound * 2).min(longest);
        pause
    }

    /// The next pause is a first one again.
    pub fn reset(&mut self) {
        self.bound = self.first;
    }
}

/// A number from 0 to 1. The standard library's hash keys are random enough for spreading things out.
pub(super) fn random() -> f64 {
    (RandomState::new().build_hasher().finish() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        let bounds = [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000];
        for bound_ms in bounds {
            assert_eq!(backoff.bound, Duration::from_millis(bound_ms));
            assert!(backoff.next() <= Duration::from_millis(bound_ms));
        }
        assert!(backoff.next_within(Duration::from_secs(1)) <= Duration::from_secs(1));
        assert_eq!(backoff.bound, Duration::from_secs(1), "a short bound is not forgotten at once");
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(200));
    }

    #[test]
    fn random_numbers_are_spread() {
        let numbers: Vec<f64> = (0..1000).map(|_| random()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = numbers.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
