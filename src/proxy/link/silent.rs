//! Connections that are tied to clients and wait for their next request. They take no place from what is in use, and others
//! cannot use them; so a client has its share of them, and whose has been silent for longest gives way.

use crate::config::Limits;
use crate::net::shares::{ClientId, gives_way};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};

/// Those of one worker.
#[derive(Default)]
pub struct Silents(Rc<List>);

#[derive(Default)]
struct List {
    /// By number, so that who has been silent for longest comes first.
    entries: RefCell<BTreeMap<u64, SilentEntry>>,
    next: Cell<u64>,
}

struct SilentEntry {
    of: ClientId,
    node: Box<str>,
    origin: Box<str>,
    ending: Rc<TieEnding>,
}

/// Whether something that belongs to a client's connection has ended, and who waits to hear of it.
#[derive(Default)]
pub struct TieEnding {
    has_come: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A place among them, until dropped.
pub struct SilentPlace(Rc<List>, u64);

impl Silents {
    /// One more, of this client, to this node and this origin. Where there are too many to one of the two, a client's connection
    /// ends with what is tied to it.
    pub fn add(&self, of: ClientId, node: &str, origin: &str, ending: &Rc<TieEnding>, limits: &Limits) -> SilentPlace {
        self.make_room(limits.node_connections, of, |entry| *entry.node == *node);
        self.make_room(limits.origin_connections, of, |entry| *entry.origin == *origin);
        let id = self.0.next.replace(self.0.next.get() + 1);
        let (node, origin, ending) = (node.into(), origin.into(), ending.clone());
        self.0.entries.borrow_mut().insert(id, SilentEntry { of, node, origin, ending });
        SilentPlace(self.0.clone(), id)
    }

    fn make_room(&self, limit: usize, of: ClientId, is_alike: impl Fn(&SilentEntry) -> bool) {
        let mut entries = self.0.entries.borrow_mut();
        let alike = entries.iter().filter(|(_, entry)| is_alike(entry));
        let (ids, alike): (Vec<_>, Vec<_>) = alike.map(|(id, entry)| (*id, entry.of)).unzip();
        if let Some(given_up) = gives_way(&alike, limit, of).and_then(|first| entries.remove(&ids[first])) {
            given_up.ending.come();
        }
    }
}

/// Those of connections that may have to end at one time.
#[derive(Default)]
pub struct Endings(RefCell<Vec<Weak<TieEnding>>>);

impl Endings {
    pub fn add(&self, ending: &Rc<TieEnding>) {
        let mut all = self.0.borrow_mut();
        // Looked through as often as it grows, so that this costs nothing.
        if all.len() == all.capacity() {
            all.retain(|one| one.strong_count() > 0);
        }
        all.push(Rc::downgrade(ending));
    }

    pub fn come(&self) {
        let all = self.0.take();
        all.iter().filter_map(Weak::upgrade).for_each(|ending| ending.come());
    }
}

impl TieEnding {
    pub fn has_come(&self) -> bool {
        self.has_come.get()
    }

    pub fn come(&self) {
        self.has_come.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Who is to be woken when it comes.
    pub fn wait(&self, cx: &Context<'_>) {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
    }
}

impl Drop for SilentPlace {
    fn drop(&mut self) {
        self.0.entries.borrow_mut().remove(&self.1);
    }
}
