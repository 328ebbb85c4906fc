//! The latest changes of a stream, to tell a late one.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use podwall_policy::ObjectKey;

/// How many changes are remembered.
const LIMIT: usize = 512;

/// The last few changes of a stream, by object and version. API servers send the changes of an object in order; where
/// something between does not, the older of two must not win.
#[derive(Debug, Default)]
pub(super) struct Recent {
    newest: u64,
    changes: VecDeque<(u64, u64)>,
    hasher: RandomState,
}

impl Recent {
    /// Notes a change, and says whether it is late: a newer one of the same object came before. Versions that are no
    /// numbers are never late.
    pub fn is_late(&mut self, key: &ObjectKey, version: &str) -> bool {
        let Ok(version) = version.parse::<u64>() else { return false };
        let object = self.hasher.hash_one(key);
        let late = version < self.newest
            && self.changes.iter().any(|(other, newer)| *other == object && *newer > version);
        self.newest = self.newest.max(version);
        if self.changes.len() == LIMIT {
            self.changes.pop_front();
        }
        self.changes.push_back((object, version));
        late
    }

    /// Forgets: a list begins, and says what is true now.
    pub fn clear(&mut self) {
        self.newest = 0;
        self.changes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_of_two_changes_is_late() {
        let (a, b) = (ObjectKey::new("n", "a"), ObjectKey::new("n", "b"));
        let mut recent = Recent::default();
        assert!(!recent.is_late(&a, "10"));
        assert!(!recent.is_late(&a, "12"));
        assert!(!recent.is_late(&b, "11"), "another object");
        assert!(recent.is_late(&a, "11"));
        assert!(!recent.is_late(&a, "12"), "repeated, but not older");
        assert!(!recent.is_late(&a, "opaque"));
        recent.clear();
        assert!(!recent.is_late(&a, "3"));
    }
}
