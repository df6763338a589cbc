//! Looks at the clock and does nothing else: how long it stood still all the same is what the machine, or the host that it
//! is a guest of, takes away from whatever runs.

use limits::serve::argument;
use std::time::{Duration, Instant};

const USAGE: &str = "stalls --seconds N
  prints, in microseconds: how long one request in a thousand had to wait if they were due at any time; the longest time";

/// Shorter ones are interrupts.
const LEAST: Duration = Duration::from_micros(20);
const MOST: usize = 1 << 20;

fn main() {
    let seconds = argument("--seconds", USAGE).parse().expect("--seconds needs a number");
    let (whole, started) = (Duration::from_secs(seconds), Instant::now());
    let (mut last, mut gaps) = (started, Vec::new());
    while last - started < whole && gaps.len() < MOST {
        let now = Instant::now();
        if now - last > LEAST {
            gaps.push(now - last);
        }
        last = now;
    }
    let longest = gaps.iter().max().copied().unwrap_or_default();
    println!("{} {}", waited(&gaps, whole / 1000, longest).as_micros(), longest.as_micros());
}

/// The time that only what is due in `share` of all the time waits for, or longer: in each gap that is what is left of it.
fn waited(gaps: &[Duration], share: Duration, longest: Duration) -> Duration {
    let (mut low, mut high) = (Duration::ZERO, longest);
    while high - low > Duration::from_micros(1) {
        let middle = (low + high) / 2;
        let longer: Duration = gaps.iter().map(|gap| gap.saturating_sub(middle)).sum();
        if longer > share { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_thousand_waits_for_what_is_left_of_the_gaps() {
        let milliseconds = Duration::from_millis;
        let waited = |gaps: &[u64]| {
            let gaps: Vec<_> = gaps.iter().map(|&gap| milliseconds(gap)).collect();
            waited(&gaps, milliseconds(1), milliseconds(10)).as_micros()
        };
        assert!(waited(&[]) <= 1 && waited(&[1]) <= 1, "what is due in a gap that is a thousandth of the time");
        assert!((8_999..=9_001).contains(&waited(&[10, 2])), "the last of ten milliseconds");
        assert!((8_499..=8_501).contains(&waited(&[9, 9])));
    }
}
