//! Connections that belong to one connection of a client: NTLM and Negotiate authenticate a connection, and what comes on it
//! is for who has logged in there ([`crate::wire::connection_auth`]).

use super::conn::Conn;
use crate::net::listen::Stream;
use crate::net::rules::Reach;
use crate::wire::target::Key;
use std::cell::RefCell;

/// So many origins at once; the oldest is given up first.
const MOST: usize = 8;

/// Those of one connection of a client, or of a front that keeps it for one. They end with it.
pub struct Pins<S = Stream>(RefCell<Vec<(Box<str>, Conn<S>)>>);

impl<S> Default for Pins<S> {
    fn default() -> Pins<S> {
        Pins(RefCell::default())
    }
}

impl<S> Pins<S> {
    /// Whether there is one to the origin of a key.
    pub fn has(&self, key: &Key) -> bool {
        self.0.borrow().iter().any(|(origin, _)| **origin == *key.root())
    }

    /// Closes them.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    pub(super) fn take(&self, origin: &str, allowed: impl Fn(Reach) -> bool) -> Option<Conn<S>> {
        let mut pins = self.0.borrow_mut();
        let at = pins.iter().position(|(of, conn)| **of == *origin && allowed(conn.reach()))?;
        Some(pins.remove(at).1)
    }

    pub(super) fn put(&self, origin: &str, conn: Conn<S>) {
        let mut pins = self.0.borrow_mut();
        pins.retain(|(of, _)| **of != *origin);
        if pins.len() >= MOST {
            pins.remove(0);
        }
        pins.push((origin.into(), conn));
    }
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pinned", self.0.borrow().len())
    }
}
