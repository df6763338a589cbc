//! PURE. What [`super::deciding`] keeps beside the index, and hands out.

use super::admit::Skipped;
use super::index::Id;
use super::place::IndexSlot;
use super::record::Previous;
use crate::store::entry::Entry;
use crate::wire::date::Timestamp;
use std::collections::HashSet;
use std::sync::Arc;

/// What is to be read for a request.
#[derive(Clone, Debug)]
pub struct DiskLookup {
    pub slot: IndexSlot,
    /// What is not written yet, and need not be read; the newest first.
    pub entries: Vec<Arc<Entry>>,
    /// Where the newest lies that is written.
    pub read: Option<Previous>,
}

/// What a URL had before it was forgotten, for the record of another of its variants.
#[derive(Clone, Copy, Debug)]
pub struct ForgottenUrl {
    pub slot: IndexSlot,
    pub stamp: u32,
}

/// What waits to be written.
#[derive(Debug)]
pub enum Pending {
    Entry(Arc<Entry>, Option<Previous>),
    /// It lies here until then.
    Moved(Previous),
}

/// What people want to know of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskAccount {
    /// Its newest record, which takes so many bytes of a segment that was begun then; or will, when it is written. `file`:
    /// bytes of the one that has its body.
    There { bytes: u64, file: Option<u64>, begun: Timestamp, slot: IndexSlot, is_written: bool },
    /// And why, where it came not long ago.
    Absent(Option<Skipped>),
}

/// Places in which it is noted why a URL was not written; those that share one take it from each other.
const LATELY: usize = 1024;

/// Why URLs were not written lately.
#[derive(Debug)]
pub struct SkippedLately(Box<[Option<(Id, Skipped)>]>);

impl Default for SkippedLately {
    fn default() -> SkippedLately {
        SkippedLately(vec![None; LATELY].into())
    }
}

impl SkippedLately {
    /// `None`: it was written.
    pub fn note(&mut self, id: Id, why: Option<Skipped>) {
        let place = &mut self.0[id.0 as usize % LATELY];
        match why {
            Some(why) => *place = Some((id, why)),
            None => *place = place.filter(|(of, _)| *of != id),
        }
    }

    pub fn of(&self, id: Id) -> Option<Skipped> {
        self.0[id.0 as usize % LATELY].filter(|(of, _)| *of == id).map(|(_, why)| why)
    }
}

/// So many URLs are remembered while the journal is not read; where there are more, all are doubted.
const MEANWHILE: usize = 65_536;

/// What happened while the journal was not read.
#[derive(Debug, Default)]
pub struct Meanwhile {
    pub gone: HashSet<Id>,
    pub grouped: bool,
    pub doubt: bool,
}

impl Meanwhile {
    pub fn forget(&mut self, id: Id) {
        match self.gone.len() < MEANWHILE {
            true => _ = self.gone.insert(id),
            false => self.doubt = true,
        }
    }
}

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub written: u64,
    pub rewritten: u64,
    pub skipped: [u64; Skipped::ALL.len()],
    pub bad: u64,
    /// Of the journal, for what was purged.
    pub syncs: u64,
}
