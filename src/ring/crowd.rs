//! How evenly the load lies when some URLs are asked for far more often than others.

use super::tests::numbered;
use super::*;

const URLS: usize = 1_000_000;
const NODES: usize = 8;
const REQUESTS: usize = if cfg!(debug_assertions) { 300_000 } else { 3_000_000 };
/// A second, for what forgets by the second.
const A_SECOND: usize = REQUESTS / 6;
/// How busy the nodes are on average.
const BUSY: f64 = 0.8;

/// URLs drawn by Zipf's law with exponent 1: the k-th is asked for in proportion to 1/k.
struct Zipf {
    sums: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(seed: u64) -> Zipf {
        let mut sum = 0.0;
        let sums = (1..=URLS).map(|k| {
            sum += 1.0 / k as f64;
            sum
        });
        Zipf { sums: sums.collect(), state: seed }
    }

    fn next(&mut self) -> usize {
        let drawn = self.unit() * self.sums[URLS - 1];
        self.sums.partition_point(|sum| *sum < drawn).min(URLS - 1)
    }

    /// SplitMix64, for the same load in every run.
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64)
    }
}

/// What each node was asked, relative to the mean, when requests come at a steady rate and each takes a node as long.
fn busiest(seed: u64, hot: bool, factor: f64) -> f64 {
    let ring = Ring::new(Hash::Xxh3, 512, numbered(NODES));
    let (mut zipf, mut keys) = (Zipf::new(seed), HotKeys::new(NODES));
    let (mut asked, mut queues) = (vec![0u32; NODES], [0f64; NODES]);
    for n in 0..REQUESTS {
        keys.advance((n * 1000 / A_SECOND) as u64);
        queues.iter_mut().for_each(|queue| *queue = (*queue - 1.0 / (BUSY * NODES as f64)).max(0.0));
        let position = ring.position(&format!("http://{seed}.example/{}", zipf.next()));
        let heat = keys.note(position).filter(|_| hot);
        let choice = ring.choose(position, heat, factor, |member| Some(queues[member].ceil() as u32)).unwrap();
        asked[choice.member] += 1;
        queues[choice.member] += 1.0;
    }
    f64::from(*asked.iter().max().unwrap()) * NODES as f64 / REQUESTS as f64
}

#[test]
fn under_zipf_the_busiest_of_eight_nodes_has_at_most_a_quarter_more_than_its_share() {
    for seed in 1..=3 {
        let (alone, shared, bounded) = (busiest(seed, false, 0.0), busiest(seed, true, 0.0), busiest(seed, true, 1.5));
        println!(
            "busiest of the mean: {alone:.3} by owner, {shared:.3} with second owners, {bounded:.3} bounded as well"
        );
        assert!(shared <= 1.25 && bounded <= 1.25, "seed {seed}: {shared:.3}, {bounded:.3}");
        assert!(alone > 1.25, "seed {seed}: second owners had nothing to do: {alone:.3}");
    }
}
