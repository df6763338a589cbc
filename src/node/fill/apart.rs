//! A fill whose body is written to a file of the disk while it comes: memory need not have all of it then.

use super::*;

/// Of such a body memory keeps so much of what came last, for those who read along.
const WINDOW_KEPT: u64 = 4 * 1024 * 1024;

impl Fill {
    /// What has come is written from now on.
    pub fn spill_into(&self, spill: Spill) {
        let mut flow = self.flow.borrow_mut();
        flow.pieces.iter().for_each(|piece| spill.write(piece));
        flow.spill = Some(Rc::new(spill));
    }

    /// What the file has is the begin of the body, and what comes is written behind it.
    pub fn resume(&self, spill: &Rc<Spill>) {
        let mut flow = self.flow.borrow_mut();
        (flow.base, flow.received, flow.is_large) = (spill.readable(), spill.readable(), true);
        flow.spill = Some(spill.clone());
    }

    /// The file that it is written to, also where that was given up.
    pub fn spill(&self) -> Option<Rc<Spill>> {
        self.flow.borrow().spill.clone()
    }

    /// Not to be asked again.
    pub fn refused(&self) {
        self.was_refused.set(true);
    }

    pub fn was_refused(&self) -> bool {
        self.was_refused.get()
    }

    /// Whether all that comes is written.
    pub fn is_spilled(&self) -> bool {
        self.flow.borrow().is_spilled()
    }

    /// Memory does not keep all of it.
    pub fn is_large(&self) -> bool {
        self.flow.borrow().is_large
    }

    /// From now on memory keeps no more of it than who reads along needs.
    pub fn grows_large(&self) {
        self.flow.borrow_mut().is_large = true;
        self.let_go_of_written();
    }

    /// Too much is held, and nothing of it may come for long.
    pub fn let_go_of_needless(&self) {
        self.flow.borrow_mut().let_go_of_needless(self.fate() == Fate::Forget);
    }

    /// Of one that is larger than what memory keeps: what is in the file is let go.
    pub fn let_go_of_written(&self) {
        let mut flow = self.flow.borrow_mut();
        if !flow.is_large {
            return;
        }
        let kept = if account::is_tight() { 0 } else { WINDOW_KEPT };
        let until = flow.readable().min(flow.received.saturating_sub(kept));
        flow.let_go(until);
    }
}
