//! The figures of docs/cluster.md, "The way to 1,000 nodes": `cargo run --release --manifest-path bench/cluster/Cargo.toml`
//!
//! The ring and the sketch of hot keys are ringhold's own sources, compiled here without the rest of it.

#[allow(dead_code, unused_imports)]
#[path = "../../../src/ring/mod.rs"]
mod ring;

mod hits;
mod hot;
mod size;
mod zipf;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    for (name, run) in [("size", size::run as fn()), ("hits", hits::run), ("hot", hot::run)] {
        if asked.is_empty() || asked.iter().any(|a| a == name) {
            run();
        }
    }
}

/// `n1`, `n2`, … of weight 1, with 512 points each.
fn ring_of(nodes: usize) -> ring::Ring {
    let members = (1..=nodes).map(|n| ring::Member { id: format!("n{n}"), weight: 1 });
    ring::Ring::new(ring::Hash::Xxh3, 512, members)
}
