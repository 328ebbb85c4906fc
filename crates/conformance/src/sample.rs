//! A fair sample of cases: first every tag, then chance.

use std::collections::BTreeSet;

use crate::case::Case;
use crate::random::Random;

/// `count` of the cases, chosen by the seed: the first of them have all tags between them, so far as `count` reaches.
/// The same seed gives the same sample.
pub fn sample(mut cases: Vec<Case>, count: usize, seed: u64) -> Vec<Case> {
    shuffle(&mut cases, seed);
    let mut missing: BTreeSet<&str> = cases.iter().flat_map(|case| case.tags.clone()).collect();
    let mut chosen = Vec::new();
    while !missing.is_empty() && chosen.len() < count {
        let news = |case: &Case| case.tags.intersection(&missing).count();
        let Some(best) = (0..cases.len()).max_by_key(|index| news(&cases[*index])) else { break };
        let case = cases.swap_remove(best);
        missing.retain(|tag| !case.tags.contains(tag));
        chosen.push(case);
    }
    let left = count - chosen.len();
    chosen.extend(cases.into_iter().take(left));
    chosen
}

/// Fisher and Yates.
fn shuffle(cases: &mut [Case], seed: u64) {
    let mut random = Random(seed);
    for last in (1..cases.len()).rev() {
        cases.swap(last, random.below(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn a_sample_has_all_tags_and_its_seed_decides_the_rest() {
        let all: BTreeSet<&str> = cases().iter().flat_map(|case| case.tags.clone()).collect();
        let chosen = sample(cases(), 90, 7);
        let tags: BTreeSet<&str> = chosen.iter().flat_map(|case| case.tags.clone()).collect();
        assert_eq!(tags, all);
        assert_eq!(chosen, sample(cases(), 90, 7));
        assert_ne!(chosen, sample(cases(), 90, 8));
    }
}
