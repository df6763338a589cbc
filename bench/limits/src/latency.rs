//! Latencies in buckets that are at most 2 % wide, and the slots of time that they are counted in.

use std::time::{Duration, SystemTime};

/// So short that little is lost with one in which something else went on.
const SLOT: Duration = Duration::from_millis(25);

/// The number of the slot that it is now: the same in all programs.
pub fn slot() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64 / SLOT.as_millis() as u64
}

const BITS: u32 = 7;
const HALF: usize = 1 << (BITS - 1);

/// Nanoseconds, as a floating point number of 7 bits.
#[derive(Default)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        let nanoseconds = latency.as_nanos() as u64;
        let bucket = bucket(nanoseconds);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// Of each bucket that holds some: the largest nanoseconds, and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (upper(bucket), *count))
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// What the share `part` of all stays at or below.
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted.max(1)
        });
        Duration::from_nanos(found.map_or(0, upper).min(self.max))
    }
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS);
    shift as usize * HALF + (value >> shift) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let shift = (bucket / HALF).saturating_sub(1);
    let digits = bucket - shift * HALF;
    ((digits as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_value_and_is_at_most_two_percent_wide() {
        for value in (0..100_000).chain([1 << 20, (1 << 30) + 12_345, u64::MAX >> 1]) {
            let upper = upper(bucket(value));
            assert!(upper >= value && upper - value <= value / 32, "{value}: {upper}");
        }
    }

    #[test]
    fn a_quantile_is_the_value_that_so_many_stay_below() {
        let mut latencies = Latencies::default();
        (1..=1000).for_each(|value| latencies.add(Duration::from_nanos(value)));
        assert_eq!(latencies.quantile(0.05), Duration::from_nanos(50));
        assert!(latencies.quantile(0.5).abs_diff(Duration::from_nanos(500)) < Duration::from_nanos(10));
        assert_eq!(latencies.quantile(1.0), Duration::from_nanos(1000));
        assert_eq!(Latencies::default().quantile(0.5), Duration::ZERO);
    }
}
