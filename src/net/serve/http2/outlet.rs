//! What the streams of a connection have handed over and its socket has not taken: so much and no more, whoever it is of. Who has
//! more to say waits in line, with what it has; what is in the library's queue nobody counts, or takes back.

use crate::net::serve::state::{ConnState, MEANWHILE};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// So much waits for the socket before the next one has to wait in line, who may then add one piece.
const MOST: usize = 64 * 1024;

/// Of one connection. All that use it are of its thread.
pub(super) struct Outlet {
    /// That of the connection.
    state: Arc<ConnState>,
    /// Handed over, and not written as far as is known.
    queued: Cell<usize>,
    /// Interim responses that wait at their streams.
    meanwhile: Cell<usize>,
    line: RefCell<VecDeque<Rc<LinePlace>>>,
}

/// A place in line.
struct LinePlace {
    waker: RefCell<Waker>,
    is_in_line: Cell<bool>,
    /// Its turn has come, and it has not made use of it.
    is_called: Cell<bool>,
}

/// A stream's way to its connection's outlet.
pub(super) struct Way {
    outlet: Rc<Outlet>,
    /// Made for who has to wait.
    turn: Option<Rc<LinePlace>>,
    /// Of the outlet's `meanwhile`.
    meanwhile: usize,
}

impl Outlet {
    pub(super) fn new(state: Arc<ConnState>) -> Rc<Outlet> {
        Rc::new(Outlet { state, queued: Cell::new(0), meanwhile: Cell::new(0), line: RefCell::default() })
    }

    fn has_room(&self) -> bool {
        self.queued.get() < MOST
    }

    /// The socket has taken so many bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        self.queued.set(self.queued.get().saturating_sub(bytes));
    }

    /// All that waits for the socket.
    pub(super) fn waiting(&self) -> usize {
        self.queued.get() + self.meanwhile.get()
    }

    /// The library has written as much as the socket takes: whose turn it is may go on.
    pub(super) fn flushed(&self) {
        if !self.state.write_waits() {
            self.queued.set(0);
        }
        self.call();
    }

    /// Whose turn it is calls the next when it has gone on.
    fn call(&self) {
        if !self.has_room() {
            return;
        }
        if let Some(turn) = self.line.borrow_mut().pop_front() {
            turn.is_in_line.set(false);
            turn.is_called.set(true);
            turn.waker.borrow().wake_by_ref();
        }
    }
}

impl Way {
    pub(super) fn new(outlet: Rc<Outlet>) -> Way {
        Way { outlet, turn: None, meanwhile: 0 }
    }

    /// Ready when there is room for a piece. Who then hands over none says so by [`Way::passes`].
    pub(super) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.outlet.has_room() {
            return Poll::Ready(());
        }
        let turn = self.turn.get_or_insert_with(|| {
            Rc::new(LinePlace {
                waker: RefCell::new(Waker::noop().clone()),
                is_in_line: false.into(),
                is_called: false.into(),
            })
        });
        turn.waker.borrow_mut().clone_from(cx.waker());
        if !turn.is_in_line.replace(true) {
            let mut line = self.outlet.line.borrow_mut();
            // Who was called, and found that another has come first, has waited for longest.
            match turn.is_called.replace(false) {
                true => line.push_front(turn.clone()),
                false => line.push_back(turn.clone()),
            }
        }
        Poll::Pending
    }

    /// So many bytes are for the socket now.
    pub(super) fn handed(&mut self, bytes: usize) {
        self.outlet.queued.set(self.outlet.queued.get() + bytes);
        self.passes();
    }

    /// It waits for something else: the next may go on, if it was its turn.
    pub(super) fn passes(&mut self) {
        if self.turn.as_ref().is_some_and(|turn| turn.is_called.replace(false)) {
            self.outlet.call();
        }
    }

    /// Whether interim responses of so many bytes, with those that wait already, may wait at the stream. They are as few on a
    /// connection as by HTTP/1.1.
    pub(super) fn keeps_meanwhile(&mut self, bytes: usize) -> bool {
        let others = self.outlet.meanwhile.get() - self.meanwhile;
        let fits = others + bytes <= MEANWHILE;
        if fits {
            self.outlet.meanwhile.set(others + bytes);
            self.meanwhile = bytes;
        }
        fits
    }

    /// Of those, so many are kept.
    pub(super) fn meanwhile(&self) -> usize {
        self.meanwhile
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.keeps_meanwhile(0);
        if let Some(turn) = self.turn.take() {
            if turn.is_in_line.get() {
                self.outlet.line.borrow_mut().retain(|other| !Rc::ptr_eq(other, &turn));
            }
            if turn.is_called.get() {
                self.outlet.call();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    #[derive(Default)]
    struct Called(AtomicUsize);

    impl Wake for Called {
        fn wake(self: Arc<Called>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// A stream, and how often it was woken.
    struct Waits(Way, Arc<Called>);

    impl Waits {
        fn new(outlet: &Rc<Outlet>) -> Waits {
            Waits(Way::new(outlet.clone()), Arc::default())
        }
        fn has_room(&mut self) -> bool {
            self.0.poll_room(&Context::from_waker(&self.1.clone().into())).is_ready()
        }
        fn was_called(&self) -> bool {
            self.1.0.swap(0, Relaxed) > 0
        }
    }

    /// With as much in its queue as there may be.
    fn full() -> (Rc<Outlet>, [Waits; 3]) {
        let outlet = Outlet::new(Arc::default());
        let mut waits = [(); 3].map(|()| Waits::new(&outlet));
        assert!(waits[0].has_room());
        waits[0].0.handed(MOST);
        outlet.state.write_pending(b"...");
        assert!(waits.iter_mut().all(|stream| !stream.has_room() && !stream.has_room()));
        (outlet, waits)
    }

    #[test]
    fn each_has_its_turn_and_nobody_twice_before_another() {
        let (outlet, mut waits) = full();
        outlet.flushed();
        assert!(waits.iter().all(|stream| !stream.was_called()), "nothing was taken");
        for n in [0, 1, 2, 0, 1, 2] {
            outlet.wrote(MOST);
            outlet.flushed();
            assert_eq!([0, 1, 2].map(|n| waits[n].was_called()), [0, 1, 2].map(|m| m == n));
            assert!(waits[n].has_room());
            waits[n].0.handed(MOST);
            assert!(!waits[n].has_room());
        }
    }

    #[test]
    fn who_has_little_to_say_or_leaves_calls_the_next() {
        let (outlet, mut waits) = full();
        outlet.wrote(MOST);
        outlet.flushed();
        assert!(waits[0].has_room());
        waits[0].0.handed(100);
        assert!(waits[1].was_called() && waits[1].has_room());
        waits[1].0.passes();
        let [_, _, last] = waits;
        assert!(last.was_called());
        drop(last);
        let (outlet, [first, second, third]) = full();
        drop(second);
        outlet.wrote(1);
        outlet.flushed();
        drop(first);
        assert!(third.was_called());
    }

    #[test]
    fn who_finds_that_another_has_come_first_is_the_next() {
        let (outlet, mut waits) = full();
        outlet.wrote(MOST);
        outlet.flushed();
        assert!(waits[0].was_called());
        let mut new = Waits::new(&outlet);
        assert!(new.has_room());
        new.0.handed(MOST);
        assert!(!waits[0].has_room());
        outlet.wrote(MOST);
        outlet.flushed();
        assert!(waits[0].was_called() && !waits[1].was_called());
    }

    #[test]
    fn interim_responses_of_all_streams_wait_in_the_room_of_one() {
        let (_, [mut a, mut b, _]) = full();
        assert!(a.0.keeps_meanwhile(MEANWHILE / 2) && b.0.keeps_meanwhile(MEANWHILE / 2));
        assert!(!b.0.keeps_meanwhile(MEANWHILE / 2 + 1) && b.0.meanwhile() == MEANWHILE / 2);
        drop(a);
        assert!(b.0.keeps_meanwhile(MEANWHILE));
    }
}
