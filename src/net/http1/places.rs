//! Who uses how many of a server's connections, and who waits for one. Each client has its share of both, so that one whose
//! requests the server does not answer leaves some to others.

use crate::net::shares::{ClientId, may_have_more};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::sync::oneshot;

pub(super) struct ServerPlaces {
    limit: usize,
    /// So many may wait.
    queue: usize,
    /// For whom each of those is that are taken.
    taken: RefCell<Vec<ClientId>>,
    waiting: RefCell<VecDeque<(ClientId, oneshot::Sender<ServerPlace>)>>,
}

/// Leave to use a connection; dropped, who waits has it.
pub(super) struct ServerPlace {
    places: Rc<ServerPlaces>,
    of: ClientId,
}

impl ServerPlaces {
    pub(super) fn new(limit: usize, queue: usize) -> Rc<ServerPlaces> {
        Rc::new(ServerPlaces { limit, queue, taken: RefCell::default(), waiting: RefCell::default() })
    }

    /// At once; `None`: all are taken, or this client has its share.
    pub(super) fn take(self: &Rc<Self>, of: ClientId) -> Option<ServerPlace> {
        if !self.may_take(of) {
            return None;
        }
        self.taken.borrow_mut().push(of);
        Some(ServerPlace { places: self.clone(), of })
    }

    /// As soon as there is one; `None`: too many wait.
    pub(super) fn wait(&self, of: ClientId) -> Option<oneshot::Receiver<ServerPlace>> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.queue / 2 {
            waiting.retain(|(_, next)| !next.is_closed());
            let own = waiting.iter().filter(|(other, _)| *other == of).count();
            if !may_have_more(of, own, self.queue.saturating_sub(waiting.len())) {
                return None;
            }
        }
        let (next, place) = oneshot::channel();
        waiting.push_back((of, next));
        Some(place)
    }

    fn may_take(&self, of: ClientId) -> bool {
        let taken = self.taken.borrow();
        let free = self.limit.saturating_sub(taken.len());
        // Else even one that has all of them would have no more than its share.
        free > self.limit / 2 || may_have_more(of, taken.iter().filter(|other| **other == of).count(), free)
    }

    /// Gives what is free to the first of those who may have one more.
    fn grant(self: &Rc<Self>) {
        while let Some((of, next)) = self.next() {
            let Some(place) = self.take(of) else { return };
            // Who has left gives it back by that.
            drop(next.send(place));
        }
    }

    fn next(&self) -> Option<(ClientId, oneshot::Sender<ServerPlace>)> {
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|(_, next)| !next.is_closed());
        let mut have_theirs: Vec<ClientId> = Vec::new();
        let at = waiting.iter().position(|(of, _)| {
            let may = !have_theirs.contains(of) && self.may_take(*of);
            if !may {
                have_theirs.push(*of);
            }
            may
        })?;
        waiting.remove(at)
    }
}

impl Drop for ServerPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken.borrow_mut();
        if let Some(at) = taken.iter().rposition(|of| *of == self.of) {
            taken.swap_remove(at);
        }
        drop(taken);
        if !self.places.waiting.borrow().is_empty() {
            self.places.grant();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(places: &Rc<ServerPlaces>, of: ClientId) -> Vec<ServerPlace> {
        std::iter::from_fn(|| places.take(of)).collect()
    }

    #[test]
    fn a_client_leaves_some_to_others_and_what_is_given_back_goes_to_who_has_less() {
        let (a, b, nobody) = (ClientId::told(1), ClientId::told(2), ClientId::NOBODY);
        let places = ServerPlaces::new(16, 32);
        let mut greedy = all_of(&places, a);
        assert_eq!(greedy.len(), 14);
        let mut waits: Vec<_> = (0..5).map(|_| places.wait(a).unwrap()).collect();
        let (first, _second) = (places.take(b).unwrap(), places.take(nobody).unwrap());
        let mut late = places.wait(b).unwrap();
        greedy.pop();
        assert!(late.try_recv().is_ok(), "before those of the greedy one that came first");
        drop(late);
        drop(first);
        greedy.truncate(8);
        let got: Vec<ServerPlace> = waits.iter_mut().filter_map(|wait| wait.try_recv().ok()).collect();
        let has = greedy.len() + got.len();
        assert!((9..=13).contains(&has), "and the greedy one has what is left: {has}");
    }

    #[test]
    fn one_client_does_not_fill_the_queue_and_who_has_left_it_takes_no_place() {
        let (a, b) = (ClientId::told(1), ClientId::told(2));
        let places = ServerPlaces::new(1, 8);
        let only = places.take(a).unwrap();
        let waits: Vec<_> = std::iter::from_fn(|| places.wait(a)).collect();
        assert_eq!(waits.len(), 7);
        let mut other = places.wait(b).unwrap();
        drop(waits);
        drop(only);
        let place = other.try_recv().unwrap();
        assert!(places.take(a).is_none());
        drop(place);
        assert!(places.take(a).is_some());
        assert!(ServerPlaces::new(1, 0).wait(a).is_none());
    }
}
