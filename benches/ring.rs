//! Owner lookup (at most 100 ns) and rebuild (at most 10 ms) of a ring of 64 nodes of 512 points.

use criterion::{Criterion, criterion_group, criterion_main};
use ringhold::lab::ring::{Hash, Member, Ring};
use std::hint::black_box;

const NODES: usize = 64;
const KEYS: usize = 1 << 16;

fn members() -> Vec<Member> {
    (1..=NODES).map(|n| Member { id: format!("n{n}"), weight: 1 }).collect()
}

fn lookup(c: &mut Criterion) {
    let urls: Vec<String> = (0..KEYS).map(|n| format!("http://example.com/assets/{n}/index.html")).collect();
    for hash in [Hash::Xxh3, Hash::Murmur3] {
        let ring = Ring::new(hash, 512, members());
        // As many positions as there are points and more: no lookup profits from the one before.
        let positions: Vec<u64> = urls.iter().map(|url| ring.position(url)).collect();
        let mut n = 0;
        let mut next = move || {
            n = (n + 1) % KEYS;
            n
        };
        let name = |what| format!("{what}, 64 nodes, {}", hash.name());
        c.bench_function(&name("owner of a position"), |b| b.iter(|| ring.owner(black_box(positions[next()]))));
        c.bench_function(&name("owner of a URL"), |b| b.iter(|| ring.owner(ring.position(black_box(&urls[next()])))));
        c.bench_function(&name("owner and next"), |b| {
            b.iter(|| ring.successors(black_box(positions[next()])).take(2).map(black_box).count())
        });
        c.bench_function(&name("bounded owner"), |b| {
            b.iter(|| ring.owner_bounded(black_box(positions[next()]), 1.5, |_| black_box(3)))
        });
    }
}

fn rebuild(c: &mut Criterion) {
    for hash in [Hash::Xxh3, Hash::Murmur3] {
        c.bench_function(&format!("rebuild, 64 nodes, {}", hash.name()), |b| {
            b.iter(|| Ring::new(hash, 512, members()))
        });
    }
}

criterion_group!(benches, lookup, rebuild);
criterion_main!(benches);
