//! Zipf's law over as many ranks as one likes: the k-th is asked for in proportion to `k^-s`.

/// SplitMix64, for the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The sum of `k^-s` for k from 1 to n: exactly for the first thousand, by the Euler-Maclaurin formula for the rest.
pub fn harmonic(n: f64, s: f64) -> f64 {
    const EXACT: f64 = 1000.0;
    let exact: f64 = (1..=n.min(EXACT) as u64).map(|k| (k as f64).powf(-s)).sum();
    if n <= EXACT {
        return exact;
    }
    exact + integral(EXACT, n, s) + (n.powf(-s) - EXACT.powf(-s)) / 2.0
}

fn integral(from: f64, to: f64, s: f64) -> f64 {
    if (s - 1.0).abs() < 1e-9 { (to / from).ln() } else { (to.powf(1.0 - s) - from.powf(1.0 - s)) / (1.0 - s) }
}

/// Draws ranks by rejection-inversion (Hörmann and Derflinger 1996), which needs no table of them.
pub struct Zipf {
    n: f64,
    s: f64,
    low: f64,
    high: f64,
}

impl Zipf {
    pub fn new(n: f64, s: f64) -> Zipf {
        let h = |x: f64| primitive(x, s);
        Zipf { n, s, low: h(1.5) - 1.0, high: h(n + 0.5) }
    }

    /// From 1 to n.
    pub fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let u = self.high + random.unit() * (self.low - self.high);
            let x = inverse(u, self.s);
            let k = x.round().clamp(1.0, self.n);
            if u >= primitive(k + 0.5, self.s) - k.powf(-self.s) {
                return k as u64;
            }
        }
    }
}

/// Of `x^-s`.
fn primitive(x: f64, s: f64) -> f64 {
    if (s - 1.0).abs() < 1e-9 { x.ln() } else { (x.powf(1.0 - s) - 1.0) / (1.0 - s) }
}

fn inverse(y: f64, s: f64) -> f64 {
    if (s - 1.0).abs() < 1e-9 { y.exp() } else { (1.0 + y * (1.0 - s)).powf(1.0 / (1.0 - s)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_is_the_sum() {
        for s in [0.7, 0.9, 1.0, 1.2] {
            let sum: f64 = (1..=200_000u64).map(|k| (k as f64).powf(-s)).sum();
            assert!((harmonic(200_000.0, s) / sum - 1.0).abs() < 1e-6, "{s}");
        }
    }

    #[test]
    fn ranks_are_drawn_as_often_as_they_are_to_be() {
        for s in [0.7, 1.0] {
            let (zipf, mut random) = (Zipf::new(1e6, s), Random(1));
            let mut counts = [0u32; 4];
            const DRAWS: u32 = 2_000_000;
            for _ in 0..DRAWS {
                if let Some(count) = counts.get_mut(zipf.draw(&mut random) as usize - 1) {
                    *count += 1;
                }
            }
            for (i, count) in counts.into_iter().enumerate() {
                let expected = f64::from(DRAWS) * (i as f64 + 1.0).powf(-s) / harmonic(1e6, s);
                assert!((f64::from(count) - expected).abs() < 5.0 * expected.sqrt(), "{s}: rank {}", i + 1);
            }
        }
    }
}
