//! Figures that are promised in the release build: what a request pays for its owner and for the cache's decision, and a
//! change for its ring.
#![allow(clippy::disallowed_methods)]

mod support;
use ringhold::lab::policy::{Decision, Rules, decide, storable};
use ringhold::lab::ring::{Hash, Member, Ring};
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};
use support::messages::{ASKED, LATER, NOW, answered, asked, general, stored};
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

/// The mean of so many, in the best round.
fn each(mut one: impl FnMut()) -> f64 {
    const MANY: u32 = 4_000;
    best(|| (0..MANY).for_each(|_| one())).as_nanos() as f64 / f64::from(MANY)
}

#[test]
fn a_fresh_hit_is_decided_within_250_ns_and_a_request_that_says_something_within_2_us() {
    let _alone = alone();
    let (plain, full, answer) = (asked(&ASKED[..10]), asked(&ASKED), answered());
    let terms = storable(&Rules::default(), &plain, &answer, NOW, NOW).unwrap();
    let fresh = || decide(black_box(&plain), Some(black_box(stored(&terms, &answer))), black_box(LATER));
    assert!(matches!(fresh(), Decision::Serve { .. }));
    let hit = each(|| _ = black_box(fresh()));
    let all = each(|| _ = black_box(general(black_box(&full), black_box(stored(&terms, &answer)))));
    figure(&format!("a fresh hit is decided in {hit:.0} ns, the general path takes {all:.0} ns"));
    assert!(hit <= 250.0 || !RELEASE, "{hit} ns");
    assert!(all <= 2000.0 || !RELEASE, "{all} ns");
}
