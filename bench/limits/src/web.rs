//! A set of URLs and who asks for which: popularity by Zipf's law, sizes independent of it. Each follows from its number
//! alone, so that origin, load and report agree without telling each other.

use crate::serve::given;

/// Exponent of popularity.
const S: f64 = 0.9;
/// Bytes: half of the objects are smaller; the mean is five times as much, as on the web few large ones make most bytes.
const MEDIAN: f64 = 2048.0;
const SIGMA: f64 = 1.8;
const SMALLEST: f64 = 200.0;
const LARGEST: f64 = 5.0 * 1024.0 * 1024.0;
/// Of sizes that are spread evenly over their orders of magnitude.
const EVENLY: [f64; 2] = [1024.0, 1024.0 * 1024.0];
const SIZES: u64 = 0x5eed_0001;
const ORDER: u64 = 0x5eed_0002;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1).
    fn unit(&mut self) -> f64 {
        ((self.number() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

/// How sizes are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// As on the web: log-normal.
    Web,
    /// From 1 KiB to 1 MiB, as many from 1 to 2 KiB as from 512 KiB to 1 MiB.
    LogUniform,
}

impl Sizes {
    /// Those of `--sizes log-uniform`, or else those of the web.
    pub fn from_arguments() -> Sizes {
        match given("--sizes").as_deref() {
            Some("log-uniform") => Sizes::LogUniform,
            _ => Sizes::Web,
        }
    }

    /// Bytes of the body of object `number`.
    pub fn size(self, number: u64) -> usize {
        let mut random = Random(SIZES ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        match self {
            Sizes::Web => {
                let (radius, angle) = ((-2.0 * random.unit().ln()).sqrt(), std::f64::consts::TAU * random.unit());
                let normal = radius * angle.cos();
                (MEDIAN * (SIGMA * normal).exp()).clamp(SMALLEST, LARGEST) as usize
            }
            Sizes::LogUniform => (EVENLY[0] * (EVENLY[1] / EVENLY[0]).powf(random.unit())) as usize,
        }
    }

    pub fn largest(self) -> usize {
        match self {
            Sizes::Web => LARGEST as usize,
            Sizes::LogUniform => EVENLY[1] as usize,
        }
    }

    /// Bytes of all bodies of a set of so many objects.
    pub fn bytes(self, objects: u64) -> u64 {
        (1..=objects).map(|number| self.size(number) as u64).sum()
    }
}

/// The numbers that are asked for, one after the other, the same in every run.
pub struct Order {
    random: Random,
    /// Of each object, the chance that it or a more popular one is asked for.
    below: Vec<f64>,
}

impl Order {
    pub fn new(objects: u64) -> Order {
        let weights = (1..=objects).map(|rank| (rank as f64).powf(-S));
        let sums = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        let mut below: Vec<f64> = sums.collect();
        let all = below.last().copied().unwrap_or(1.0);
        below.iter_mut().for_each(|sum| *sum /= all);
        Order { random: Random(ORDER), below }
    }
}

impl Iterator for Order {
    type Item = u64;
    fn next(&mut self) -> Option<u64> {
        let drawn = self.random.unit();
        Some(self.below.partition_point(|part| *part < drawn).min(self.below.len() - 1) as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_web_and_the_same_each_time() {
        let size = |number| Sizes::Web.size(number);
        let mut sizes: Vec<usize> = (1..=100_000).map(size).collect();
        assert_eq!(sizes[..3], [size(1), size(2), size(3)]);
        sizes.sort_unstable();
        assert!(sizes[50_000].abs_diff(2048) < 50, "median {}", sizes[50_000]);
        assert!(sizes[0] == 200 && sizes[99_999] > 1 << 20 && sizes[99_999] <= 5 << 20);
        let mean = Sizes::Web.bytes(100_000) / 100_000;
        assert!((9 << 10..12 << 10).contains(&mean), "mean {mean}");
    }

    #[test]
    fn a_tenth_of_the_sizes_that_are_spread_evenly_is_in_each_doubling() {
        let mut counts = [0u32; 10];
        for number in 1..=100_000 {
            counts[Sizes::LogUniform.size(number).ilog2() as usize - 10] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 500), "{counts:?}");
        assert!((14 << 30..15 << 30).contains(&Sizes::LogUniform.bytes(100_000)));
    }

    #[test]
    fn the_first_is_asked_for_twice_to_the_ninth_tenth_as_often_as_the_second() {
        let mut counts = [0u32; 3];
        for number in Order::new(1000).take(1_000_000).filter(|number| *number <= 2) {
            counts[number as usize] += 1;
        }
        let ratio = f64::from(counts[1]) / f64::from(counts[2]);
        assert!((ratio - 2f64.powf(0.9)).abs() < 0.05, "{ratio}");
    }
}
