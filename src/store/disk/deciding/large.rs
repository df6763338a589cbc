//! PURE. Bodies that have files of their own: which are begun, and which go.

use super::*;

/// One body, and all that are being written together, take at most this part of the disk.
const OF_DISK: u64 = 2;

impl Disk {
    /// Bytes of a record; what is longer has its body in a file.
    pub fn longest(&self) -> u64 {
        self.plan.longest()
    }

    /// Whether there is room for a body of so many bytes, were it the only one.
    pub fn could_hold(&self, bytes: u64) -> bool {
        bytes <= self.plan.max_object && bytes <= self.room / OF_DISK
    }

    /// A file for a body of so many bytes, or of more where its length is not known.
    pub fn begin_body(&mut self, hash: u64, terms: &Terms, bytes: u64, now: Timestamp) -> Result<BodyFile, Skipped> {
        self.note(hash, |disk| disk.try_begin(hash, terms, bytes, now))
    }

    fn try_begin(&mut self, hash: u64, terms: &Terms, bytes: u64, now: Timestamp) -> Result<BodyFile, Skipped> {
        if !self.may_write(now) {
            return Err(Skipped::Off);
        }
        if !self.could_hold(bytes) {
            return Err(Skipped::TooLarge);
        }
        if self.bodies.unnamed().saturating_add(bytes) > self.room / OF_DISK {
            return Err(Skipped::Behind);
        }
        self.gate.judge(hash, Offered::Body(terms), bytes, self.turns_over(now), now)?;
        let number = self.bodies.begin(bytes);
        self.make_room();
        Ok(BodyFile::new(number, 0, hash, self.lineage))
    }

    /// Goes on with a body of which a record has the begin, until it has so many bytes. `None`: it cannot be.
    pub fn resume_body(&mut self, hash: u64, number: u64, whole: u64, now: Timestamp) -> Option<BodyFile> {
        let id = Id::of(hash);
        let there = self.bodies.of(id).find(|body| body.number == number).copied()?;
        let more = whole.checked_sub(there.length)?;
        let has_room = self.could_hold(whole) && self.bodies.unnamed().saturating_add(more) <= self.room / OF_DISK;
        if !self.may_write(now) || !has_room || !self.bodies.resume(id, number, more) {
            return None;
        }
        self.used(hash);
        self.make_room();
        let file = BodyFile::new(number, there.length, hash, self.lineage).in_whole_blocks();
        self.bodies.is_written(number).then_some(file)
    }

    /// It is left as its record names it.
    pub fn leave_body(&mut self, number: u64) {
        self.bodies.leave(number);
    }

    /// One that is being written is longer than was known; false: too long.
    pub fn grow_body(&mut self, number: u64, bytes: u64) -> bool {
        if !self.could_hold(bytes) || self.bodies.unnamed().saturating_add(bytes) > self.room {
            return false;
        }
        self.bodies.grow(number, bytes);
        self.make_room();
        true
    }

    /// Whether a record of this URL names this file.
    pub fn has_body(&self, hash: u64, number: u64) -> bool {
        self.bodies.of(Id::of(hash)).any(|body| body.number == number)
    }

    /// Changes whenever something is put or forgotten under this URL (or another one, by chance).
    pub fn stamp_of(&self, hash: u64) -> u32 {
        self.stamps[Id::of(hash).0 as usize % STAMPS]
    }

    /// The file system was full before as much was taken as was planned: what there is has to do.
    pub fn no_room_for_body(&mut self, number: u64, now: Timestamp) {
        self.bodies.drop(number);
        self.room = self.room.min(self.taken().max(self.plan.segment()));
        self.refused += 1;
        if self.refused > REFUSED {
            self.full_since = now.0;
        }
    }

    /// It will not be named.
    pub fn drop_body(&mut self, number: u64) {
        self.bodies.drop(number);
    }

    /// What was to be read of it could not be, or is not what it was to be.
    pub fn bad_body(&mut self, number: u64) {
        if let Some(body) = self.bodies.numbered(number) {
            self.counts.bad += 1;
            self.evict(body);
        }
    }

    /// A body cannot be had. Where it was not read in time, it may be the next time; but who asks is to have an answer.
    pub fn lost_body(&mut self, hash: u64, number: u64) {
        let id = Id::of(hash);
        let body = self.bodies.of(id).find(|body| body.number == number).copied();
        match body {
            Some(body) => self.evict(body),
            // Its record names what is not there.
            None => _ = self.forget(hash),
        }
    }

    /// It was answered with by what memory has of it, so it is not the next to go.
    pub fn used(&mut self, hash: u64) {
        self.index.used(Id::of(hash));
    }

    /// The files that are to be removed now.
    pub fn take_gone(&mut self) -> Vec<u64> {
        self.bodies.take_gone()
    }

    /// Bodies in files of their own, and bytes of them.
    pub fn large(&self) -> (usize, u64) {
        (self.bodies.count(), self.bodies.bytes())
    }

    /// Of the oldest segment the bodies go first, those that were used after all others; then the segment.
    fn make_room(&mut self) {
        while self.taken() > self.room_now()
            && let Some(oldest) = self.segments.first_key_value().map(|(number, _)| *number)
        {
            if self.evict_unused(oldest) {
                continue;
            }
            if let Some(body) = self.bodies.oldest(oldest, self.next, |_| true) {
                let from = self.index.get(body.id).filter(|slot| slot.place() == body.place);
                let is_written = !self.pending.contains_key(&body.place);
                let again = from.filter(|_| is_written).map(|slot| Previous { segment: oldest, slot });
                let uses = self.index.uses(body.id);
                if !again.is_some_and(|from| self.give_again(body.id, from, uses)) {
                    self.evict(body);
                }
                continue;
            }
            if self.active.is_some_and(|(active, _)| active == oldest) {
                return;
            }
            self.segments.remove(&oldest);
            for (id, from, uses) in self.empty(oldest) {
                self.give_again(id, from, uses);
            }
            self.jobs.push(DiskJob::Drop(oldest));
        }
    }

    /// The oldest body of a segment that was not used since it was written; whether there was one.
    pub(super) fn evict_unused(&mut self, segment: u64) -> bool {
        let is_used = |body: &BodyPlace| {
            self.index.get(body.id).is_some_and(|slot| slot.place() == body.place && self.index.uses(body.id) > 0)
        };
        let first = self.bodies.oldest(segment, self.next, |body| !is_used(body));
        first.map(|body| self.evict(body)).is_some()
    }

    fn evict(&mut self, body: BodyPlace) {
        self.bodies.drop(body.number);
        if self.index.get(body.id).is_some_and(|slot| slot.place() == body.place) {
            self.stamp(body.id);
            self.index.remove(body.id);
            self.bodies.loosen(body.id);
            self.jobs.push(DiskJob::Note(Frame::Gone(body.id)));
        }
    }

    /// The bodies of a segment that has gone.
    pub(super) fn drop_bodies(&mut self, segment: u64) {
        while let Some(body) = self.bodies.oldest(segment, self.next, |_| true) {
            self.bodies.drop(body.number);
        }
    }

    /// Writes a record once more, into the segment that is written; false where that has no room. One of its uses is used up by that.
    pub(super) fn give_again(&mut self, id: Id, from: Previous, uses: u8) -> bool {
        let needed = room(from.slot.length());
        let length = |number: u64| self.segments.get(&number).map_or(0, |segment| segment.length);
        let Some((number, filled)) = self.active.filter(|(number, filled)| filled + needed <= length(*number)) else {
            return false;
        };
        let to = IndexSlot::new(number, filled, from.slot.length());
        let to = to.with(from.slot.noted(IndexSlot::GROUPED | IndexSlot::DOUBTFUL) | from.slot.variants());
        self.active = Some((number, filled + needed));
        self.index.set_used(id, to, uses.saturating_sub(1));
        self.pending.insert(to.place(), Pending::Moved(from));
        self.counts.rewritten += needed;
        let body = self.bodies.at(id, from.slot.place()).map(|body| BodyPlace { place: to.place(), ..body });
        body.iter().for_each(|body| self.bodies.name(*body));
        self.jobs.push(DiskJob::Move { id, from: (from.segment, from.slot), to: (number, to), body });
        true
    }
}
