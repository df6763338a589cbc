//! PURE. URLs of which something was so lately, in one table for all workers: at a front they were hit, or more than their owner was
//! asked for them; at a node they were lent.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// By the hash of a URL, a mark of the one that was noted there last.
pub struct Recent(Box<[AtomicU32]>);

impl Recent {
    /// So many places: a power of two.
    pub fn new(places: usize) -> Recent {
        debug_assert!(places.is_power_of_two());
        Recent((0..places).map(|_| AtomicU32::new(0)).collect())
    }

    /// Whether it was there already: then all workers only read.
    pub fn note(&self, hash: u64) -> bool {
        let known = self.has(hash);
        if !known {
            self.place(hash).store(mark(hash), Relaxed);
        }
        known
    }

    pub fn has(&self, hash: u64) -> bool {
        self.place(hash).load(Relaxed) == mark(hash)
    }

    /// As if it had not been noted.
    pub fn forget(&self, hash: u64) {
        if self.has(hash) {
            self.place(hash).store(NOBODYS, Relaxed);
        }
    }

    /// Whether it was ever there, as far as is known: another may have taken its place.
    pub fn may_have_had(&self, hash: u64) -> bool {
        self.place(hash).load(Relaxed) != 0
    }

    fn place(&self, hash: u64) -> &AtomicU32 {
        &self.0[hash as usize & (self.0.len() - 1)]
    }
}

/// Of who was forgotten; 0: of a place that was never anybody's.
const NOBODYS: u32 = 1;

/// Of bits that do not choose the place.
fn mark(hash: u64) -> u32 {
    ((hash >> 32) as u32).max(NOBODYS + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_there_until_another_takes_its_place() {
        let (recent, a) = (Recent::new(1 << 12), 0x0100_0000_0000_0007);
        let (same_place, other_place) = (0x0200_0000_0000_0007, 0x0100_0000_0000_0008);
        assert!(!recent.has(a) && !recent.has(0), "nothing is noted at first");
        assert!(!recent.note(a) && recent.note(a));
        assert!(recent.has(a) && !recent.has(same_place) && !recent.has(other_place));
        recent.note(same_place);
        assert!(!recent.has(a) && recent.has(same_place));
        assert!(recent.may_have_had(a) && !recent.may_have_had(other_place));
        recent.forget(a);
        assert!(recent.has(same_place), "it was not there");
        recent.forget(same_place);
        assert!(!recent.has(same_place) && recent.may_have_had(same_place));
    }
}
