//! What a ring of so many nodes weighs, and what it costs.

use super::ring::HotKeys;
use super::ring_of;
use super::zipf::{Random, Zipf};
use std::hint::black_box;
use std::time::Instant;

const LOOKUPS: usize = 4_000_000;

pub fn run() {
    println!("ring of 512 points a node (best of 5)");
    println!(
        "nodes   points    bytes by formula   rebuild ms   lookup ns   busiest/mean   joiner takes   moved elsewhere"
    );
    for nodes in [8usize, 64, 256, 1000, 4000] {
        let points = nodes * 512;
        // positions u64, members u16, one index entry u32 for each part, of which there is the next power of two.
        let bytes = points * 10 + points.next_power_of_two() * 4;
        let rebuild = (0..5).map(|_| millis(|| drop(black_box(ring_of(nodes))))).fold(f64::MAX, f64::min);
        let (ring, joined) = (ring_of(nodes), ring_of(nodes + 1));
        let mut random = Random(7);
        let positions: Vec<u64> = (0..1 << 20).map(|_| random.next()).collect();
        let lookup = (0..5)
            .map(|_| {
                millis(|| {
                    (0..LOOKUPS).for_each(|i| {
                        black_box(ring.owner(black_box(positions[i & 0xf_ffff])));
                    })
                })
            })
            .fold(f64::MAX, f64::min)
            * 1e6
            / LOOKUPS as f64;
        let busiest = ring.shares().into_iter().fold(0.0, f64::max) * nodes as f64;
        let name = |ring: &super::ring::Ring, p| ring.members()[ring.owner(p).unwrap()].id.clone();
        let moved = positions.iter().filter(|p| name(&ring, **p) != name(&joined, **p));
        let to: Vec<String> = moved.map(|p| name(&joined, *p)).collect();
        let strays = to.iter().filter(|id| **id != format!("n{}", nodes + 1)).count();
        let share = to.len() as f64 / positions.len() as f64 * (nodes + 1) as f64;
        println!(
            "{nodes:5} {points:8} {bytes:12} {rebuild:16.2} {lookup:11.1} {busiest:14.3} {share:12.3}/(n+1) {strays:8}"
        );
    }
    sketch();
}

fn sketch() {
    println!("\nthe sketch of hot keys (best of 5)");
    let (zipf, mut random) = (Zipf::new(1e6, 1.0), Random(5));
    let positions: Vec<u64> = (0..1 << 20).map(|_| Random(zipf.draw(&mut random)).next()).collect();
    for nodes in [8, 64, 256, 1000] {
        let mut keys = HotKeys::new(nodes);
        let best = |mut what: Box<dyn FnMut() + '_>| (0..5).map(|_| millis(&mut what)).fold(f64::MAX, f64::min);
        let note = best(Box::new(|| positions.iter().for_each(|position| _ = black_box(keys.note(*position)))));
        let mut now = 0;
        let mut keys = HotKeys::new(nodes);
        let halve = best(Box::new(|| {
            now += 1000;
            black_box(&mut keys).advance(now);
        }));
        println!("{nodes:5} nodes: {:.1} ns a request, {:.3} ms a second", note * 1e6 / positions.len() as f64, halve);
    }
}

fn millis(what: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    what();
    begun.elapsed().as_secs_f64() * 1e3
}
