//! The connections of one worker to one node.

use super::control::{Control, Phase};
use super::kept::KeptConn;
use super::queue::Pipeline;
use super::shared::{Shared, TICK};
use crate::clock::{self, Tick};
use crate::cluster::views::Node;
use crate::net::shares::{self, ClientId};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// So much later than the node itself, in ticks.
const MARGIN: u32 = 20;
/// So many hits are timed a [`TICK`]: enough for a judgement, and few enough to cost nothing.
const SAMPLES: u32 = 4;

/// See the module.
pub struct NodePool {
    pub node: Arc<Node>,
    /// Nobody else hears what is said on any of its connections.
    pub is_private: bool,
    pub shared: Rc<Shared>,
    /// The last returned is the first taken, so that what is not needed grows old and is closed.
    idle: RefCell<Vec<KeptConn>>,
    /// Every open connection, idle or in use.
    controls: RefCell<Vec<Rc<Control>>>,
    /// Slots handed out, whether the connection is there yet or not.
    open: Cell<usize>,
    queue: RefCell<VecDeque<(ClientId, oneshot::Sender<Grant>)>>,
    /// For what the node very likely holds.
    pub pipeline: Pipeline,
    /// So many more hits are timed until the next sweep.
    samples: Cell<u32>,
    /// The node has left the view: connections are closed after use.
    retired: Cell<bool>,
    /// The node's process, as far as it was known at the last sweep.
    boot: Cell<u64>,
}

/// What a request that waits in the queue is given.
pub enum Grant {
    /// A connection, and the right to it.
    Link(KeptConn, Slot),
    /// Leave to open a connection.
    Slot(Slot),
}

/// The right to one connection; dropped, the next in the queue has it.
pub struct Slot {
    pool: Rc<NodePool>,
    control: Option<Rc<Control>>,
    /// Its connection went back to the pool: there is nothing to free.
    kept: bool,
    /// Somebody else may open a connection in its place already.
    left: bool,
}

/// One request under way at a node: part of its load until dropped.
pub struct InFlight(Rc<NodePool>);

/// What a look at the connections found.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Swept {
    #[default]
    Well,
    /// Some request has waited for longer than a probe would.
    Suspect,
}

impl NodePool {
    pub fn new(node: Arc<Node>, shared: Rc<Shared>) -> Rc<NodePool> {
        Rc::new(NodePool {
            is_private: node.is_private(),
            node,
            shared,
            idle: RefCell::default(),
            controls: RefCell::default(),
            open: Cell::new(0),
            queue: RefCell::default(),
            pipeline: Pipeline::default(),
            samples: Cell::new(SAMPLES),
            retired: Cell::new(false),
            boot: Cell::new(0),
        })
    }

    pub fn pop_idle(self: &Rc<Self>) -> Option<(KeptConn, Slot)> {
        let link = self.idle.borrow_mut().pop()?;
        let control = Some(link.control.clone());
        Some((link, Slot::of(self, control)))
    }

    /// The right to open a connection, when fewer than the limit are open.
    pub fn take_slot(self: &Rc<Self>) -> Option<Slot> {
        if self.open.get() >= self.shared.limits.node_connections {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Slot::of(self, None))
    }

    /// Whether a client may have one more connection, so that there is always one left for another.
    pub fn has_share(&self, of: ClientId) -> bool {
        self.has_share_with(of, 0)
    }

    /// The same where so many more are free than it looks.
    fn has_share_with(&self, of: ClientId, more: usize) -> bool {
        let limit = self.shared.limits.node_connections;
        let free = (limit + more + self.idle.borrow().len()).saturating_sub(self.open.get());
        // Else even one that has all of them would have no more than its share.
        if free > limit / 2 {
            return true;
        }
        let is_its_own = |control: &&Rc<Control>| control.owner() == of && control.phase() != Phase::Idle;
        shares::may_have_more(of, self.controls.borrow().iter().filter(is_its_own).count(), free)
    }

    /// A place in the queue; `None` when it is full, or as full of this client's requests as it may be.
    pub fn enqueue(&self, of: ClientId) -> Option<oneshot::Receiver<Grant>> {
        let limit = self.shared.limits.queue;
        let mut queue = self.queue.borrow_mut();
        if queue.len() >= limit / 2 {
            queue.retain(|(_, sender)| !sender.is_closed());
            let own = queue.iter().filter(|(other, _)| *other == of).count();
            if !shares::may_have_more(of, own, limit.saturating_sub(queue.len())) {
                return None;
            }
        }
        let (sender, receiver) = oneshot::channel();
        queue.push_back((of, sender));
        Some(receiver)
    }

    /// Gives `grant` to the first in the queue who still waits and may have one more; back when nobody does.
    fn grant(&self, mut grant: Grant) -> Option<Grant> {
        while let Some(next) = self.next_in_queue() {
            match next.send(grant) {
                Ok(()) => return None,
                Err(refused) => grant = refused,
            }
        }
        Some(grant)
    }

    /// Who has its share already waits on, so that what others give back is not all given to who asks for most.
    fn next_in_queue(&self) -> Option<oneshot::Sender<Grant>> {
        let mut queue = self.queue.borrow_mut();
        let mut have_theirs = Vec::new();
        let at = queue.iter().position(|(of, sender)| {
            let may_have_it = !have_theirs.contains(of) && (sender.is_closed() || self.has_share_with(*of, 1));
            if !may_have_it {
                have_theirs.push(*of);
            }
            may_have_it
        })?;
        queue.remove(at).map(|(_, sender)| sender)
    }

    /// The node is not up: requests that may move are told so, nobody waits for it, nothing idle is kept.
    pub fn abandon(self: &Rc<Self>) {
        self.close_idle();
        // Dropped outside of the borrow: whoever waited is woken and asks elsewhere.
        drop(std::mem::take(&mut *self.queue.borrow_mut()));
        for control in self.controls.borrow().iter() {
            if control.phase() == (Phase::Head { movable: true }) {
                control.abandon();
            }
        }
    }

    /// The node has left the view: what runs finishes, nothing is kept.
    pub fn retire(self: &Rc<Self>) {
        self.retired.set(true);
        self.close_idle();
    }

    /// Closes all idle connections: one of them turned out to be dead.
    pub fn close_idle(self: &Rc<Self>) {
        self.close(0);
    }

    /// How long the one has been idle that has been so for longest.
    pub fn longest_idle(&self) -> Option<u32> {
        self.idle.borrow().first().map(|link| link.control.ticks())
    }

    /// Its file is needed for something else.
    pub fn close_longest_idle(self: &Rc<Self>) {
        let mut idle = self.idle.borrow_mut();
        let link = if idle.is_empty() { None } else { Some(idle.remove(0)) };
        drop(idle);
        if let Some(link) = link {
            drop(Slot::of(self, Some(link.control)));
        }
    }

    /// Nothing is left of it, not even a connection that takes no place, whose time is to be kept still.
    pub fn is_empty(&self) -> bool {
        self.open.get() == 0 && self.controls.borrow().is_empty()
    }

    /// Once a [`TICK`]: who has waited for how long.
    pub fn sweep(self: &Rc<Self>) -> Swept {
        self.samples.set(SAMPLES);
        let timeouts = &self.shared.timeouts;
        let mut swept = Swept::Well;
        let boot = self.node.boot();
        let is_another = ![0, boot].contains(&self.boot.replace(boot));
        // What was opened to the new process before it was met is younger: one that answers is probed each fifth time.
        let before = in_ticks(5 * timeouts.probe_interval + timeouts.probe).saturating_add(MARGIN);
        for control in self.controls.borrow().iter() {
            let ticks = control.tick();
            match control.phase() {
                // It is of a process that is no more, whose machine did not live to say so.
                phase if is_another && ticks > before && phase != Phase::Idle => control.abandon(),
                // Whoever found the node up and sent only after it was given up has missed that.
                Phase::Head { movable: true } if !self.node.is_up() => control.abandon(),
                Phase::Head { .. } | Phase::Sending if ticks == 3 => swept = Swept::Suspect,
                Phase::Head { .. } if ticks > self.patience() => control.abandon(),
                Phase::Sending if ticks > self.patience_while(timeouts.origin_silence.max(timeouts.client_silence)) => {
                    control.abandon();
                }
                Phase::Body if ticks > self.patience_while(timeouts.origin_silence) => control.abandon(),
                _ => {}
            }
        }
        // The node closes after the whole time: the one who sends must not be surprised.
        self.close(if is_another { before } else { in_ticks(timeouts.idle / 2) });
        swept
    }

    /// When the answer that is waited for now was asked for, where it is one of those that are timed.
    pub fn sample(&self) -> Option<Tick> {
        let left = self.samples.get().checked_sub(1)?;
        self.samples.set(left);
        Some(clock::tick())
    }

    /// An answer that was timed says nothing: the next one is timed in its place.
    pub fn sample_again(&self) {
        self.samples.set(SAMPLES.min(self.samples.get() + 1));
    }

    /// How long an answer may take when no probe has said anything. A node keeps the limits of the origin itself, and
    /// may have to keep them twice: this is for one that does not, or that has been down for long.
    fn patience(&self) -> u32 {
        let timeouts = &self.shared.timeouts;
        let once = in_ticks(timeouts.queue + timeouts.connect + timeouts.first_byte);
        if self.node.is_up() { once.saturating_mul(2) } else { once }
    }

    /// The same in the middle of a body whose ends may be silent for so long: they end it themselves, and say whose fault
    /// it was. A node that is not up ends nothing.
    fn patience_while(&self, silence: Duration) -> u32 {
        let (silence, patience) = (in_ticks(silence).saturating_add(MARGIN), self.patience());
        if self.node.is_up() { silence } else { silence.min(patience) }
    }

    /// Closes what was idle for more than so many ticks.
    fn close(self: &Rc<Self>, limit: u32) {
        let mut idle = self.idle.borrow_mut();
        let old = idle.iter().take_while(|link| link.control.ticks() >= limit).count();
        let closed: Vec<KeptConn> = idle.drain(..old).collect();
        drop(idle);
        for link in closed {
            drop(Slot::of(self, Some(link.control)));
        }
    }

    /// A connection is closed: whoever waits may open one.
    fn vacate(self: &Rc<Self>) {
        let slot = Slot::of(self, None);
        if let Some(Grant::Slot(mut slot)) = self.grant(Grant::Slot(slot)) {
            slot.kept = true;
            self.open.set(self.open.get() - 1);
        }
    }
}

impl Slot {
    fn of(pool: &Rc<NodePool>, control: Option<Rc<Control>>) -> Slot {
        Slot { pool: pool.clone(), control, kept: false, left: false }
    }

    /// Its connection stays, and counts no more.
    pub fn leave_room(&mut self) {
        if !std::mem::replace(&mut self.left, true) {
            self.pool.vacate();
        }
    }

    pub fn pool(&self) -> &Rc<NodePool> {
        &self.pool
    }

    /// A connection is being opened with it: whoever waits for that may go elsewhere.
    pub fn opening(&mut self) -> Rc<Control> {
        let control = Control::new();
        control.enter(Phase::Head { movable: true });
        self.pool.controls.borrow_mut().push(control.clone());
        self.control = Some(control.clone());
        control
    }

    /// Hands the connection to the next in the queue, else keeps it for whoever comes.
    pub fn give_back(mut self, link: KeptConn) {
        let pool = self.pool.clone();
        if pool.retired.get() || link.control.is_abandoned() {
            return;
        }
        link.control.enter(Phase::Idle);
        if pool.queue.borrow().is_empty() {
            self.kept = true;
            pool.idle.borrow_mut().push(link);
        } else if let Some(Grant::Link(link, mut slot)) = pool.grant(Grant::Link(link, self)) {
            slot.kept = true;
            pool.idle.borrow_mut().push(link);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Some(control) = self.control.take() {
            let mut controls = self.pool.controls.borrow_mut();
            if let Some(at) = controls.iter().position(|c| Rc::ptr_eq(c, &control)) {
                controls.swap_remove(at);
            }
        }
        if !self.left {
            self.pool.vacate();
        }
    }
}

impl InFlight {
    pub fn new(pool: &Rc<NodePool>) -> InFlight {
        pool.node.load.fetch_add(1, Ordering::Relaxed);
        InFlight(pool.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.node.load.fetch_sub(1, Ordering::Relaxed);
    }
}

fn in_ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
}
