//! What is stored under one URL: one entry, or several that `Vary` tells apart (RFC 9111 section 4.1).

use super::entry::{Entry, Mark};
use super::cache::Weigh;
use crate::policy;
use http::HeaderMap;
use std::sync::Arc;

/// The variants of a URL. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Shelf {
    One(Arc<Entry>),
    Many(Arc<[Arc<Entry>]>),
}

impl Shelf {
    pub fn entries(&self) -> &[Arc<Entry>] {
        match self {
            Shelf::One(entry) => std::slice::from_ref(entry),
            Shelf::Many(entries) => entries,
        }
    }

    /// The entry that a request selects: of several that match, the latest. What only clients on the same machine may
    /// reach is there for nobody else.
    pub fn select(&self, request: &HeaderMap, same_machine: bool) -> Option<&Arc<Entry>> {
        let allowed = |e: &&Arc<Entry>| same_machine || e.mark == Mark::Anyone;
        self.entries().iter().filter(allowed).filter(|e| matches(e, request)).max_by_key(|e| e.terms.received)
    }

    /// With `entry` in place of the variant that it replaces; at most `most` variants, the least recently used gives way.
    pub fn with(&self, entry: Arc<Entry>, most: usize) -> Shelf {
        let mut kept: Vec<Arc<Entry>> = self.entries().iter().filter(|old| !replaces(&entry, old)).cloned().collect();
        while kept.len() >= most.max(1) {
            let Some(oldest) = (0..kept.len()).min_by_key(|&i| kept[i].used()) else { break };
            kept.swap_remove(oldest);
        }
        if kept.is_empty() {
            return Shelf::One(entry);
        }
        kept.push(entry);
        Shelf::Many(kept.into())
    }

}

impl Weigh for Shelf {
    fn weight(&self) -> u32 {
        self.entries().iter().fold(0u32, |sum, e| sum.saturating_add(e.weight()))
    }
}

fn matches(entry: &Entry, request: &HeaderMap) -> bool {
    let vary = entry.vary();
    vary.is_empty() || policy::selecting_by(vary, request).is_some_and(|s| *s == *entry.selecting())
}

/// A new response replaces the variant with the same selecting fields. One without `Vary` replaces the others like it; those with
/// `Vary` stay, for the requests that select them.
fn replaces(new: &Entry, old: &Entry) -> bool {
    new.vary() == old.vary() && new.selecting() == old.selecting() && new.mark == old.mark
}
