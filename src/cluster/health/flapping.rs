//! PURE. A node that comes and goes, as behind a lossy link: each return has it validate all that it holds, so it is left
//! out for longer each time.

use crate::cluster::views::Millis;

/// The pause after the first relapse; it doubles with each that follows.
const FIRST: Millis = 1000;
const MOST: Millis = 60_000;
/// Who has been up for so long, or for twice his last pause, is well again.
const WELL: Millis = 30_000;

/// What of that is known of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relapses {
    fell: Millis,
    /// When it was last put up after having been passed over.
    rose: Option<Millis>,
    pause: Millis,
}

impl Relapses {
    /// It is passed over: for how long at least.
    pub fn fall(&mut self, now: Millis) -> Millis {
        let well = WELL.max(2 * self.pause);
        let is_relapse = self.rose.is_some_and(|rose| now.saturating_sub(rose) < well);
        self.pause = if is_relapse { (2 * self.pause).clamp(FIRST, MOST) } else { 0 };
        self.fell = now;
        self.pause
    }

    /// It is used again.
    pub fn rise(&mut self, now: Millis) {
        self.rose = Some(now);
    }

    /// Whether it is still to be left out. A clock that was put back prolongs nothing.
    pub fn lasts(&self, now: Millis) -> bool {
        now >= self.fell && now - self.fell < self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_absence_costs_no_pause_and_each_relapse_a_longer_one_until_it_has_been_well() {
        let (mut relapses, mut now) = (Relapses::default(), 5);
        for expected in [0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
            assert_eq!(relapses.fall(now), expected);
            assert_eq!((relapses.lasts(now), relapses.lasts(now + expected)), (expected > 0, false));
            assert!(expected == 0 || relapses.lasts(now + expected - 1));
            assert!(!relapses.lasts(now - 1), "the clock was put back");
            now += expected + 300;
            relapses.rise(now);
            now += 500;
        }
        now += 2 * MOST;
        assert_eq!(relapses.fall(now), 0, "it was well for long enough");
        relapses.rise(now);
        assert_eq!(relapses.fall(now + WELL), 0);
        relapses.rise(now + WELL);
        assert_eq!(relapses.fall(now + 2 * WELL - 1), FIRST);
    }
}
