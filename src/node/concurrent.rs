//! What is asked for side by side. An answer that shows something newer than what was asked for before it, and is still on its way,
//! is seen by its client whether it is stored or not: the older one is not stored after it.

use super::fill::{Fate, FillHead};
use super::fills::Fills;
use crate::policy::Shown;
use crate::wire::date::Timestamp;
use crate::wire::target::Key;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The fetches that have no answer yet, by the hash of their key, in the order in which they were begun.
#[derive(Default)]
pub struct Concurrent(RefCell<HashMap<u64, Vec<Rc<ConcurrentFetch>>>>);

#[derive(Default)]
struct ConcurrentFetch {
    /// What was shown last to one that was begun later.
    shown: RefCell<Option<Shown>>,
}

/// A fetch until it is answered or given up.
pub struct Fetching<'a> {
    all: &'a Concurrent,
    key: &'a Key,
    own: Rc<ConcurrentFetch>,
}

impl Concurrent {
    pub fn begin<'a>(&'a self, key: &'a Key) -> Fetching<'a> {
        let own = Rc::new(ConcurrentFetch::default());
        self.0.borrow_mut().entry(key.hash()).or_default().push(own.clone());
        Fetching { all: self, key, own }
    }
}

impl Fetching<'_> {
    /// The answer has come, and `shows` this. Whether it is outdone: one that was begun later has been shown something else.
    pub fn answered(&self, shows: impl FnOnce() -> Option<Shown>) -> bool {
        let later = self.own.shown.borrow();
        later.as_ref().is_some_and(|later| !shows().is_some_and(|shown| shown.agrees(later)))
    }

    /// The same of the origin's own answer to a question of `sent`, which outdoes in turn what was asked for before.
    pub fn answered_by_origin(&self, fills: &Fills, sent: Timestamp, shows: impl FnOnce() -> Option<Shown>) -> bool {
        let (before, coming) = (self.before(), fills.streaming(self.key));
        if before.is_empty() && coming.is_empty() {
            return self.answered(shows);
        }
        let shown = shows();
        if let Some(shown) = &shown {
            before.iter().for_each(|fetch| _ = fetch.shown.replace(Some(shown.clone())));
            let is_outdone = |head: &FillHead| head.sent < sent && !shown.agrees(&as_shown(head));
            for (fill, _) in coming.iter().filter(|(_, head)| is_outdone(head)) {
                tracing::debug!("not stored: {} has changed while it came", fill.key);
                fill.set_fate(Fate::Forget);
            }
        }
        self.answered(|| shown)
    }

    fn before(&self) -> Vec<Rc<ConcurrentFetch>> {
        let all = self.all.0.borrow();
        let fetches = all.get(&self.key.hash()).map(Vec::as_slice).unwrap_or_default();
        fetches.iter().take_while(|fetch| !Rc::ptr_eq(fetch, &self.own)).cloned().collect()
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        let mut all = self.all.0.borrow_mut();
        if let Some(fetches) = all.get_mut(&self.key.hash()) {
            fetches.retain(|fetch| !Rc::ptr_eq(fetch, &self.own));
            if fetches.is_empty() {
                all.remove(&self.key.hash());
            }
        }
    }
}

fn as_shown(head: &FillHead) -> Shown {
    Shown::stored(Some(head.status), &head.headers, &head.selecting, head.length)
}
