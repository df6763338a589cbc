//! Where workers write how long a node's hits take, and read how many requests it may be sent: see [`crate::cluster::health::outlier`].

use crate::clock::Tick;
use crate::cluster::health::outlier::{Window, WindowView};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One a node, shared by all workers. They write only a few samples a second.
#[derive(Debug)]
pub struct Gauge {
    hits: Mutex<Window>,
    allowance: AtomicU32,
}

/// An allowance that nobody counts.
const ALL: u32 = u32::MAX;

impl Default for Gauge {
    fn default() -> Gauge {
        Gauge { hits: Mutex::default(), allowance: AtomicU32::new(ALL) }
    }
}

impl Gauge {
    /// A hit took so long, from the request written to the head read.
    pub fn note_hit(&self, now: Tick, took: Duration) {
        self.hits().note(now.0, u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
    }

    /// Whether one more request may be sent to this node; counts it. A node that is merely slow is asked all the same
    /// when no other can be.
    pub fn admits(&self) -> bool {
        match self.allowance.load(Ordering::Relaxed) {
            ALL => true,
            0 => false,
            some => self.allowance.compare_exchange(some, some - 1, Ordering::Relaxed, Ordering::Relaxed).is_ok(),
        }
    }

    /// Passed over because it is slow, but for a trickle.
    pub fn is_slow(&self) -> bool {
        self.allowance.load(Ordering::Relaxed) != ALL
    }

    pub(super) fn allow(&self, requests: Option<u32>) {
        self.allowance.store(requests.unwrap_or(ALL), Ordering::Relaxed);
    }

    pub(in crate::cluster) fn seen(&self, now: Tick) -> WindowView {
        self.hits().seen(now.0)
    }

    pub(in crate::cluster) fn forget(&self) {
        self.hits().clear();
    }

    fn hits(&self) -> MutexGuard<'_, Window> {
        self.hits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_spent_request_by_request() {
        let gauge = Gauge::default();
        assert!((0..100).all(|_| gauge.admits()) && !gauge.is_slow());
        gauge.allow(Some(2));
        assert_eq!([gauge.admits(), gauge.admits(), gauge.admits()], [true, true, false]);
        assert!(gauge.is_slow());
        gauge.allow(None);
        assert!(gauge.admits() && !gauge.is_slow());
    }
}
