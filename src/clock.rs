//! The only reader of the clock.
//!
//! Two steady clocks: [`now`] is the wall clock of the moment the process started plus the time that has passed
//! since, so a step of the system clock makes nothing fresh or stale; [`Tick`] is for timeouts. Both go on in suspend
//! (`CLOCK_BOOTTIME`), which `Instant` does not. And [`wall`], which follows every step: what other machines wrote (`Date`)
//! is read by it, and what they read is written by it.

use crate::wire::date::{Moment, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::time::Duration;

/// A point on the steady clock, in milliseconds since the machine booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// The time since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The steady clock.
pub fn tick() -> Tick {
    Tick(millis(ClockId::Boottime))
}

/// Unit tests run as if the clock had been an hour ahead at the start, and had been set right since: whoever compares what
/// others wrote with [`now`] is found out.
const AHEAD: u64 = if cfg!(test) { 3_600_000 } else { 0 };

/// The time by which entries age: the wall clock of the start, and what has passed since.
pub fn now() -> Timestamp {
    time(tick())
}

/// The same of another moment.
pub fn time(at: Tick) -> Timestamp {
    static OFFSET: OnceLock<u64> = OnceLock::new();
    let offset = OFFSET.get_or_init(|| (millis(ClockId::Realtime) + AHEAD).saturating_sub(millis(ClockId::Boottime)));
    Timestamp(offset + at.0)
}

/// What the system's clock says now.
pub fn wall() -> Timestamp {
    Timestamp(millis(ClockId::Realtime))
}

/// A moment of [`now`], not long ago, by both clocks.
pub fn moment(at: Timestamp) -> Moment {
    let (now, wall) = (now().0, wall().0);
    Moment { at, wall: Timestamp(at.0.saturating_add(wall).saturating_sub(now)) }
}

fn millis(id: ClockId) -> u64 {
    let t = clock_gettime(id);
    t.tv_sec.max(0) as u64 * 1000 + t.tv_nsec.max(0) as u64 / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_clock_does_not_run_backwards() {
        let a = tick();
        let b = tick();
        assert!(b >= a);
        assert!(now().0 > 1_600_000_000_000, "the wall clock is in this century");
    }
}
