//! PURE. What [`super::deciding`] keeps beside the index, and hands out.

use super::admit::Skipped;
use super::index::Id;
use super::place::IndexSlot;
use super::record::Previous;
use crate::store::entry::Entry;
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
