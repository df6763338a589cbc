//! Connections to origins that belong to one connection of a client: NTLM and Negotiate authenticate a connection, and what
//! comes on it is for who has logged in there ([`crate::wire::connection_auth`]).

use super::{Idle, Reach};
use crate::wire::target::Key;
use std::cell::RefCell;

/// So many origins at once; the oldest is given up first.
const MOST: usize = 8;

/// Those of one connection of a client, or of a front that keeps it for one. They end with it.
#[derive(Default)]
pub struct Pins(RefCell<Vec<(Box<str>, Idle)>>);

impl Pins {
    /// Whether there is one to the origin of a key.
    pub fn has(&self, key: &Key) -> bool {
        self.0.borrow().iter().any(|(authority, _)| **authority == *key.authority())
    }

    /// Closes them.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    pub(super) fn take(&self, authority: &str, allowed: impl Fn(Reach) -> bool) -> Option<Idle> {
        let mut pins = self.0.borrow_mut();
        let at = pins.iter().position(|(of, idle)| **of == *authority && allowed(idle.reach))?;
        Some(pins.remove(at).1)
    }

    pub(super) fn put(&self, authority: &str, idle: Idle) {
        let mut pins = self.0.borrow_mut();
        pins.retain(|(of, _)| **of != *authority);
        if pins.len() >= MOST {
            pins.remove(0);
        }
        pins.push((authority.into(), idle));
    }
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pinned", self.0.borrow().len())
    }
}
