//! What tests of the ring share, and tests of its face.

use super::member::MAX_WEIGHT;
use super::*;

pub(super) fn members(list: &[(&str, u32)]) -> Vec<Member> {
    list.iter().map(|(id, weight)| Member { id: (*id).to_owned(), weight: *weight }).collect()
}

/// A ring as shipped: members of weight 1.
pub(super) fn ring_of(ids: &[&str]) -> Ring {
    Ring::new(Hash::Xxh3, 512, ids.iter().map(|id| Member { id: (*id).to_owned(), weight: 1 }))
}

/// One point per unit of weight, each lying where the table says.
pub(super) fn ring_at(members: &[Member], table: &[(&str, u64)]) -> Ring {
    let place = |bytes: &[u8]| table.iter().find(|(name, _)| name.as_bytes() == bytes).expect("a point of the table").1;
    Ring::placed(Hash::Xxh3, 1, members.to_vec(), place)
}

/// `n1`, `n2`, … as in the configuration that is shipped.
pub(super) fn numbered(count: usize) -> Vec<Member> {
    (1..=count).map(|n| Member { id: format!("n{n}"), weight: 1 }).collect()
}

#[test]
fn members_are_sorted_by_id_and_counted_once() {
    let ring = Ring::new(Hash::Xxh3, 4, members(&[("n2", 1), ("n10", 0), ("n1", 1), ("n2", 3), ("n2", 2)]));
    assert_eq!(ring.members(), members(&[("n1", 1), ("n10", 1), ("n2", 3)]));
    assert_eq!(["n1", "n10", "n2", "n3"].map(|id| ring.index_of(id)), [Some(0), Some(1), Some(2), None]);
}

#[test]
fn extreme_weights_and_points_are_brought_within_limits() {
    let ring = Ring::new(Hash::Xxh3, 0, members(&[("a", u32::MAX), ("b", 0)]));
    assert_eq!((ring.points(), ring.members()), (1, &*members(&[("a", MAX_WEIGHT), ("b", 1)])));
}

#[test]
fn the_digest_tells_rings_apart_and_is_the_same_everywhere() {
    let base = || members(&[("n1", 1), ("n2", 1)]);
    let ring = Ring::new(Hash::Xxh3, 512, base());
    assert_eq!(ring.digest(), xxh3_64(b"ringhold ring 1 xxh3 512 2 n1 1 2 n2 1"));
    let others = [
        Ring::new(Hash::Murmur3, 512, base()),
        Ring::new(Hash::Xxh3, 511, base()),
        Ring::new(Hash::Xxh3, 512, members(&[("n1", 1), ("n2", 2)])),
        Ring::new(Hash::Xxh3, 512, members(&[("n1", 1)])),
        Ring::new(Hash::Xxh3, 512, members(&[("n1 1 2 n2", 1)])),
        Ring::new(Hash::Xxh3, 512, []),
    ];
    for other in others {
        assert_ne!(ring.digest(), other.digest(), "{other:?}");
    }
}

#[test]
fn the_busiest_of_eight_nodes_carries_at_most_1_12_of_the_mean() {
    const URLS: usize = 1_000_000;
    for hash in [Hash::Xxh3, Hash::Murmur3] {
        let ring = Ring::new(hash, 512, numbered(8));
        let mut counts = [0usize; 8];
        for n in 0..URLS {
            counts[ring.owner(ring.position(&format!("http://example.com/item/{n}"))).unwrap()] += 1;
        }
        let busiest = *counts.iter().max().unwrap() as f64 * 8.0 / URLS as f64;
        assert!(busiest <= 1.12, "{}: {busiest}", hash.name());
        println!("{}: busiest of 8 carries {busiest:.4} of the mean", hash.name());
    }
}

#[test]
fn a_joiner_takes_at_most_1_15_of_its_share_and_survivors_exchange_nothing() {
    for hash in [Hash::Xxh3, Hash::Murmur3] {
        let mut worst = 0f64;
        for n in 1..=32 {
            let (before, after) = (Ring::new(hash, 512, numbered(n)), Ring::new(hash, 512, numbered(n + 1)));
            let plan = plan::between(&before, &after);
            let joiner = format!("n{}", n + 1);
            assert!(plan.moves.iter().all(|one| one.to.as_deref() == Some(&joiner)), "{plan:?}");
            worst = worst.max(plan.moved * (n + 1) as f64);
        }
        assert!(worst <= 1.15, "{}: {worst}", hash.name());
        println!("{}: a joiner takes at most {worst:.4}/(n+1)", hash.name());
    }
}
