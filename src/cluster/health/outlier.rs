//! PURE. Is a node slow on what it holds? Judged by its hits alone, of which none waits for an origin, and against the
//! hits of the others: what slows all of them down is this machine, and no reason to pass anybody over.
//!
//! Times are milliseconds of the steady clock.

/// Older hits say nothing any more.
const WINDOW: u64 = 2_000;
/// Fewer hits within the window say nothing either.
const ENOUGH: usize = 5;
/// As many hits are kept; with more of them the window is shorter.
const KEPT: usize = 128;
/// A median over time is one over slices of it.
const SLICE: u64 = 50;
/// So many times longer than usual is slow.
const TIMES: u32 = 3;
/// How long a slow node is left alone: the first time, and at most. It doubles with each relapse.
const FIRST_PAUSE: u64 = 1_000;
const LONGEST_PAUSE: u64 = 60_000;
/// A node that did well for so long, and for twice its last pause, is trusted as before.
const FORGIVEN: u64 = 10_000;
/// A trial without enough hits ends after so long. In its favour: nothing speaks against it any more.
const TRIAL: u64 = 5_000;
/// On trial a node is sent so many of the requests that it owns between two judgements.
const TRICKLE: u32 = 2;

/// Hits of one node lately: when, and how long each took from the request written to the head read.
#[derive(Debug, Default)]
pub struct Window {
    hits: Vec<(u64, u32)>,
    next: usize,
}

/// What a [`Window`] shows. The median is that over the hits or that over time, whichever is longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowView {
    pub hits: usize,
    pub median: u32,
}

/// What the hits of all nodes take, for the comparison with each of them.
#[derive(Debug, Default)]
pub struct Usual {
    sorted: Vec<u32>,
}

/// What a node is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    pub seen: WindowView,
    /// What the hits of the other nodes take; `None`: nobody knows.
    pub usual: Option<u32>,
    /// Nothing below is slow.
    pub floor: u32,
    /// One more node may be passed over on suspicion.
    pub room: bool,
}

/// Where a node stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum OutlierStanding {
    /// It is sent all that it owns.
    #[default]
    Full,
    /// Nothing.
    Paused { until: u64 },
    /// A trickle.
    Trial { until: u64 },
}

/// What a judgement changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutlierChange {
    Nothing,
    /// Passed over for so long.
    PassOver {
        pause: u64,
    },
    /// Asked again, with care: what was seen before does not count.
    Try,
    PutBack,
}

/// The state machine of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    standing: OutlierStanding,
    /// The last pause; 0: it has never been slow, or that is forgiven.
    pause: u64,
    /// Since when it has been back in full.
    since: u64,
}

impl Window {
    pub fn note(&mut self, now: u64, took: u32) {
        match self.hits.get_mut(self.next) {
            Some(oldest) => *oldest = (now, took),
            None => self.hits.push((now, took)),
        }
        self.next = (self.next + 1) % KEPT;
    }

    pub fn clear(&mut self) {
        self.hits.clear();
        self.next = 0;
    }

    pub fn seen(&self, now: u64) -> WindowView {
        let recent: Vec<_> = self.hits.iter().filter(|(at, _)| now.saturating_sub(*at) <= WINDOW).copied().collect();
        let by_hits = lower_median(recent.iter().map(|(_, took)| *took).collect()).unwrap_or(0);
        WindowView { hits: recent.len(), median: by_hits.max(by_time(&recent, now)) }
    }
}

/// The median over time of what those take who wait just then. A node that stops and goes answers most of its hits
/// quickly, while it goes, and keeps everybody waiting for most of the time. 0 where only a few take so long.
fn by_time(hits: &[(u64, u32)], now: u64) -> u32 {
    if hits.iter().all(|(_, took)| u64::from(*took) < 2 * SLICE) {
        return 0;
    }
    let under_way = |end: u64| {
        let begin = end.saturating_sub(SLICE);
        let some = hits.iter().filter(move |(at, took)| *at > begin && at.saturating_sub(u64::from(*took)) < end);
        lower_median(some.map(|(_, took)| *took).collect())
    };
    let slices = (0..WINDOW / SLICE).filter_map(|n| under_way(now.saturating_sub(n * SLICE)));
    let median = lower_median(slices.collect()).unwrap_or(0);
    let as_long = hits.iter().filter(|(_, took)| *took >= median).count();
    if as_long >= ENOUGH { median } else { 0 }
}

fn lower_median(mut all: Vec<u32>) -> Option<u32> {
    let middle = all.len().checked_sub(1)? / 2;
    Some(*all.select_nth_unstable(middle).1)
}

impl WindowView {
    /// The median, where there are enough hits for one.
    fn known(self) -> Option<u32> {
        (self.hits >= ENOUGH).then_some(self.median)
    }
}

impl Usual {
    pub fn of(all: impl IntoIterator<Item = WindowView>) -> Usual {
        let mut sorted: Vec<u32> = all.into_iter().filter_map(WindowView::known).collect();
        sorted.sort_unstable();
        Usual { sorted }
    }

    /// The median over the others than the one that was seen so. The lower one of two: of three nodes of which two are
    /// slow, one can be told so by the third.
    pub fn besides(&self, own: WindowView) -> Option<u32> {
        let Some(own) = own.known().and_then(|own| self.sorted.binary_search(&own).ok()) else {
            return self.sorted.get(self.sorted.len().checked_sub(1)? / 2).copied();
        };
        let middle = self.sorted.len().checked_sub(2)? / 2;
        self.sorted.get(if own <= middle { middle + 1 } else { middle }).copied()
    }
}

impl Evidence {
    fn is_slow(&self) -> bool {
        let slow = |median: u32, usual: u32| median >= self.floor && median / TIMES >= usual;
        self.seen.known().zip(self.usual).is_some_and(|(median, usual)| slow(median, usual))
    }
}

impl Pace {
    /// To be called several times a second.
    pub fn judge(&mut self, now: u64, evidence: &Evidence) -> OutlierChange {
        match self.standing {
            OutlierStanding::Full if evidence.room && evidence.is_slow() => self.pass_over(now),
            OutlierStanding::Full => {
                self.forgive(now);
                OutlierChange::Nothing
            }
            OutlierStanding::Paused { until } if now >= until => {
                self.standing = OutlierStanding::Trial { until: now + TRIAL };
                OutlierChange::Try
            }
            OutlierStanding::Trial { .. } if evidence.is_slow() => self.pass_over(now),
            OutlierStanding::Trial { until } if now >= until || evidence.seen.known().is_some() => {
                (self.standing, self.since) = (OutlierStanding::Full, now);
                OutlierChange::PutBack
            }
            OutlierStanding::Paused { .. } | OutlierStanding::Trial { .. } => OutlierChange::Nothing,
        }
    }

    fn pass_over(&mut self, now: u64) -> OutlierChange {
        self.pause = if self.pause == 0 { FIRST_PAUSE } else { (self.pause * 2).min(LONGEST_PAUSE) };
        self.standing = OutlierStanding::Paused { until: now + self.pause };
        OutlierChange::PassOver { pause: self.pause }
    }

    fn forgive(&mut self, now: u64) {
        if now.saturating_sub(self.since) >= FORGIVEN.max(2 * self.pause) {
            self.pause = 0;
        }
    }

    /// Passed over, wholly or nearly so.
    pub fn is_suspect(&self) -> bool {
        self.standing != OutlierStanding::Full
    }

    /// How many requests it may be sent until it is judged again; `None`: all that it owns.
    pub fn allowance(&self) -> Option<u32> {
        match self.standing {
            OutlierStanding::Full => None,
            OutlierStanding::Paused { .. } => Some(0),
            OutlierStanding::Trial { .. } => Some(TRICKLE),
        }
    }
}

#[cfg(test)]
#[path = "outlier_tests.rs"]
mod tests;
