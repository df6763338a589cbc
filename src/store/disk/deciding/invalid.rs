//! PURE. What of the disk is not to be answered with any more, or not without validation.

use super::*;

impl Disk {
    /// Whether an answer to a request with these selecting fields (`None`: it does not vary) takes the place of what is there, or
    /// may: another of its variants is put beside it.
    pub fn outdates(&self, hash: u64, selecting: Option<&[u8]>) -> bool {
        let mark = |slot: IndexSlot| selecting.is_none_or(|selecting| slot.has(IndexSlot::of_variant(selecting)));
        !self.is_read() || self.index.get(Id::of(hash)).is_some_and(mark)
    }

    /// The URL has nothing on disk any more; what it had.
    pub fn forget(&mut self, hash: u64) -> Option<ForgottenUrl> {
        let id = Id::of(hash);
        let stamp = self.stamp(id);
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile.forget(id);
            return None;
        }
        let slot = self.index.remove(id)?;
        self.bodies.loosen(id);
        self.jobs.push(DiskJob::Note(Frame::Gone(id)));
        Some(ForgottenUrl { slot, stamp })
    }

    /// Another version of a URL is somewhere else than here, or none is any more, and there is nothing of it here: who is about to
    /// put the one before does not.
    pub fn outdate(&mut self, hash: u64) {
        self.stamp(Id::of(hash));
    }

    /// Counts a change of a URL.
    pub(super) fn stamp(&mut self, id: Id) -> u32 {
        let stamp = &mut self.stamps[id.0 as usize % STAMPS];
        *stamp = stamp.wrapping_add(1);
        *stamp
    }

    /// Nothing that came until now is reused without validation.
    pub fn doubt_all(&mut self, now: Timestamp) {
        self.doubted = Some(now);
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile.doubt = true;
            return;
        }
        self.index.update(|_, slot| Some(slot.with(IndexSlot::DOUBTFUL)));
        self.jobs.push(DiskJob::Note(Frame::Doubt));
    }

    /// Groups became invalid: while this process runs it is known which; the next one validates whatever is in any.
    pub fn invalidate_groups(&mut self, now: Timestamp) {
        self.grouped = Some(now);
        match &mut self.meanwhile {
            Some(meanwhile) => meanwhile.grouped = true,
            None => self.jobs.push(DiskJob::Note(Frame::Grouped)),
        }
    }

    /// Something came since that may concern what came then.
    pub(super) fn may_be_outdated(&self, terms: &Terms) -> bool {
        let is_of_before = |change: Option<Timestamp>| change.is_some_and(|change| terms.received <= change);
        is_of_before(self.doubted) || (terms.marks.has(Marks::GROUPED) && is_of_before(self.grouped))
    }
}
