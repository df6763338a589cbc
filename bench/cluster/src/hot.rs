//! How busy the busiest node is when some objects are asked for far more often than others.

use super::ring::HotKeys;
use super::ring_of;
use super::zipf::{Random, Zipf};

const OBJECTS: f64 = 1e9;
/// How busy the nodes are on average: 1 is all that they can do.
const BUSY: f64 = 0.7;
const SECONDS: usize = 6;

struct Case {
    title: &'static str,
    hot_keys: bool,
    factor: f64,
    /// The front answers for so many of the most asked for itself.
    copied: u64,
}

const CASES: [Case; 5] = [
    Case { title: "by owner alone", hot_keys: false, factor: 0.0, copied: 0 },
    Case { title: "second owners", hot_keys: true, factor: 0.0, copied: 0 },
    Case { title: "second owners, load_factor 1.5", hot_keys: true, factor: 1.5, copied: 0 },
    Case { title: "hot copy of 80,000 objects", hot_keys: false, factor: 0.0, copied: 80_000 },
    Case { title: "hot copy and second owners", hot_keys: true, factor: 0.0, copied: 80_000 },
];

pub fn run() {
    println!("\nbusiest node of the mean, 10^9 objects, nodes {:.0} % busy", BUSY * 100.0);
    for s in [0.7, 0.8, 0.9, 1.0] {
        println!("s = {s:<33} {}", [8, 64, 256, 1000].map(|n| format!("{n:>5} nodes")).join(" "));
        for case in &CASES {
            let ratios = [8, 64, 256, 1000].map(|nodes| format!("{:>11.2}", busiest(case, nodes, s)));
            println!("  {:<35} {}", case.title, ratios.join(" "));
        }
    }
}

fn busiest(case: &Case, nodes: usize, s: f64) -> f64 {
    let ring = ring_of(nodes);
    let (zipf, mut random, mut keys) = (Zipf::new(OBJECTS, s), Random(11), HotKeys::new(nodes));
    let (mut asked, mut queues) = (vec![0u32; nodes], Queues::new(nodes));
    // Enough for each node that chance alone moves the busiest by a few parts in a hundred.
    let requests = (5_000 * nodes).max(1_000_000);
    for n in 0..requests {
        keys.advance((n * SECONDS * 1000 / requests) as u64);
        let k = loop {
            let k = zipf.draw(&mut random);
            if k > case.copied {
                break k;
            }
        };
        let position = ring.position(&format!("http://example.com/{k}"));
        let heat = keys.note(position).filter(|_| case.hot_keys);
        queues.now = n as f64 / (BUSY * nodes as f64);
        let choice = ring.choose(position, heat, case.factor, |node| Some(queues.length(node))).unwrap();
        asked[choice.member] += 1;
        queues.add(choice.member);
    }
    f64::from(*asked.iter().max().unwrap()) * nodes as f64 / requests as f64
}

/// What waits at each node; time is counted in what one request takes a node.
struct Queues {
    now: f64,
    done_at: Vec<f64>,
}

impl Queues {
    fn new(nodes: usize) -> Queues {
        Queues { now: 0.0, done_at: vec![0.0; nodes] }
    }
    fn length(&self, node: usize) -> u32 {
        (self.done_at[node] - self.now).max(0.0).ceil() as u32
    }
    fn add(&mut self, node: usize) {
        self.done_at[node] = self.done_at[node].max(self.now) + 1.0;
    }
}
