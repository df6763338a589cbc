//! PURE. What became invalid just now: no other node is asked for it, which may not have heard of that yet.
//!
//! A purge or an invalidation goes to all nodes, but not at one moment. Between them lie these races, for a new owner N
//! and the owner of before P:
//!
//! - N is told while it is being fed by P: the fill is forgotten like one that is fed by an origin.
//! - N has been fed and is told: what is stored is removed.
//! - P is told first, then N asks it: there is nothing.
//! - N is told first, then a request comes, and N asks P, which has not been told: N would store what was purged, and be
//!   told no more. This is what the bar is for. It stands for longer than a round of telling may take; a node that was
//!   not told within that time is doubtful to the front, which then names it to nobody (`cluster::health`).
//! - P has a fill under way to which N's question is attached: the fill is forgotten on both sides, by the rules above.
//!
//! The fill is in N's table before N asks, so what comes after the look at the bar finds it there.

use crate::wire::target::Key;
use std::collections::HashMap;

/// A point on the steady clock, in milliseconds.
type SteadyMillis = u64;

/// A round of telling takes a second at most, and a few of them may wait for each other.
const TIME: SteadyMillis = 30_000;
/// When more than so many are barred, everything is.
const MOST: usize = 16_384;

/// By the hashes of URLs and of origins.
#[derive(Debug, Default)]
pub struct Barred {
    until: HashMap<u64, SteadyMillis>,
    all: SteadyMillis,
}

impl Barred {
    pub fn bar(&mut self, hash: u64, now: SteadyMillis) {
        if self.until.len() >= MOST {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() >= MOST {
            self.until.clear();
            self.all = now.saturating_add(TIME);
        }
        self.until.insert(hash, now.saturating_add(TIME));
    }

    /// When it was barred last.
    pub fn since(&self, hash: u64, now: SteadyMillis) -> Option<SteadyMillis> {
        let until = self.until.get(&hash).copied().unwrap_or_default().max(self.all);
        (now < until).then(|| until - TIME)
    }
}

/// The hash of a URL's origin, which is no URL's.
pub fn origin(key: &Key) -> u64 {
    key.origin_hash()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_invalid_is_barred_for_a_time() {
        let mut barred = Barred::default();
        barred.bar(1, 1000);
        for (hash, now, expected) in [(1, 1000, true), (1, 30_999, true), (1, 31_000, false), (2, 1000, false)] {
            assert_eq!(barred.since(hash, now), expected.then_some(1000), "{hash} {now}");
        }
    }

    #[test]
    fn when_it_is_too_much_to_remember_everything_is_barred() {
        let mut barred = Barred::default();
        (0..=MOST as u64).for_each(|hash| barred.bar(hash, 1000));
        assert!(barred.until.len() <= MOST);
        for (hash, now, expected) in [(0, 1000, true), (u64::MAX, 30_999, true), (u64::MAX, 31_000, false)] {
            assert_eq!(barred.since(hash, now), expected.then_some(1000), "{hash} {now}");
        }
    }

    #[test]
    fn what_is_no_longer_barred_makes_room() {
        let mut barred = Barred::default();
        (0..MOST as u64).for_each(|hash| barred.bar(hash, 1000));
        barred.bar(u64::MAX, 40_000);
        assert_eq!((barred.until.len(), barred.since(7, 40_000)), (1, None));
    }
}
