//! Which variants are being renewed in the background, or were not long ago.

use crate::clock::Tick;
use std::cell::RefCell;
use std::collections::HashMap;

/// After a refresh that came to nothing the origin is left alone for so many milliseconds.
const PAUSE: u64 = 1000;

/// With so many under way or pausing, what else is stale waits for its turn.
const MOST: usize = 4096;

/// So many run for one origin, of the connections that it may have: others wait for those too, and nobody for these.
const OF_ORIGIN: usize = 64;

/// What is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The hash of URL and variant.
    pub hash: u64,
    /// That of the origin.
    pub origin: u64,
}

#[derive(Debug)]
pub struct Refreshes {
    of_origin: usize,
    turns: RefCell<HashMap<u64, Turn>>,
    /// How many run, by origin.
    running: RefCell<HashMap<u64, usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Running,
    NotBefore(Tick),
}

impl Refreshes {
    /// Where an origin may have so many connections.
    pub fn new(connections: usize) -> Refreshes {
        let of_origin = (connections / 4).clamp(1, OF_ORIGIN);
        Refreshes { of_origin, turns: RefCell::default(), running: RefCell::default() }
    }

    /// Whether it is this one's turn; then [`end`](Refreshes::end) is to follow.
    pub fn begin(&self, variant: Variant, now: Tick) -> bool {
        let (mut turns, mut running) = (self.turns.borrow_mut(), self.running.borrow_mut());
        if turns.len() >= MOST {
            turns.retain(|_, turn| !turn.is_over(now));
        }
        let is_free = turns.get(&variant.hash).map_or(turns.len() < MOST, |turn| turn.is_over(now));
        let is_free = is_free && running.get(&variant.origin).is_none_or(|running| *running < self.of_origin);
        if is_free {
            turns.insert(variant.hash, Turn::Running);
            *running.entry(variant.origin).or_default() += 1;
        }
        is_free
    }

    /// Whether it was tried in vain just now.
    pub fn rests(&self, variant: Variant, now: Tick) -> bool {
        matches!(self.turns.borrow().get(&variant.hash), Some(turn @ Turn::NotBefore(_)) if !turn.is_over(now))
    }

    /// It was tried in vain, without a turn.
    pub fn failed(&self, variant: Variant, now: Tick) {
        if self.begin(variant, now) {
            self.end(variant, false, now);
        }
    }

    pub fn end(&self, variant: Variant, renewed: bool, now: Tick) {
        let (mut turns, mut running) = (self.turns.borrow_mut(), self.running.borrow_mut());
        match renewed {
            true => turns.remove(&variant.hash),
            false => turns.insert(variant.hash, Turn::NotBefore(Tick(now.0.saturating_add(PAUSE)))),
        };
        if let Some(count) = running.get_mut(&variant.origin) {
            *count -= 1;
            if *count == 0 {
                running.remove(&variant.origin);
            }
        }
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

    /// One of as many origins as there are.
    fn any(hash: u64) -> Variant {
        Variant { hash, origin: hash }
    }

    #[test]
    fn a_variant_is_renewed_once_at_a_time_and_after_a_failure_not_at_once() {
        let refreshes = Refreshes::new(1024);
        let begin = |hash, now| refreshes.begin(any(hash), Tick(now));
        assert!(begin(1, 0) && !begin(1, 5) && begin(2, 5));
        refreshes.end(any(1), true, Tick(10));
        assert!(begin(1, 10));
        refreshes.end(any(1), false, Tick(20));
        assert!(!begin(1, 19 + PAUSE) && begin(1, 20 + PAUSE));
    }

    #[test]
    fn what_failed_rests_for_who_would_wait_for_it_too() {
        let refreshes = Refreshes::new(1024);
        let rests = |now| refreshes.rests(any(1), Tick(now));
        assert!(!rests(0));
        refreshes.failed(any(1), Tick(0));
        assert!(rests(0) && rests(PAUSE - 1) && !rests(PAUSE));
        assert!(refreshes.begin(any(1), Tick(PAUSE)) && !rests(PAUSE));
    }

    #[test]
    fn there_are_not_more_than_so_many() {
        let refreshes = Refreshes::new(1024);
        assert_eq!((0..=MOST as u64).filter(|n| refreshes.begin(any(*n), Tick(0))).count(), MOST);
        refreshes.end(any(7), false, Tick(0));
        let begin = |now| refreshes.begin(any(u64::MAX), Tick(now));
        assert!(!begin(PAUSE - 1) && begin(PAUSE));
    }

    #[test]
    fn one_origin_has_few_and_never_all_of_its_connections() {
        for (connections, most) in [(1, 1), (16, 4), (1024, OF_ORIGIN)] {
            let refreshes = Refreshes::new(connections);
            let of_one = |hash| Variant { hash, origin: 1 };
            assert_eq!((0..2000).filter(|n| refreshes.begin(of_one(*n), Tick(0))).count(), most);
            assert!(refreshes.begin(Variant { hash: 5000, origin: 2 }, Tick(0)));
            refreshes.end(of_one(0), true, Tick(0));
            assert!(refreshes.begin(of_one(3000), Tick(0)) && !refreshes.begin(of_one(3001), Tick(0)));
        }
    }
}
