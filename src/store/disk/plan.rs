//! PURE. How large the parts of a disk are.

use super::place::LONGEST_SEGMENT;
use crate::config::Admit;

const MIB: u64 = 1024 * 1024;
/// A segment is this part of the disk, within these bounds; but of a small disk there are at least so many.
const SEGMENTS: u64 = 1024;
const SEGMENT: (u64, u64) = (16 * MIB, LONGEST_SEGMENT);
const FEWEST: u64 = 8;
/// A body that is longer than this part of a segment lies in a file of its own.
const OF_SEGMENT: u64 = 16;
/// This part of the disk is left to journals.
const OF_JOURNAL: u64 = 32;
/// By which objects are guessed from bytes.
const USUAL: u64 = 16 * 1024;

/// A journal is short below this part of the disk.
const SHORT: u64 = 64;

/// What a disk is to be.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    /// Bytes of all of it.
    pub size: u64,
    /// Bytes of a body.
    pub max_object: u64,
    pub admit: Admit,
    /// Bytes a day; 0: no limit.
    pub writes: u64,
}

impl DiskPlan {
    /// Bytes of a segment.
    pub fn segment(&self) -> u64 {
        let usual = (self.size / SEGMENTS).clamp(SEGMENT.0, SEGMENT.1);
        usual.min(self.size / FEWEST) / 4096 * 4096
    }

    /// Of all segments together.
    pub fn room(&self) -> u64 {
        self.size - self.size / OF_JOURNAL
    }

    /// Room to be taken for a journal at once.
    pub fn reserve(&self) -> u64 {
        (self.size / 128).clamp(64 * 1024, 16 * MIB)
    }

    /// A longer body lies in a file of its own.
    pub fn longest(&self) -> u64 {
        self.segment() / OF_SEGMENT
    }

    /// About so many objects have room.
    pub fn objects(&self) -> u64 {
        self.size / USUAL
    }

    /// A journal that is shorter is not written anew, nor is one that is less than twice what it has to be.
    pub fn short(&self) -> u64 {
        MIB.min(self.size / SHORT)
    }
}
