//! Who waits for an answer on a node's pipelined connection, in the order of the requests ([`super::pipeline`]).

use crate::wire::answer::decode::Head;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

/// So many may wait for their answers at once; who comes then asks in the ordinary way.
const PLACES: usize = 256;
/// The same for bytes that the node has not taken yet.
const UNSENT: usize = 64 * 1024;
/// One a pool. It has a connection only while somebody waits.
#[derive(Default)]
pub struct Pipeline {
    /// Who waits, in the order of the requests.
    pub places: RefCell<VecDeque<Rc<Place>>>,
    /// Requests that are not sent yet.
    pub unsent: RefCell<Vec<u8>>,
    /// Somebody drives the connection.
    pub driven: Cell<bool>,
    pub driver: Cell<Option<Waker>>,
}

/// Where one answer goes.
#[derive(Default)]
pub struct Place {
    pub outcome: Cell<PipelineOutcome>,
    pub waker: Cell<Option<Waker>>,
}

#[derive(Default)]
pub enum PipelineOutcome {
    #[default]
    Awaited,
    /// With the whole body.
    Answered(Box<(Head, Bytes)>),
    /// It has to be asked for in the ordinary way.
    Missed,
}

impl Place {
    pub fn settle(&self, outcome: PipelineOutcome) {
        self.outcome.set(outcome);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Pipeline {
    /// Whether there is no room for one more.
    pub fn is_full(&self) -> bool {
        self.places.borrow().len() >= PLACES || self.unsent.borrow().len() >= UNSENT
    }

    pub fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }

    #[cfg(test)]
    pub fn is_driven(&self) -> bool {
        self.driven.get()
    }
}
