//! PURE. Whether a disk is to be left alone, and for how long.

use crate::wire::date::Timestamp;
use std::cell::Cell;
use std::time::Duration;

/// So many errors within a minute (in milliseconds), or waits in a row that were too long.
const ERRORS: u32 = 16;
const MINUTE: u64 = 60_000;
const LATE: u32 = 4;
/// For so long at first, and for so long at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// What has gone wrong lately.
#[derive(Debug, Default)]
pub struct DiskTrouble {
    errors: Cell<u32>,
    since: Cell<Timestamp>,
    late: Cell<u32>,
    pauses: Cell<u32>,
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

    /// Something took too long; whether that was so too often in a row.
    pub fn late(&self) -> bool {
        self.late.set(self.late.get() + 1);
        self.late.get() >= LATE
    }

    pub fn in_time(&self) {
        self.late.set(0);
    }

    /// For how long it is left alone if it fails now.
    pub fn pause(&self) -> Duration {
        PAUSE.0.saturating_mul(1 << self.pauses.get().min(16)).min(PAUSE.1)
    }

    /// It is tried again.
    pub fn begin(&self) {
        self.pauses.set(self.pauses.get().saturating_add(1));
        self.errors.set(0);
        self.late.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_left_alone_after_many_errors_in_a_minute_or_a_few_long_waits_in_a_row_and_longer_each_time() {
        let trouble = DiskTrouble::default();
        let at = |ms| (1..ERRORS).any(|_| trouble.error(Timestamp(ms)));
        assert_eq!((at(100_000), at(160_001), trouble.error(Timestamp(160_002))), (false, false, true));
        assert!(!(1..LATE).any(|_| trouble.late()));
        trouble.in_time();
        assert!(!(1..LATE).any(|_| trouble.late()) && trouble.late());
        let pauses = [(); 8].map(|()| {
            let pause = trouble.pause().as_secs();
            trouble.begin();
            pause
        });
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert!(!trouble.late() && !trouble.error(Timestamp(160_003)));
    }
}
