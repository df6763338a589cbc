//! Figures of the ring that are promised in the release build: what a request pays for its owner, and a change for its ring.
#![allow(clippy::disallowed_methods)]

mod support;
use ringhold::ring::{Hash, Member, Ring};
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};
use support::{RELEASE, alone};

const NODES: usize = 64;
const KEYS: usize = 1 << 16;
/// The best of so many counts: what else the machine does makes a round slower, never faster.
const ROUNDS: usize = 25;

fn members() -> Vec<Member> {
    (1..=NODES).map(|n| Member { id: format!("n{n}"), weight: 1 }).collect()
}

fn best(mut round: impl FnMut()) -> Duration {
    let timed = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        round();
        begun.elapsed()
    });
    timed.min().unwrap()
}

/// Past the harness: these are figures that somebody may want to see.
fn figure(text: &str) {
    let _ = std::io::stderr().write_all(format!("figure: {text}\n").as_bytes());
}

#[test]
fn the_owner_of_a_url_among_64_nodes_is_found_within_100_ns_and_their_ring_is_built_within_10_ms() {
    let _alone = alone();
    let urls: Vec<String> = (0..KEYS).map(|n| format!("http://example.com/assets/{n}/index.html")).collect();
    for hash in [Hash::Xxh3, Hash::Murmur3] {
        let ring = Ring::new(hash, 512, members());
        let all = best(|| urls.iter().for_each(|url| _ = black_box(ring.owner(ring.position(black_box(url))))));
        let lookup = all.as_nanos() as f64 / KEYS as f64;
        let rebuild = best(|| _ = black_box(Ring::new(hash, 512, members())));
        figure(&format!("{}, {NODES} nodes: {lookup:.1} ns a lookup, {rebuild:?} a rebuild", hash.name()));
        assert!(lookup <= 100.0 || !RELEASE, "{}: {lookup} ns", hash.name());
        assert!(rebuild <= Duration::from_millis(10) || !RELEASE, "{}: {rebuild:?}", hash.name());
    }
}
