//! Which variants are being renewed in the background, or were not long ago.

use crate::clock::Tick;
use std::cell::RefCell;
use std::collections::HashMap;

/// After a refresh that came to nothing the origin is left alone for so many milliseconds.
const PAUSE: u64 = 1000;

/// With so many under way or pausing, what else is stale waits for its turn.
const MOST: usize = 4096;

/// By the hash of URL and variant.
#[derive(Debug, Default)]
pub struct Refreshes(RefCell<HashMap<u64, Turn>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Running,
    NotBefore(Tick),
}

impl Refreshes {
    /// Whether it is this one's turn; then [`end`](Refreshes::end) is to follow.
    pub fn begin(&self, variant: u64, now: Tick) -> bool {
        let mut turns = self.0.borrow_mut();
        if turns.len() >= MOST {
            turns.retain(|_, turn| !turn.is_over(now));
        }
        let is_free = turns.get(&variant).map_or(turns.len() < MOST, |turn| turn.is_over(now));
        if is_free {
            turns.insert(variant, Turn::Running);
        }
        is_free
    }

    pub fn end(&self, variant: u64, renewed: bool, now: Tick) {
        let mut turns = self.0.borrow_mut();
        match renewed {
            true => turns.remove(&variant),
            false => turns.insert(variant, Turn::NotBefore(Tick(now.0.saturating_add(PAUSE)))),
        };
    }
}

impl Turn {
    fn is_over(self, now: Tick) -> bool {
        matches!(self, Turn::NotBefore(then) if then.0 <= now.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_renewed_once_at_a_time_and_after_a_failure_not_at_once() {
        let refreshes = Refreshes::default();
        let begin = |variant, now| refreshes.begin(variant, Tick(now));
        assert!(begin(1, 0) && !begin(1, 5) && begin(2, 5));
        refreshes.end(1, true, Tick(10));
        assert!(begin(1, 10));
        refreshes.end(1, false, Tick(20));
        assert!(!begin(1, 20 + PAUSE - 1) && begin(1, 20 + PAUSE));
    }

    #[test]
    fn countless_variants_wait_for_their_turn() {
        let refreshes = Refreshes::default();
        assert_eq!((0..=MOST as u64).filter(|n| refreshes.begin(*n, Tick(0))).count(), MOST);
        refreshes.end(7, false, Tick(0));
        assert!(!refreshes.begin(u64::MAX, Tick(PAUSE - 1)) && refreshes.begin(u64::MAX, Tick(PAUSE)));
    }
}
