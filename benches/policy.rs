//! A fresh hit, decided from numbers (at most 0.25 µs), and the general path (12 request and 12 response fields, at most
//! 2 µs). `tests/figures.rs` holds them to it in the release build.

#[path = "../tests/support/messages.rs"]
mod messages;

use criterion::{Criterion, criterion_group, criterion_main};
use messages::{ASKED, LATER, NOW, answered, asked, general, stored};
use ringhold::lab::policy::{Rules, Terms, decide, explain, storable};
use std::hint::black_box;

fn benches(c: &mut Criterion) {
    let (plain, full, answer, rules) = (asked(&ASKED[..10]), asked(&ASKED), answered(), Rules::default());
    let terms: Terms = storable(&rules, &plain, &answer, NOW, NOW).expect("it may be stored");
    c.bench_function("a fresh hit, 10 request fields", |b| {
        b.iter(|| decide(black_box(&plain), Some(black_box(stored(&terms, &answer))), black_box(LATER)))
    });
    c.bench_function("the general path, 12 and 12 fields", |b| {
        b.iter(|| general(black_box(&full), black_box(stored(&terms, &answer))))
    });
    c.bench_function("may it be stored, 12 and 12 fields", |b| {
        b.iter(|| storable(black_box(&rules), black_box(&full), black_box(&answer), NOW, LATER))
    });
    c.bench_function("explained", |b| {
        b.iter(|| explain(black_box(&full), Some(stored(&terms, &answer)), black_box(LATER)))
    });
}

criterion_group!(policy, benches);
criterion_main!(policy);
