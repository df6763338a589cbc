//! PURE. Which bodies lie in files of their own: some thousands at most, since each is longer than a record may be. Which of a URL's
//! records names one is known by its place; what a variant that is not the newest has is known as well.

use super::index::Id;
use super::place::IndexSlot;
use crate::wire::date::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// A file that nothing names any more is removed after so many milliseconds: what takes the place of the record that named it may
/// name it again, as after a 304.
const LOOSE: u64 = 1_000;

/// A file, and the record that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyPlace {
    pub id: Id,
    pub number: u64,
    /// Of the record: [`IndexSlot::place`].
    pub place: u64,
    /// Bytes of the body.
    pub length: u64,
    /// When it was written, in milliseconds since 1970.
    pub begun: u64,
}

impl BodyPlace {
    /// The segment that its record lies in.
    pub fn segment(&self, next: u64) -> u64 {
        IndexSlot(self.place).segment(next)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Bodies {
    named: BTreeMap<(u64, u64), BodyPlace>,
    /// Bytes of each that is being written.
    writing: HashMap<u64, u64>,
    /// Those that a record named, and since when none does.
    loose: Vec<(BodyPlace, u64)>,
    /// To be removed.
    gone: Vec<u64>,
    next: u64,
    /// Of all of them.
    bytes: u64,
}

impl Bodies {
    /// Of those that a record names.
    pub fn count(&self) -> usize {
        self.named.len()
    }

    /// Of all of them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of those that are being written.
    pub fn unnamed(&self) -> u64 {
        self.writing.values().sum()
    }

    fn count_again(&mut self) {
        let (named, loose) = (self.named.values(), self.loose.iter().map(|(body, _)| body));
        self.bytes = named.chain(loose).map(|body| body.length).sum::<u64>() + self.unnamed();
    }

    /// The number of a new one, of which so many bytes are to be counted.
    pub fn begin(&mut self, bytes: u64) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.writing.insert(number, bytes);
        self.count_again();
        number
    }

    /// One that a record names is gone on with, and gets so many bytes more; not where somebody does that already.
    pub fn resume(&mut self, id: Id, number: u64, more: u64) -> bool {
        let may = self.named.contains_key(&(id.0, number)) && !self.is_written(number);
        if may {
            self.writing.insert(number, more);
            self.count_again();
        }
        may
    }

    /// It is not gone on with: what its record names stays.
    pub fn leave(&mut self, number: u64) {
        self.writing.remove(&number);
        self.count_again();
    }

    /// One that is being written becomes longer than was thought.
    pub fn grow(&mut self, number: u64, bytes: u64) {
        self.writing.entry(number).and_modify(|counted| *counted = bytes.max(*counted));
        self.count_again();
    }

    pub fn is_written(&self, number: u64) -> bool {
        self.writing.contains_key(&number)
    }

    /// Whether a record of this URL may name it.
    pub fn may_be_named(&self, id: Id, number: u64) -> bool {
        let is_loose = || self.loose.iter().any(|(body, _)| (body.id, body.number) == (id, number));
        self.is_written(number) || self.named.contains_key(&(id.0, number)) || is_loose()
    }

    /// A record names it now.
    pub fn name(&mut self, body: BodyPlace) {
        let written = self.writing.remove(&body.number);
        let was_loose = self.loose.iter().find(|(loose, _)| loose.number == body.number).map(|(loose, _)| loose.length);
        self.loose.retain(|(loose, _)| loose.number != body.number);
        let before = self.named.insert((body.id.0, body.number), body).map(|body| body.length);
        let counted: u64 = [written, was_loose, before].into_iter().flatten().sum();
        self.bytes = self.bytes.saturating_add(body.length).saturating_sub(counted);
        self.next = self.next.max(body.number.saturating_add(1));
    }

    pub fn of(&self, id: Id) -> impl Iterator<Item = &BodyPlace> {
        self.named.range((id.0, 0)..=(id.0, u64::MAX)).map(|(_, body)| body)
    }

    /// What the record at this place names.
    pub fn at(&self, id: Id, place: u64) -> Option<BodyPlace> {
        self.of(id).find(|body| body.place == place).copied()
    }

    pub fn numbered(&self, number: u64) -> Option<BodyPlace> {
        self.named.values().find(|body| body.number == number).copied()
    }

    pub fn all(&self) -> impl Iterator<Item = &BodyPlace> {
        self.named.values()
    }

    /// The one that was written first of those whose record lies in this segment.
    pub fn oldest(&self, segment: u64, next: u64, is_it: impl Fn(&BodyPlace) -> bool) -> Option<BodyPlace> {
        let there = self.named.values().filter(|body| body.segment(next) == segment && is_it(body));
        there.min_by_key(|body| (body.begun, body.number)).copied()
    }

    /// Nothing of this URL is named any more.
    pub fn loosen(&mut self, id: Id) {
        let of: Vec<BodyPlace> = self.of(id).copied().collect();
        for body in of {
            self.named.remove(&(id.0, body.number));
            self.loose.push((body, 0));
        }
    }

    /// Nothing of this URL is there any more.
    pub fn forget(&mut self, id: Id) {
        let of: Vec<u64> = self.of(id).map(|body| body.number).collect();
        of.iter().for_each(|number| _ = self.named.remove(&(id.0, *number)));
    }

    /// It is to be removed.
    pub fn drop(&mut self, number: u64) {
        self.writing.remove(&number);
        self.named.retain(|(_, of), _| *of != number);
        self.loose.retain(|(body, _)| body.number != number);
        self.gone.push(number);
        self.count_again();
    }

    /// Only those stay that are there.
    pub fn retain(&mut self, mut is_there: impl FnMut(&BodyPlace) -> bool) {
        self.named.retain(|_, body| is_there(body));
        self.count_again();
    }

    /// Removes what has been loose for long enough.
    pub fn tidy(&mut self, now: Timestamp) {
        if self.loose.is_empty() {
            return;
        }
        for (_, since) in &mut self.loose {
            *since = if *since == 0 { now.0 } else { *since };
        }
        let is_over = |since: u64| now.0.saturating_sub(since) >= LOOSE;
        self.gone.extend(self.loose.iter().filter(|(_, since)| is_over(*since)).map(|(body, _)| body.number));
        self.loose.retain(|(_, since)| !is_over(*since));
        self.count_again();
    }

    /// The files that are to be removed now.
    pub fn take_gone(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.gone)
    }

    /// No new one has a number below this.
    pub fn number_from(&mut self, next: u64) {
        self.next = self.next.max(next);
    }
}
