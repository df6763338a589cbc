//! Connections to nodes that belong to one client: where NTLM or Negotiate authenticate a connection, the client's, the one to
//! the node and the one to the origin are tied together, and end together ([`crate::wire::connection_auth`]).

use super::control::Phase;
use super::kept::Link;
use super::pool::{Pool, Slot};
use crate::wire::target::Key;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// So many origins at once; the oldest is given up first.
const MOST: usize = 8;

/// Those of one client.
#[derive(Default)]
pub struct Ties {
    ties: RefCell<Vec<Rc<Tie>>>,
    /// For who only asks whether there are any.
    some: Cell<bool>,
}

/// The way of one client to one origin.
pub struct Tie {
    authority: Box<str>,
    kept: RefCell<Option<(Link, Slot)>>,
}

impl Ties {
    pub fn is_empty(&self) -> bool {
        !self.some.get()
    }

    /// The one to the origin of a key.
    pub fn get(&self, key: &Key) -> Option<Rc<Tie>> {
        if self.is_empty() {
            return None;
        }
        self.ties.borrow().iter().find(|tie| *tie.authority == *key.authority()).cloned()
    }

    /// The same, made where there is none.
    pub fn make(&self, key: &Key) -> Rc<Tie> {
        if let Some(tie) = self.get(key) {
            return tie;
        }
        let tie = Rc::new(Tie { authority: key.authority().into(), kept: RefCell::default() });
        let mut ties = self.ties.borrow_mut();
        if ties.len() >= MOST {
            ties.remove(0);
        }
        ties.push(tie.clone());
        self.some.set(true);
        tie
    }
}

impl Tie {
    /// The connection, where it is one to this node and lives.
    pub fn take(&self, pool: &Rc<Pool>) -> Option<(Link, Slot)> {
        let mut kept = self.kept.borrow_mut().take().filter(|(_, slot)| Rc::ptr_eq(slot.pool(), pool))?;
        (!kept.0.is_stale()).then_some(kept)
    }

    /// Keeps it for the client's next request. It takes no place from others meanwhile.
    pub fn put(&self, link: Link, mut slot: Slot) {
        link.control.enter(Phase::Resting);
        slot.leave_room();
        *self.kept.borrow_mut() = Some((link, slot));
    }
}
