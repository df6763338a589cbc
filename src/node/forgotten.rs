//! PURE. What became invalid, in order: whether something did since a fetch began.
//!
//! A fetch by a leader is in the table of fills from its beginning, and is told there (`collapse::Fills::forget`).
//! One for a single request has no fill until its head is there, a 304 or the answer to a HEAD has none at all: they ask
//! here, and it costs each of them a number.

use std::collections::VecDeque;

/// So many are remembered; a fetch that began before all of them is taken to be outdated.
const MOST: usize = 16_384;

/// When a fetch began: so many things had become invalid before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchMoment(u64);

/// By the hashes of URLs and of origins.
#[derive(Debug, Default)]
pub struct Forgotten {
    latest: VecDeque<u64>,
    /// How many there were before those.
    before: u64,
}

impl Forgotten {
    pub fn note(&mut self, hash: u64) {
        if self.latest.len() >= MOST {
            self.latest.pop_front();
            self.before += 1;
        }
        self.latest.push_back(hash);
    }

    /// Everything did.
    pub fn note_all(&mut self) {
        self.before += self.latest.len() as u64 + 1;
        self.latest.clear();
    }

    pub fn now(&self) -> FetchMoment {
        FetchMoment(self.before + self.latest.len() as u64)
    }

    /// Whether one of these became invalid since then, or may have.
    pub fn has_any(&self, since: FetchMoment, hashes: [u64; 2]) -> bool {
        let Some(seen) = since.0.checked_sub(self.before) else { return true };
        let new = (self.latest.len() as u64).saturating_sub(seen);
        self.latest.iter().rev().take(new as usize).any(|hash| hashes.contains(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_invalid_counts_for_fetches_that_began_before() {
        let mut forgotten = Forgotten::default();
        forgotten.note(1);
        let began = forgotten.now();
        forgotten.note(2);
        forgotten.note(3);
        let later = forgotten.now();
        for (since, hashes, expected) in [
            (began, [1, 9], false),
            (began, [2, 9], true),
            (began, [9, 3], true),
            (later, [3, 2], false),
            (FetchMoment(0), [1, 9], true),
        ] {
            assert_eq!(forgotten.has_any(since, hashes), expected, "{since:?} {hashes:?}");
        }
    }

    #[test]
    fn everything_counts_for_those_that_began_before_it() {
        let mut forgotten = Forgotten::default();
        let first = forgotten.now();
        forgotten.note_all();
        let then = forgotten.now();
        assert_eq!((forgotten.has_any(first, [1, 2]), forgotten.has_any(then, [1, 2])), (true, false));
        forgotten.note(1);
        assert!(forgotten.has_any(then, [1, 2]));
    }

    #[test]
    fn who_began_before_all_that_is_remembered_is_outdated() {
        let mut forgotten = Forgotten::default();
        let first = forgotten.now();
        forgotten.note(1);
        let second = forgotten.now();
        (0..MOST).for_each(|_| forgotten.note(2));
        assert_eq!(forgotten.latest.len(), MOST);
        assert_eq!((forgotten.has_any(first, [8, 9]), forgotten.has_any(second, [8, 9])), (true, false));
        forgotten.note(2);
        assert!(forgotten.has_any(second, [8, 9]));
    }
}
