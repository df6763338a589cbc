//! PURE. What is worth writing: a disk that turns over within a day wears out for what nobody asks for twice, and one that turns over
//! within an hour has room for a small part of what comes: what has come three times is more likely to come again.

use crate::config::Admit;
use crate::policy::{Marks, Terms};
use crate::wire::date::Timestamp;

/// What may be answered with for less, in milliseconds, and has no validator is gone before it is asked for again.
const BRIEF: u64 = 60_000;
const DAY: u64 = 86_400_000;
const HOUR: u64 = 3_600_000;
/// A budget that was not used adds up to this part of a day's.
const SAVED: u64 = 24;

/// What a 304 adds to freshness is written down from so many milliseconds on.
const WORTH: u64 = 600_000;

/// Why something is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Larger than `disk.max_object`, or than a record may be.
    TooLarge,
    /// Of use for less than a minute, fresh or stale, and without a validator.
    Brief,
    /// It has not come often enough.
    First,
    /// `disk.writes` is used up.
    Budget,
    /// The disk is behind with its writing.
    Behind,
    /// The disk is not there, or not yet.
    Off,
}

impl Skipped {
    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Skipped::TooLarge => "it is larger than [disk] max_object, or than half the disk (docs/disk.md)",
            Skipped::Brief => "it is of use for less than a minute, fresh or stale, and has no validator",
            Skipped::First => {
                "it has not come often enough lately: it is written the second time, or the third ([disk] admit)"
            }
            Skipped::Budget => "[disk] writes was used up when it came",
            Skipped::Behind => "too much waited to be written when it came",
            Skipped::Off => "the disk could not be written when it came",
        }
    }

    /// In their order: a count of each has its place by that.
    pub const ALL: [(Skipped, &str); 6] = [
        (Skipped::TooLarge, "too_large"),
        (Skipped::Brief, "brief"),
        (Skipped::First, "first"),
        (Skipped::Budget, "budget"),
        (Skipped::Behind, "behind"),
        (Skipped::Off, "off"),
    ];
}

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub enum Offered<'a> {
    /// Of what memory keeps.
    Record(&'a Terms),
    /// A body that is to have a file of its own. Memory may not keep it, so that to come once more is another whole fetch: twice is
    /// enough.
    Body(&'a Terms),
    /// What memory has no room for: however brief, it is on the disk or nowhere.
    Only,
}

/// Decides what is written.
#[derive(Debug)]
pub struct AdmissionGate {
    admit: Admit,
    budget: Option<Budget>,
    /// What came once, and what came twice.
    ghosts: [Ghost; 2],
    /// Nothing has to come more often.
    most: usize,
}

impl AdmissionGate {
    /// `writes`: bytes a day, 0: no limit; `objects`: about so many have room on the disk.
    pub fn new(admit: Admit, writes: u64, objects: u64) -> AdmissionGate {
        let budget = (writes > 0).then_some(Budget { daily: writes, left: writes / SAVED, at: Timestamp(0) });
        AdmissionGate { admit, budget, ghosts: [Ghost::new(objects), Ghost::new(objects)], most: 3 }
    }

    /// The process ends, and what memory has is to survive that: what has come before is written.
    pub fn ends(&mut self) {
        self.most = 2;
    }

    /// `turns_over`: how long the oldest has been there, where it goes for what comes.
    pub fn judge(
        &mut self,
        hash: u64,
        offered: Offered<'_>,
        bytes: u64,
        turns_over: Option<u64>,
        now: Timestamp,
    ) -> Result<(), Skipped> {
        let times = match offered {
            Offered::Record(terms) => last(terms, now).map(|()| self.times(turns_over))?,
            Offered::Body(terms) => last(terms, now).map(|()| self.times(turns_over).min(2))?,
            Offered::Only => self.times(turns_over),
        };
        if !self.ghosts.iter_mut().take(times - 1).all(|ghost| ghost.has_come(hash)) {
            return Err(Skipped::First);
        }
        match self.budget.as_mut().is_none_or(|budget| budget.takes(bytes, now)) {
            true => Ok(()),
            false => Err(Skipped::Budget),
        }
    }

    /// What has to have come so often.
    fn times(&self, turns_over: Option<u64>) -> usize {
        let times = match (self.admit, turns_over) {
            (Admit::Always, _) => 1,
            (Admit::Second, _) => 2,
            (Admit::Auto, Some(age)) if age < HOUR => 3,
            (Admit::Auto, Some(age)) if age < DAY => 2,
            (Admit::Auto, _) => 1 + usize::from(self.budget.is_some()),
        };
        times.min(self.most)
    }
}

/// Whether it is of use for long enough.
fn last(terms: &Terms, now: Timestamp) -> Result<(), Skipped> {
    let stale = 1000 * u64::from(terms.stale_while_revalidate.max(terms.stale_if_error));
    let is_brief = terms.expires().0.saturating_add(stale) < now.0.saturating_add(BRIEF);
    if is_brief && !terms.marks.has(Marks::VALIDATOR) { Err(Skipped::Brief) } else { Ok(()) }
}

/// Whether what a 304 made of a stored response need not be written down: what is on disk is as stale as what was confirmed,
/// says the same of its reuse, and would not be fresh for much longer.
pub fn stays(old: &Terms, new: &Terms, now: Timestamp) -> bool {
    let said = |terms: &Terms| (terms.marks, terms.stale_while_revalidate, terms.stale_if_error);
    old.fresh_until <= now && said(old) == said(new) && new.expires().millis_since(now) < WORTH
}

#[derive(Debug)]
struct Budget {
    daily: u64,
    left: u64,
    at: Timestamp,
}

impl Budget {
    fn takes(&mut self, bytes: u64, now: Timestamp) -> bool {
        let passed = now.millis_since(self.at).min(DAY / SAVED);
        let more = u128::from(self.daily) * u128::from(passed) / u128::from(DAY);
        // What is less than a byte is not lost: the time stays.
        if more > 0 {
            self.left = self.left.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)).min(self.daily / SAVED);
            self.at = now;
        }
        let enough = self.left >= bytes;
        self.left -= if enough { bytes } else { 0 };
        enough
    }
}

/// What came lately: two Bloom filters, of which the older one is emptied when the newer one is full. At most 2.5 bytes
/// for an object that has room on the disk, and none before it is first asked.
#[derive(Debug)]
struct Ghost {
    newer: Vec<u64>,
    older: Vec<u64>,
    count: u64,
    most: u64,
}

const BITS_EACH: u64 = 10;
const PROBES: u32 = 4;

impl Ghost {
    fn new(objects: u64) -> Ghost {
        Ghost { newer: Vec::new(), older: Vec::new(), count: 0, most: objects.max(1024) }
    }

    /// Whether it came before; it has now.
    fn has_come(&mut self, hash: u64) -> bool {
        if self.newer.is_empty() {
            let words = (self.most * BITS_EACH).div_ceil(64) as usize;
            (self.newer, self.older) = (vec![0; words], vec![0; words]);
        }
        if self.count >= self.most {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.fill(0);
            self.count = 0;
        }
        let bits = self.newer.len() as u64 * 64;
        let step = hash.rotate_left(32) | 1;
        let places = (0..PROBES).map(|n| {
            let bit = hash.wrapping_add(step.wrapping_mul(u64::from(n))) % bits;
            ((bit / 64) as usize, 1_u64 << (bit % 64))
        });
        let is_in = |filter: &[u64]| places.clone().all(|(word, bit)| filter[word] & bit != 0);
        let (is_new, is_old) = (is_in(&self.newer), is_in(&self.older));
        if !is_new {
            places.for_each(|(word, bit)| self.newer[word] |= bit);
            self.count += 1;
        }
        is_new || is_old
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::LifetimeSource;
    use xxhash_rust::xxh3::xxh3_64;

    fn hash(n: u64) -> u64 {
        xxh3_64(&n.to_le_bytes())
    }

    fn terms(lifetime: u64, marks: Marks) -> Terms {
        let (born, fresh_until) = (Timestamp(0), Timestamp(lifetime));
        let (stale_while_revalidate, stale_if_error, source) = (0, 0, LifetimeSource::MaxAge);
        Terms {
            born,
            received: born,
            waited: 0,
            lifetime,
            fresh_until,
            stale_while_revalidate,
            stale_if_error,
            source,
            marks,
        }
    }

    #[test]
    fn what_is_worth_writing_by_mode_age_of_the_disk_and_freshness() {
        let (hour, marks) = (3_600_000, Marks::NONE);
        for (admit, turns_over, terms, expected) in [
            (Admit::Always, Some(1), terms(hour, marks), Ok(())),
            (Admit::Second, None, terms(hour, marks), Err(Skipped::First)),
            (Admit::Auto, None, terms(hour, marks), Ok(())),
            (Admit::Auto, Some(DAY), terms(hour, marks), Ok(())),
            (Admit::Auto, Some(DAY - 1), terms(hour, marks), Err(Skipped::First)),
            (Admit::Auto, Some(HOUR), terms(hour, marks), Err(Skipped::First)),
            (Admit::Always, None, terms(BRIEF - 1, marks), Err(Skipped::Brief)),
            (Admit::Always, None, terms(0, Marks::VALIDATOR), Ok(())),
            (Admit::Always, None, Terms { stale_if_error: 60, ..terms(0, marks) }, Ok(())),
            (Admit::Always, None, Terms { stale_while_revalidate: 59, ..terms(0, marks) }, Err(Skipped::Brief)),
        ] {
            let mut gate = AdmissionGate::new(admit, 0, 0);
            assert_eq!(
                gate.judge(hash(1), Offered::Record(&terms), 1, turns_over, Timestamp(0)),
                expected,
                "{admit:?} {turns_over:?}"
            );
            if expected == Err(Skipped::First) {
                assert_eq!(
                    gate.judge(hash(1), Offered::Record(&terms), 1, turns_over, Timestamp(0)),
                    Ok(()),
                    "the second time"
                );
            }
        }
    }

    #[test]
    fn the_quicker_the_disk_turns_over_the_more_often_something_has_to_come() {
        for (turns_over, budget, times) in [
            (None, 0, 1),
            (Some(DAY), 0, 1),
            (None, 9, 2),
            (Some(DAY - 1), 0, 2),
            (Some(HOUR), 9, 2),
            (Some(HOUR - 1), 0, 3),
        ] {
            let mut gate = AdmissionGate::new(Admit::Auto, budget << 40, 0);
            let came = (1..9).find(|_| gate.judge(hash(1), Offered::Only, 1, turns_over, Timestamp(DAY)).is_ok());
            assert_eq!(came, Some(times), "{turns_over:?} {budget}");
        }
        let mut ends = AdmissionGate::new(Admit::Auto, 0, 0);
        assert_eq!(ends.judge(hash(1), Offered::Only, 1, Some(1), Timestamp(0)), Err(Skipped::First));
        ends.ends();
        assert_eq!(
            ends.judge(hash(1), Offered::Only, 1, Some(1), Timestamp(0)),
            Ok(()),
            "it came once, and is in memory"
        );
        let mut second = AdmissionGate::new(Admit::Second, 0, 0);
        assert_eq!(
            (1..9).find(|_| second.judge(hash(1), Offered::Only, 1, Some(1), Timestamp(0)).is_ok()),
            Some(2),
            "as was said"
        );
    }

    #[test]
    fn a_304_is_written_down_where_it_buys_much_or_says_something_else() {
        let stale = terms(1_000, Marks::VALIDATOR);
        let now = Timestamp(2_000);
        let fresh_for = |ms| Terms { fresh_until: Timestamp(now.0 + ms), ..stale };
        for (old, new, expected) in [
            (stale, fresh_for(60_000), true),
            (stale, fresh_for(WORTH), false),
            (stale, Terms { marks: Marks::NO_CACHE, ..fresh_for(0) }, false),
            (stale, Terms { stale_if_error: 9, ..fresh_for(0) }, false),
            (fresh_for(1), fresh_for(2), false),
            (stale.invalidated(), fresh_for(60_000), false),
        ] {
            assert_eq!(stays(&old, &new, now), expected, "{new:?}");
        }
    }

    #[test]
    fn each_reason_has_a_place_of_its_own_among_the_counts() {
        assert!(Skipped::ALL.iter().enumerate().all(|(place, (why, _))| *why as usize == place));
    }

    #[test]
    fn a_budget_is_spent_and_comes_back() {
        let mut gate = AdmissionGate::new(Admit::Always, 24_000, 0);
        let terms = terms(DAY * 9, Marks::NONE);
        let mut at = |ms, bytes| gate.judge(1, Offered::Record(&terms), bytes, None, Timestamp(DAY + ms));
        assert_eq!((at(0, 900), at(0, 101)), (Ok(()), Err(Skipped::Budget)));
        assert_eq!((at(0, 100), at(3_599_999, 1_000)), (Ok(()), Err(Skipped::Budget)));
        assert_eq!(at(DAY, 1_000), Ok(()));
        assert_eq!(at(DAY, 1), Err(Skipped::Budget), "a day of rest saves an hour's");
    }

    #[test]
    fn the_ghost_knows_what_came_lately_and_hardly_anything_else() {
        let mut ghost = Ghost::new(10_000);
        let wrong = (0..10_000).filter(|n| ghost.has_come(hash(*n))).count();
        assert!(wrong < 100, "{wrong} of 10,000");
        assert!((0..10_000).all(|n| ghost.has_come(hash(n))));
        (10_000..40_000).for_each(|n| _ = ghost.has_come(hash(n)));
        let wrong = (0..1_000).filter(|n| ghost.has_come(hash(*n))).count();
        assert!(wrong < 50, "{wrong} of 1,000 are remembered for too long");
    }
}
