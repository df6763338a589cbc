//! PURE. What is told of the disk.

use super::*;
use crate::store::disk::apart::length_of_file;

impl Disk {
    /// URLs whose newest record is written: what a kill leaves. Of what waits to be written it leaves nothing.
    pub fn objects(&self) -> usize {
        let waits = |(place, pending): (&u64, &Pending)| match pending {
            Pending::Entry(entry, _) => {
                self.index.get(Id::of_key(entry.key())).is_some_and(|slot| slot.place() == *place)
            }
            // It lies there still where it lay.
            Pending::Moved(_) => false,
        };
        self.index.len() - self.pending.iter().filter(|pending| waits(*pending)).count()
    }

    #[cfg(test)]
    pub fn index_bytes(&self) -> usize {
        self.index.bytes()
    }

    /// Bytes that its files take.
    pub fn bytes(&self) -> u64 {
        self.taken() + self.journal
    }

    /// Bytes that wait to be written.
    pub fn behind(&self) -> u64 {
        self.behind
    }

    /// What is known of a URL.
    pub fn account(&self, hash: u64) -> DiskAccount {
        let id = Id::of(hash);
        let Some(slot) = self.index.get(id) else { return DiskAccount::Absent(self.lately.of(id)) };
        let segment = self.segments.get(&slot.segment(self.next));
        let begun = Timestamp(segment.map_or(0, |segment| segment.begun));
        let is_written = !matches!(self.pending.get(&slot.place()), Some(Pending::Entry(..)));
        let file = self.bodies.at(id, slot.place()).map(|body| length_of_file(body.length));
        DiskAccount::There { bytes: slot.length(), file, begun, slot, is_written }
    }
}
