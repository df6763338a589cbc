//! Connections to nodes that belong to one client: where NTLM or Negotiate authenticate a connection, the client's, the one to
//! the node and the one to the origin are tied together, and end together ([`crate::wire::connection_auth`]).

use super::broken::LinkError;
use super::control::Phase;
use super::kept::KeptConn;
use super::pool::Slot;
use super::silent::{SilentPlace, TieEnding};
use crate::wire::target::Key;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

/// So many origins at once; the oldest is given up first.
const MOST: usize = 8;

/// Those of one connection of a client.
#[derive(Default)]
pub struct Ties {
    ties: RefCell<Vec<Rc<Tie>>>,
    ending: Rc<TieEnding>,
}

/// The way of one client to one origin.
pub struct Tie {
    /// Scheme and authority.
    root: Box<str>,
    state: RefCell<TieState>,
    ending: Rc<TieEnding>,
}

enum TieState {
    /// There has been no connection.
    New,
    /// Between two requests.
    Silent { link: KeptConn, slot: Slot, _place: SilentPlace },
    /// In use, or ended.
    Away,
}

/// Its connection in use. Dropped, it has ended.
pub struct Tied(Option<Rc<Tie>>);

impl Ties {
    pub fn is_empty(&self) -> bool {
        self.ties.borrow().is_empty()
    }

    /// What its connection ends by: one of them, or somebody else.
    pub fn ending(&self) -> &Rc<TieEnding> {
        &self.ending
    }

    /// Whether one of them has ended, as far as was seen: then so does the client's connection, because what comes next on it
    /// was meant for who is logged in. Or it was told to end.
    pub fn have_ended(&self) -> bool {
        self.ending.has_come()
    }

    /// Ready when one of them has ended, or it was told to end. Not while one is in use.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.have_ended() {
            return Poll::Ready(());
        }
        let can_be_told = Rc::weak_count(&self.ending) > 0;
        if self.is_empty() && !can_be_told {
            return Poll::Pending;
        }
        self.ending.wait(cx);
        self.ties.borrow().iter().for_each(|tie| tie.look(cx));
        if self.have_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The one to the origin of a key.
    pub fn get(&self, key: &Key) -> Option<Rc<Tie>> {
        if self.is_empty() {
            return None;
        }
        self.ties.borrow().iter().find(|tie| *tie.root == *key.root()).cloned()
    }

    /// The same, made where there is none.
    pub fn make(&self, key: &Key) -> Rc<Tie> {
        if let Some(tie) = self.get(key) {
            return tie;
        }
        let (root, ending) = (key.root().into(), self.ending.clone());
        let tie = Rc::new(Tie { root, state: RefCell::new(TieState::New), ending });
        let mut ties = self.ties.borrow_mut();
        if ties.len() >= MOST {
            ties.remove(0).end();
        }
        ties.push(tie.clone());
        tie
    }
}

impl Tie {
    /// The connection; `None` where there has been none. One that has ended is not replaced by another, on which nobody is
    /// logged in, or somebody half way.
    pub fn take(self: &Rc<Self>) -> Result<Option<(KeptConn, Slot, Tied)>, LinkError> {
        let silent = match &mut *self.state.borrow_mut() {
            TieState::New => return Ok(None),
            state => std::mem::replace(state, TieState::Away),
        };
        if let TieState::Silent { mut link, slot, .. } = silent
            && !link.is_stale()
        {
            return Ok(Some((link, slot, Tied(Some(self.clone())))));
        }
        self.end();
        Err(LinkError::Parted)
    }

    /// A connection has brought an answer: it is this one's from now on, or ends with that.
    pub fn tie(self: &Rc<Self>, tied: &mut Option<Tied>, keep: bool) {
        *self.state.borrow_mut() = TieState::Away;
        tied.get_or_insert_with(|| Tied(Some(self.clone())));
        tied.take_if(|_| !keep);
    }

    /// Whoever is at one of its ends has left, or is to leave.
    fn end(&self) {
        drop(self.state.replace(TieState::Away));
        self.ending.come();
    }

    fn look(&self, cx: &mut Context<'_>) {
        let has_ended = match &mut *self.state.borrow_mut() {
            TieState::Silent { link, .. } => link.poll_disturbed(cx).is_ready(),
            TieState::New | TieState::Away => false,
        };
        if has_ended {
            self.end();
        }
    }
}

impl Tied {
    /// Keeps it for the client's next request. It takes no place from what is in use meanwhile.
    pub fn put(mut self, link: KeptConn, mut slot: Slot) {
        let Some(tie) = self.0.take() else { return };
        link.control.enter(Phase::Idle);
        slot.leave_room();
        let (node, shared) = (&slot.pool().node, &slot.pool().shared);
        let _place = shared.silents.add(link.control.owner(), &node.id, &tie.root, &tie.ending, &shared.limits);
        *tie.state.borrow_mut() = TieState::Silent { link, slot, _place };
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        if let Some(tie) = self.0.take() {
            tie.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_by_http_is_none_by_https() {
        let ties = Ties::default();
        let key = |url: &str| Key::parse(url).unwrap();
        ties.make(&key("http://a.example/x"));
        assert!(ties.get(&key("http://a.example/y")).is_some());
        assert!(ties.get(&key("https://a.example/x")).is_none());
    }
}
