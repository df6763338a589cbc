//! Connections that belong to one connection of a client: NTLM and Negotiate authenticate a connection, and what comes on it
//! is for who has logged in there ([`crate::wire::connection_auth`]).

use super::conn::{ByteStream, Conn, ExchangeError};
use crate::net::listen::Stream;
use crate::net::rules::Reach;
use crate::wire::target::Key;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};

/// So many origins at once; the oldest is given up first.
const MOST: usize = 8;

/// Those of one connection of a client, or of a front that keeps it for one. They end with it, and it ends with each of them:
/// what follows on it was meant for who is logged in.
pub struct Pins<S = Stream> {
    /// By origin; `None` while it is in use, and when it has ended.
    conns: RefCell<Vec<(Box<str>, Option<Conn<S>>)>>,
    ended: Cell<bool>,
}

/// One of them in use. Dropped, it has ended.
pub(super) struct Pinned<S>(Option<Rc<Pins<S>>>);

impl<S> Default for Pins<S> {
    fn default() -> Pins<S> {
        Pins { conns: RefCell::default(), ended: Cell::default() }
    }
}

impl<S> Pins<S> {
    /// Whether there is, or was, one to the origin of a key.
    pub fn has(&self, key: &Key) -> bool {
        self.conns.borrow().iter().any(|(origin, _)| **origin == *key.root())
    }

    /// Closes them: the connection that they belonged to is for others now.
    pub fn clear(&self) {
        self.conns.borrow_mut().clear();
        self.ended.set(false);
    }

    /// Whether one of them has ended, as far as was seen.
    pub fn have_ended(&self) -> bool {
        self.ended.get()
    }

    /// One is to be the origin's from now on.
    pub(super) fn hold(self: &Rc<Self>, origin: &str) -> Pinned<S> {
        let mut conns = self.conns.borrow_mut();
        if !conns.iter().any(|(of, _)| **of == *origin) {
            if conns.len() >= MOST {
                conns.remove(0);
                self.ended.set(true);
            }
            conns.push((origin.into(), None));
        }
        Pinned(Some(self.clone()))
    }

    fn place(&self, origin: &str) -> Option<usize> {
        self.conns.borrow().iter().position(|(of, _)| **of == *origin)
    }
}

impl<S: ByteStream> Pins<S> {
    /// Ready when one of them has ended.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut conns = self.conns.borrow_mut();
        let mut idle = conns.iter_mut().filter_map(|(_, conn)| conn.as_mut());
        if !self.ended.get() && !idle.any(|conn| conn.poll_disturbed(cx).is_ready()) {
            return Poll::Pending;
        }
        self.ended.set(true);
        Poll::Ready(())
    }

    /// The one to an origin; `None` where there has been none. One that has ended is not replaced by another, on which nobody
    /// is logged in, or somebody half way.
    pub(super) fn take(
        self: &Rc<Self>,
        origin: &str,
        allowed: impl Fn(Reach) -> bool,
    ) -> Result<Option<(Conn<S>, Pinned<S>)>, ExchangeError> {
        let Some(at) = self.place(origin) else { return Ok(None) };
        let conn = self.conns.borrow_mut()[at].1.take();
        match conn.filter(|conn| allowed(conn.reach())).and_then(Conn::if_quiet) {
            Some(conn) => Ok(Some((conn, self.hold(origin)))),
            None => {
                self.ended.set(true);
                Err(ExchangeError::Ended { heard: false, source: None })
            }
        }
    }
}

impl<S> Pinned<S> {
    /// Keeps it for the next request.
    pub(super) fn put(mut self, origin: &str, conn: Conn<S>) {
        if let Some(pins) = self.0.take()
            && let Some(at) = pins.place(origin)
        {
            pins.conns.borrow_mut()[at].1 = Some(conn);
        }
    }
}

impl<S> Drop for Pinned<S> {
    fn drop(&mut self) {
        if let Some(pins) = self.0.take() {
            pins.ended.set(true);
        }
    }
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pinned", self.conns.borrow().len())
    }
}
