//! PURE. URLs that have been asked of another node in the owner's place lately, so that more than the owner may hold them:
//! one table for all workers of a front.

use std::sync::atomic::{AtomicU32, Ordering};

/// Places: a power of two. What is asked of two nodes is hot, and there are few of those.
const PLACES: usize = 1 << 12;

/// By the hash of a URL, a mark of the one that was noted there last.
pub struct Doubled(Box<[AtomicU32]>);

impl Default for Doubled {
    fn default() -> Doubled {
        Doubled((0..PLACES).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Doubled {
    pub fn note(&self, hash: u64) {
        // Nearly always it is known, and then all workers only read.
        if !self.has(hash) {
            self.place(hash).store(mark(hash), Ordering::Relaxed);
        }
    }

    pub fn has(&self, hash: u64) -> bool {
        self.place(hash).load(Ordering::Relaxed) == mark(hash)
    }

    fn place(&self, hash: u64) -> &AtomicU32 {
        &self.0[hash as usize & (PLACES - 1)]
    }
}

/// Of bits that do not choose the place; 0 is nobody's.
fn mark(hash: u64) -> u32 {
    ((hash >> 32) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_there_until_another_takes_its_place() {
        let (doubled, a) = (Doubled::default(), 0x0100_0000_0000_0007);
        let (same_place, other_place) = (0x0200_0000_0000_0007, 0x0100_0000_0000_0008);
        assert!(!doubled.has(a) && !doubled.has(0), "nothing is noted at first");
        doubled.note(a);
        assert!(doubled.has(a) && !doubled.has(same_place) && !doubled.has(other_place));
        doubled.note(same_place);
        assert!(!doubled.has(a) && doubled.has(same_place));
    }
}
