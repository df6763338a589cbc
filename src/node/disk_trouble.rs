//! PURE. Whether a disk is to be left alone, and for how long.

use crate::wire::date::Timestamp;
use std::cell::Cell;
use std::time::Duration;

/// So many errors within a minute (in milliseconds) are too many.
const ERRORS: u32 = 16;
const MINUTE: u64 = 60_000;
/// So many waits that were too long, with nothing in time between them, for as long as so many of them take. Many that wait at the
/// same time for one hiccup are not a disk that hangs.
const LATE: u32 = 4;
/// For so long at first, and for so long at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// After so many milliseconds without failing it is as one that never has.
const SOUND: u64 = 3_600_000;

/// What has gone wrong lately.
#[derive(Debug, Default)]
pub struct DiskTrouble {
    errors: Cell<u32>,
    since: Cell<Timestamp>,
    pub reads: Lateness,
    pub writes: Lateness,
    pub bodies: Lateness,
    pauses: Cell<u32>,
    /// Since when it works.
    works: Cell<Option<Timestamp>>,
}

impl DiskTrouble {
    /// One more error; whether these are too many.
    pub fn error(&self, now: Timestamp) -> bool {
        if now.millis_since(self.since.get()) > MINUTE {
            self.since.set(now);
            self.errors.set(0);
        }
        self.errors.set(self.errors.get() + 1);
        self.errors.get() >= ERRORS
    }

    /// It is read.
    pub fn works(&self, now: Timestamp) {
        self.works.set(Some(now));
    }

    /// It does not work any more.
    pub fn ends(&self, now: Timestamp) {
        if self.works.take().is_some_and(|since| now.millis_since(since) >= SOUND) {
            self.pauses.set(0);
        }
    }

    /// For how long it is left alone.
    pub fn pause(&self) -> Duration {
        PAUSE.0.saturating_mul(1 << self.pauses.get().min(16)).min(PAUSE.1)
    }

    /// It is tried again.
    pub fn begin(&self) {
        self.pauses.set(self.pauses.get().saturating_add(1));
        self.errors.set(0);
        self.reads.in_time();
        self.writes.in_time();
        self.bodies.in_time();
    }
}

/// Waits in a row that were too long.
#[derive(Debug, Default)]
pub struct Lateness {
    count: Cell<u32>,
    first: Cell<Timestamp>,
}

impl Lateness {
    /// Something was not there within `limit`; whether it hangs.
    pub fn late(&self, now: Timestamp, limit: Duration) -> bool {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        if self.count.get() == 0 {
            self.first.set(Timestamp(now.0.saturating_sub(limit)));
        }
        self.count.set(self.count.get().saturating_add(1));
        self.count.get() >= LATE && now.millis_since(self.first.get()) >= limit.saturating_mul(LATE.into())
    }

    pub fn in_time(&self) {
        self.count.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(250);

    #[test]
    fn it_is_left_alone_after_many_errors_in_a_minute_and_longer_each_time_unless_it_was_sound_for_long() {
        let trouble = DiskTrouble::default();
        let at = |ms| (1..ERRORS).any(|_| trouble.error(Timestamp(ms)));
        assert_eq!((at(100_000), at(160_001), trouble.error(Timestamp(160_002))), (false, false, true));
        let fails_after = |ms| {
            trouble.works(Timestamp(0));
            trouble.ends(Timestamp(ms));
            let pause = trouble.pause().as_secs();
            trouble.begin();
            pause
        };
        assert_eq!([(); 8].map(|()| fails_after(SOUND - 1)), [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!([(); 2].map(|()| fails_after(SOUND)), [60, 60]);
        // One that could not be had at all has not been sound.
        trouble.ends(Timestamp(SOUND * 9));
        assert_eq!(trouble.pause().as_secs(), 120);
        assert!(!trouble.error(Timestamp(160_003)));
    }

    #[test]
    fn a_disk_hangs_where_a_few_waits_in_a_row_were_too_long_and_not_where_many_waited_for_one_hiccup() {
        let trouble = DiskTrouble::default();
        let late = |ms| trouble.reads.late(Timestamp(ms), LIMIT);
        assert!(![1_000; 20].into_iter().any(late), "all at once");
        assert!(!late(1_749));
        assert!(late(1_750), "and a second later still nothing is back");
        trouble.reads.in_time();
        assert!(![5_000, 5_250, 5_500].into_iter().any(late));
        assert!(!trouble.writes.late(Timestamp(5_600), LIMIT), "what is written is another matter");
        assert!(late(5_750));
        trouble.begin();
        assert!(!late(6_000));
    }
}
