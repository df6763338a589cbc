//! PURE. Which segment is written, which one goes, and what of that is written again.

use super::*;

impl Disk {
    pub(super) fn turns_over(&self, now: Timestamp) -> Option<u64> {
        let oldest = self.segments.values().next()?;
        (self.taken() + self.plan.segment() > self.room_now()).then(|| now.0.saturating_sub(oldest.begun))
    }

    pub(super) fn taken(&self) -> u64 {
        self.segments.values().map(|segment| segment.length).sum::<u64>() + self.bodies.bytes()
    }

    /// Bytes that segments and bodies may take beside the journal, when it is longest, and the next one.
    pub(super) fn room_now(&self) -> u64 {
        let longest = self.plan.short() + JOURNAL_GROWS * self.next_journal();
        self.room.min(self.plan.room_beside(longest + self.next_journal()))
    }

    /// Room for a record, in the segment that is written or a new one.
    pub(super) fn place(&mut self, length: u64, now: Timestamp) -> Option<(u64, IndexSlot)> {
        let needed = room(length);
        if self
            .active
            .is_none_or(|(number, filled)| filled + needed > self.segments.get(&number).map_or(0, |s| s.length))
        {
            self.begin_segment(now);
        }
        let (number, filled) = self.active.as_mut()?;
        let slot = IndexSlot::new(*number, *filled, length);
        *filled += needed;
        let number = *number;
        self.look_ahead();
        Some((number, slot))
    }

    /// Begins a segment; the oldest goes where there is no room for another, and what was used of it is written again.
    fn begin_segment(&mut self, now: Timestamp) {
        let length = self.plan.segment();
        let mut again = Vec::new();
        let mut dropped = Vec::new();
        while self.taken() + length > self.room_now()
            && let Some(oldest) = self.segments.first_key_value().map(|(number, _)| *number)
        {
            if self.evict_unused(oldest) {
                continue;
            }
            self.segments.remove(&oldest);
            again.extend(self.empty(oldest));
            dropped.push(oldest);
        }
        // Its files stay until what is used has been copied; but where there is no room for one more they go first.
        if self.is_full() {
            again.clear();
            dropped.iter().for_each(|number| self.drop_bodies(*number));
            self.jobs.extend(dropped.drain(..).map(DiskJob::Drop));
        }
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.segments.insert(number, Segment { length, begun: now.0 });
        self.jobs.push(DiskJob::Begin(number, length, now.0));
        self.active = Some((number, 0));
        for (id, from, uses) in again {
            self.give_again(id, from, uses);
        }
        dropped.iter().for_each(|number| self.drop_bodies(*number));
        self.jobs.extend(dropped.into_iter().map(DiskJob::Drop));
    }

    /// Forgets what lies in a segment; those that were used since they were written, as far as they have a second chance, with
    /// how often: what was used most first.
    pub(super) fn empty(&mut self, number: u64) -> Vec<(Id, Previous, u8)> {
        let going = self.going.take().filter(|going| going.number() == number);
        let going = going.unwrap_or_else(|| GoingSegment::new(number)).ids(&self.index, self.next);
        let lies_there = |disk: &Disk, id| disk.index.get(id).filter(|slot| slot.segment(disk.next) == number);
        let is_written = |disk: &Disk, slot: IndexSlot| !disk.pending.contains_key(&slot.place());
        let mut by_uses = [0; Index::MOST_USES as usize + 1];
        for id in &going {
            if let Some(slot) = lies_there(self, *id).filter(|slot| is_written(self, *slot)) {
                by_uses[usize::from(self.index.uses(*id))] += room(slot.length());
            }
        }
        // Of what was used most, all has room or as much as there is; and so on with what that leaves.
        let mut left = self.plan.segment() / SECOND_CHANCE;
        for bytes in by_uses.iter_mut().skip(1).rev() {
            *bytes = left.min(*bytes);
            left -= *bytes;
        }
        let mut again = Vec::new();
        for id in going {
            let Some(slot) = lies_there(self, id) else { continue };
            let uses = self.index.uses(id);
            self.index.remove(id);
            let left = &mut by_uses[usize::from(uses)];
            if uses > 0 && is_written(self, slot) && *left >= room(slot.length()) {
                *left -= room(slot.length());
                again.push((id, Previous { segment: number, slot }, uses));
            }
        }
        again
    }

    /// Looks for what goes when the segment that is written is full.
    fn look_ahead(&mut self) {
        let Some((active, filled)) = self.active else { return };
        let length = self.plan.segment();
        let oldest = self.segments.first_key_value().map(|(number, _)| *number);
        let Some(oldest) = oldest.filter(|oldest| *oldest != active && self.taken() + length > self.room_now()) else {
            return;
        };
        let going = self.going.take().filter(|going| going.number() == oldest);
        self.going.insert(going.unwrap_or_else(|| GoingSegment::new(oldest))).look(
            &self.index,
            self.next,
            filled,
            length,
        );
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((oldest, _)) = self.segments.pop_first() else { return false };
        self.empty(oldest);
        self.drop_bodies(oldest);
        self.active = self.active.filter(|(number, _)| *number != oldest);
        self.jobs.push(DiskJob::Drop(oldest));
        true
    }

    /// The next that is written begins another.
    pub(super) fn not_begun(&mut self, number: u64) {
        self.segments.remove(&number);
        self.active = self.active.filter(|(active, _)| *active != number);
    }

    /// The disk is smaller than was planned: what there is has to do, and the oldest goes. Not again and again: where another
    /// takes the room, that is of no use.
    pub(super) fn no_room(&mut self, number: u64, now: Timestamp) {
        self.not_begun(number);
        self.room = self.room.min(self.taken().max(self.plan.segment()));
        self.refused += 1;
        self.full_since = if self.refused > REFUSED || !self.drop_oldest() { now.0 } else { 0 };
    }
}
