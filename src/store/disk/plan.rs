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
/// So many of them there are at a time: the next one is written beside the one before.
const JOURNALS: u64 = 2;
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

    /// The most that all segments together may take.
    pub fn room(&self) -> u64 {
        self.room_beside(0)
    }

    /// The same where journals take so many bytes.
    pub fn room_beside(&self, journals: u64) -> u64 {
        self.size.saturating_sub(journals.max(JOURNALS * self.reserve()))
    }

    /// Room to be taken for a journal at once.
    pub fn reserve(&self) -> u64 {
        (self.size / 512).clamp(64 * 1024, 16 * MIB)
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
