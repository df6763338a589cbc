//! What the worker's sweep knows of a connection, and how it wakes the request that waits on it.

use crate::net::shares::ClientId;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// In the pool.
    Idle,
    /// A request was sent, its answer has not begun. `movable`: another owner may be asked instead.
    Head { movable: bool },
    /// The request's body is on its way; its client, or the origin behind the node, may pause.
    Sending,
    /// The node owes a piece of a body.
    Body,
    /// Whoever reads the body is not reading now, or it is a tunnel: the node owes nothing.
    Resting,
}

/// Registered once a connection in its pool.
#[derive(Debug)]
pub struct Control {
    phase: Cell<Phase>,
    /// Sweeps since the phase began, or since the last piece of a body.
    ticks: Cell<u32>,
    abandoned: Cell<bool>,
    /// For whom it is in use.
    owner: Cell<ClientId>,
    waker: RefCell<Option<Waker>>,
}

impl Control {
    pub fn new() -> Rc<Control> {
        let phase = Cell::new(Phase::Resting);
        let (ticks, abandoned, owner) = (Cell::new(0), Cell::new(false), Cell::new(ClientId::OURS));
        Rc::new(Control { phase, ticks, abandoned, owner, waker: RefCell::new(None) })
    }
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.ticks.set(0);
    }
    pub fn set_owner(&self, owner: ClientId) {
        self.owner.set(owner);
    }
    pub fn owner(&self) -> ClientId {
        self.owner.get()
    }
    /// Something moved.
    pub fn touch(&self) {
        self.ticks.set(0);
    }
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }
    /// The task that waits for the node, to be woken by [`Control::abandon`].
    pub fn wait(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
    /// Nobody shall wait for this connection any longer.
    pub fn abandon(&self) {
        self.abandoned.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.get()
    }
    pub fn ticks(&self) -> u32 {
        self.ticks.get()
    }
    /// Another sweep has passed; returns how many.
    pub fn tick(&self) -> u32 {
        self.ticks.set(self.ticks.get().saturating_add(1));
        self.ticks.get()
    }
}
