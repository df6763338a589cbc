//! PURE. URLs of which something was so lately and very likely still is: nodes answered with small hits, and hold them; or
//! with no hits, and they have no hot copy.

use std::cell::Cell;

/// Places: a power of two.
const PLACES: usize = 1 << 17;

/// By the hash of a URL, a mark of the one that was noted there last. It may be wrong: then a node's answer says so.
pub struct RecentHits(Box<[Cell<u8>]>);

impl Default for RecentHits {
    fn default() -> RecentHits {
        RecentHits(vec![Cell::new(0); PLACES].into_boxed_slice())
    }
}

impl RecentHits {
    pub fn note(&self, hash: u64) {
        self.0[place(hash)].set(mark(hash));
    }

    pub fn has(&self, hash: u64) -> bool {
        self.0[place(hash)].get() == mark(hash)
    }

    pub fn forget(&self, hash: u64) {
        if self.has(hash) {
            self.0[place(hash)].set(0);
        }
    }
}

fn place(hash: u64) -> usize {
    hash as usize & (PLACES - 1)
}

/// Of bits that do not choose the place; 0 is nobody's.
fn mark(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_held_until_another_takes_its_place_or_it_is_forgotten() {
        let (held, a) = (RecentHits::default(), 0x0100_0000_0000_0007);
        let (same_place, other_place) = (0x0200_0000_0000_0007, 0x0100_0000_0000_0008);
        assert!(!held.has(a) && !held.has(0), "nothing is noted at first");
        held.note(a);
        assert!(held.has(a) && !held.has(same_place) && !held.has(other_place));
        held.forget(same_place);
        assert!(held.has(a), "only what is there is forgotten");
        held.note(same_place);
        assert!(!held.has(a) && held.has(same_place));
        held.forget(same_place);
        assert!(!held.has(same_place));
    }
}
