//! Which keys take so much of the traffic that one node should not bear them alone: a count-min sketch (Cormode and
//! Muthukrishnan 2005) with conservative update, halved every second.
//!
//! Memory is fixed, a request costs four reads and as many writes, and a key's count is never too small; it is too large
//! by more than `2.7 / width` of the traffic only when a key shares all four of its counters with others.

/// A key is hot when it takes more than one part in so many times the number of nodes.
const PARTS: u64 = 16;
/// Fewer requests than this (within a second or two) make no key hot: what is rare costs nobody anything.
const ENOUGH: u32 = 64;
const ROWS: usize = 4;
/// A row has so many counters for each node, rounded up to a power of two: the error is a sixth of what makes a key hot,
/// up to 256 nodes, and less than that by itself beyond.
const WIDTH: usize = 256;
/// A position has 64 bits, 16 for each row.
const WIDEST: usize = 1 << 16;
/// Milliseconds.
const HALF_LIFE: u64 = 1_000;

/// Belongs to one thread: each judges by the traffic that it sees.
#[derive(Debug)]
pub struct HotKeys {
    /// `ROWS` rows of `width` counters.
    counts: Vec<u32>,
    width: usize,
    nodes: u64,
    total: u64,
    halved: u64,
}

impl HotKeys {
    pub fn new(nodes: usize) -> HotKeys {
        let width = (nodes.max(1) * WIDTH).next_power_of_two().min(WIDEST);
        HotKeys { counts: vec![0; ROWS * width], width, nodes: nodes.max(1) as u64, total: 0, halved: 0 }
    }

    /// How often a key was asked for lately, this request included, where that makes it hot. `position` is where the key
    /// falls on the ring.
    pub fn note(&mut self, position: u64) -> Option<u32> {
        let slots: [usize; ROWS] = std::array::from_fn(|row| self.slot(row, position));
        let count = slots.iter().map(|slot| self.counts[*slot]).min().unwrap_or(0).saturating_add(1);
        for slot in slots {
            self.counts[slot] = self.counts[slot].max(count);
        }
        self.total += 1;
        (count >= ENOUGH && u64::from(count) * PARTS * self.nodes > self.total).then_some(count)
    }

    /// Forgets half of what it knows for every second that has passed. `now` is in milliseconds and may be late.
    pub fn advance(&mut self, now: u64) {
        let halvings = now.saturating_sub(self.halved) / HALF_LIFE;
        if halvings == 0 {
            return;
        }
        self.halved = now;
        let by = halvings.min(31) as u32;
        self.counts.iter_mut().for_each(|count| *count >>= by);
        self.total >>= by;
    }

    fn slot(&self, row: usize, position: u64) -> usize {
        row * self.width + ((position >> (16 * row)) as usize & (self.width - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    fn position(key: u32) -> u64 {
        xxh3_64(&key.to_le_bytes())
    }

    #[test]
    fn a_key_with_more_than_a_sixteenth_of_a_nodes_share_is_hot() {
        // With four nodes: more than one request in 64.
        for (every, hot) in [(60, true), (70, false), (2, true), (1, true)] {
            let mut keys = HotKeys::new(4);
            let requests = (0..20_000).map(|n| if n % every == 0 { 0 } else { n + 1 });
            let answers: Vec<_> = requests.map(|key| (key, keys.note(position(key)))).collect();
            let (_, last) = answers.iter().rfind(|(key, _)| *key == 0).unwrap();
            assert_eq!(last.is_some(), hot, "one request in {every}");
            assert!(answers.iter().all(|(key, heat)| *key == 0 || heat.is_none()), "nothing else is hot");
        }
    }

    #[test]
    fn what_is_rare_is_not_hot_whatever_its_share() {
        let mut keys = HotKeys::new(4);
        assert!((1..ENOUGH).all(|_| keys.note(position(1)).is_none()));
        assert_eq!(keys.note(position(1)), Some(ENOUGH));
    }

    #[test]
    fn what_was_hot_is_forgotten_within_seconds() {
        let mut keys = HotKeys::new(4);
        keys.advance(5_000);
        (0..10_000).for_each(|_| _ = keys.note(position(1)));
        keys.advance(5_999);
        assert!(keys.note(position(1)).is_some(), "not a second has passed");
        keys.advance(8_000);
        assert_eq!(keys.note(position(1)), Some((10_001 >> 3) + 1), "halved three times");
        keys.advance(1 << 40);
        assert_eq!((keys.note(position(1)), keys.total), (None, 1), "a long pause forgets everything");
        keys.advance(7);
        assert_eq!(keys.total, 1, "a clock that goes back forgets nothing");
    }

    #[test]
    fn memory_is_bounded_however_many_nodes_there_are() {
        for (nodes, counters) in [(0, 1024), (3, 4096), (4, 4096), (1000, 262_144), (1 << 16, 262_144)] {
            assert_eq!(HotKeys::new(nodes).counts.len(), counters, "{nodes} nodes");
        }
    }

    proptest! {
        #[test]
        fn a_count_is_never_too_small(keys in prop::collection::vec(0..50u32, 0..2000), nodes in 1..5usize) {
            let (mut sketch, mut exact) = (HotKeys::new(nodes), std::collections::HashMap::new());
            for key in keys {
                let count: &mut u32 = exact.entry(key).or_default();
                *count += 1;
                let hot = sketch.note(position(key));
                prop_assert!(hot.is_none_or(|estimate| estimate >= *count));
                let must = *count >= ENOUGH && u64::from(*count) * PARTS * nodes as u64 > sketch.total;
                prop_assert!(hot.is_some() || !must);
            }
        }
    }
}
