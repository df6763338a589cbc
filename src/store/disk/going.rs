//! PURE. What lies in the segment that goes next. It is looked for by and by, while the one that is written fills: of a large index a
//! look at all of it would hold up whoever waits at that moment.

use super::index::{Id, Index};

/// The oldest segment, and what of the index is known to lie there. Nothing is ever added to one that is full, and what has been
/// taken away or replaced since is found out when it goes.
#[derive(Debug)]
pub struct GoingSegment {
    number: u64,
    /// Parts of the index that were looked at.
    parts: usize,
    ids: Vec<Id>,
}

impl GoingSegment {
    pub fn new(number: u64) -> GoingSegment {
        GoingSegment { number, parts: 0, ids: Vec::new() }
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// Looks at so much more as is due when so many of the `length` bytes of the segment that is written are filled: at all by the
    /// time that it is half full. `next` is the next segment's number.
    pub fn look(&mut self, index: &Index, next: u64, filled: u64, length: u64) {
        let due = u128::from(filled) * 2 * Index::PARTS as u128 / u128::from(length.max(1));
        self.look_until(index, next, usize::try_from(due).unwrap_or(Index::PARTS));
    }

    /// All that may lie there.
    pub fn ids(mut self, index: &Index, next: u64) -> Vec<Id> {
        self.look_until(index, next, Index::PARTS);
        self.ids
    }

    fn look_until(&mut self, index: &Index, next: u64, due: usize) {
        while self.parts < due
            && let Some(part) = index.part(self.parts)
        {
            let there = part.filter(|(_, slot)| slot.segment(next) == self.number);
            self.ids.extend(there.map(|(id, _)| id));
            self.parts += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::IndexSlot;
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn it_is_all_known_when_the_segment_that_is_written_is_half_full_and_a_part_at_a_time() {
        let mut index = Index::default();
        (0..8_000_u64).for_each(|n| _ = index.set(Id::of(xxh3_64(&n.to_le_bytes())), IndexSlot::new(n % 4, 0, 64)));
        let mut going = GoingSegment::new(2);
        let mut known = 0;
        for filled in 1..=1_000 {
            going.look(&index, 4, filled, 2_000);
            let more = going.ids.len() - known;
            assert!(more < 20, "{more} at a time");
            known += more;
        }
        assert_eq!((known, going.parts), (2_000, Index::PARTS));
        assert_eq!(going.ids(&index, 4).len(), 2_000);
        assert_eq!(GoingSegment::new(3).ids(&index, 4).len(), 2_000, "or at once");
    }
}
