//! Hit ratios: a formula for 10^9 objects, and a simulation of few enough objects to see whether it holds.

use super::ring_of;
use super::zipf::{Random, Zipf, harmonic};

const EXPONENTS: [f64; 4] = [0.7, 0.8, 0.9, 1.0];
const HELD: [f64; 6] = [0.001, 0.01, 0.05, 0.1, 0.2, 0.5];

pub fn run() {
    println!("\nhit ratio, 10^9 objects of one size, by the part of them that all nodes together hold");
    table("best possible (the most asked for are held)", |s, held| best(1e9, s, held));
    table("least recently used (Che's approximation)", |s, held| least_recently_used(1e9, s, held));
    println!("\nthe formula against a simulation: 10^6 objects, 5 % held, 8 nodes, least recently used each");
    for s in EXPONENTS {
        let (formula, simulated) = (least_recently_used(1e6, s, 0.05), simulate(1_000_000, s, 0.05, 8));
        println!("s = {s}: formula {:.1} %, simulated {:.1} %", 100.0 * formula, 100.0 * simulated);
    }
}

fn table(title: &str, ratio: impl Fn(f64, f64) -> f64) {
    println!("{title}\n  s     {}", HELD.map(|held| format!("{:>6.1} %", held * 100.0)).join(" "));
    for s in EXPONENTS {
        println!("  {s:.1}   {}", HELD.map(|held| format!("{:>6.1} %", 100.0 * ratio(s, held))).join(" "));
    }
}

fn best(n: f64, s: f64, held: f64) -> f64 {
    harmonic(n * held, s) / harmonic(n, s)
}

/// Che, Tung and Wang 2002: an object is held when it was asked for within the last T requests, where T is such that as
/// many are held as there is room for. By consistent hashing every node has its part of the objects and of the room,
/// and the same T.
fn least_recently_used(n: f64, s: f64, held: f64) -> f64 {
    let (ranks, total) = (groups(n), harmonic(n, s));
    let sum =
        |of: &dyn Fn(f64) -> f64| ranks.iter().map(|(rank, count)| count * of(rank.powf(-s) / total)).sum::<f64>();
    let (mut low, mut high) = (1.0, 1e15);
    for _ in 0..200 {
        let t = f64::sqrt(low * high);
        let there = sum(&|p| -f64::exp_m1(-p * t));
        if there < held * n { low = t } else { high = t }
    }
    sum(&|p| p * -f64::exp_m1(-p * low))
}

/// Ranks that are nearly alike together: a middle one and how many there are.
fn groups(n: f64) -> Vec<(f64, f64)> {
    let (mut groups, mut from) = (Vec::new(), 1.0);
    while from <= n {
        let to = f64::min((from * 1.002).floor().max(from), n);
        groups.push(((from + to) / 2.0, to - from + 1.0));
        from = to + 1.0;
    }
    groups
}

fn simulate(objects: u64, s: f64, held: f64, nodes: usize) -> f64 {
    let (ring, zipf, mut random) = (ring_of(nodes), Zipf::new(objects as f64, s), Random(3));
    let owner = |k: u64| ring.owner(ring.position(&format!("http://example.com/{k}"))).unwrap() as u8;
    let owners: Vec<u8> = (0..=objects).map(owner).collect();
    let room = (objects as f64 * held / nodes as f64) as usize;
    let mut caches: Vec<Recent> = (0..nodes).map(|_| Recent::new(objects as usize + 1, room)).collect();
    let (warm, counted) = (10 * objects, 5 * objects);
    let mut hits = 0;
    for n in 0..warm + counted {
        let k = zipf.draw(&mut random);
        let hit = caches[usize::from(owners[k as usize])].touch(k as u32);
        hits += u64::from(hit && n >= warm);
    }
    hits as f64 / counted as f64
}

/// The least recently used go: a doubly linked list in two arrays.
struct Recent {
    before: Vec<u32>,
    after: Vec<u32>,
    held: usize,
    room: usize,
}

const NONE: u32 = u32::MAX;

impl Recent {
    /// Number 0 is the head of the list.
    fn new(objects: usize, room: usize) -> Recent {
        let (mut before, mut after) = (vec![NONE; objects], vec![NONE; objects]);
        (before[0], after[0]) = (0, 0);
        Recent { before, after, held: 0, room }
    }

    fn touch(&mut self, k: u32) -> bool {
        let hit = self.after[k as usize] != NONE;
        if hit {
            self.unlink(k);
        } else if self.held == self.room {
            self.unlink(self.before[0]);
        } else {
            self.held += 1;
        }
        let first = self.after[0];
        (self.before[k as usize], self.after[k as usize]) = (0, first);
        (self.before[first as usize], self.after[0]) = (k, k);
        hit
    }

    fn unlink(&mut self, k: u32) {
        let (before, after) = (self.before[k as usize], self.after[k as usize]);
        (self.after[before as usize], self.before[after as usize]) = (after, before);
        (self.before[k as usize], self.after[k as usize]) = (NONE, NONE);
    }
}
