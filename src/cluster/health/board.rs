//! What is believed of each node that is watched, and the marks that follow from it. No waiting: [`super::monitor`] asks, and
//! writes down here what it learnt.

use super::flapping::Relapses;
use super::missed::MissedNews;
use super::outlier::{Evidence, OutlierChange, Pace, Usual};
use super::state::{Action, Event, HealthVerdict, NodeStanding, suspects_at_most};
use crate::clock::Tick;
use crate::cluster::views::Node;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

#[derive(Debug, Default)]
pub struct Board {
    pub watched: BTreeMap<String, Watched>,
}

#[derive(Debug)]
pub struct Watched {
    pub node: Arc<Node>,
    pub verdict: HealthVerdict,
    pace: Pace,
    pub poke: Arc<Notify>,
    task: Option<AbortHandle>,
    /// What was last said of why it is not reached.
    pub complaint: String,
    /// When it came back.
    returned: Option<Tick>,
    relapses: Relapses,
    /// It was told that nobody hears what is said there, and that its rules for https are ours.
    is_private: bool,
    is_agreed: bool,
    /// By which token of [`super::stale::Doubts`] it owes a promise, or has given it.
    pub heeded: Option<u64>,
    /// What it missed, as far as it owes that.
    pub news: MissedNews,
}

impl Board {
    /// One more may be passed over on suspicion, if it is this one.
    pub fn has_room_besides(&self, id: &str) -> bool {
        let suspects = self.watched.values().filter(|w| w.is_suspect() && w.node.id != id).count();
        suspects < suspects_at_most(self.watched.len())
    }

    /// Whether it has come and gone too often, and others are there instead.
    pub fn is_left_out(&self, id: &str, boot: u64, now: Tick) -> bool {
        let lasts = |w: &Watched| {
            let is_down = matches!(w.verdict.standing, NodeStanding::Down(_)) && w.verdict.boot() == boot;
            is_down && w.relapses.lasts(now.0)
        };
        let others = || self.watched.values().any(|w| w.node.id != id && w.node.is_up());
        self.watched.get(id).is_some_and(lasts) && others()
    }

    pub fn judge(&mut self, now: Tick, floor: u32) {
        let seen: Vec<_> = self.watched.values().map(|w| (w.node.id.clone(), w.node.pace.seen(now))).collect();
        let usual = Usual::of(seen.iter().map(|(_, seen)| *seen));
        for (id, seen) in seen {
            let room = self.has_room_besides(&id);
            let evidence = Evidence { seen, usual: usual.besides(seen), floor, room };
            let Some(watched) = self.watched.get_mut(&id).filter(|w| w.verdict.standing == NodeStanding::Up) else {
                continue;
            };
            watched.judge(now, &evidence);
        }
    }

    /// The entry of this very node, not of a later one with the same id.
    pub fn of(&mut self, node: &Arc<Node>) -> Option<&mut Watched> {
        self.watched.get_mut(&node.id).filter(|w| Arc::ptr_eq(&w.node, node))
    }
}

impl Watched {
    pub fn new(node: Arc<Node>, poke: Arc<Notify>, task: AbortHandle) -> Watched {
        Watched {
            node,
            verdict: HealthVerdict::default(),
            pace: Pace::default(),
            poke,
            task: Some(task),
            complaint: String::new(),
            returned: None,
            relapses: Relapses::default(),
            is_private: false,
            is_agreed: true,
            heeded: None,
            news: MissedNews::default(),
        }
    }

    fn is_suspect(&self) -> bool {
        self.verdict.is_silent() || (self.verdict.standing == NodeStanding::Up && self.pace.is_suspect())
    }

    fn judge(&mut self, now: Tick, evidence: &Evidence) {
        let (id, median) = (&self.node.id, evidence.seen.median);
        match self.pace.judge(now.0, evidence) {
            OutlierChange::Nothing => {}
            OutlierChange::PassOver { pause } => {
                let usual = evidence.usual.unwrap_or_default();
                let what = "its keys go to the next owner";
                tracing::warn!(
                    node = id,
                    "node is slow: a hit takes {median} ms, others {usual} ms: {what} for {pause} ms"
                );
            }
            OutlierChange::Try => {
                tracing::info!(node = id, "node was slow: it is tried again");
                self.node.pace.forget();
            }
            OutlierChange::PutBack => {
                tracing::info!(node = id, "node is slow no more");
                // Others have answered in its place.
                self.returned = Some(now);
                self.node.set_returned(true);
            }
        }
        self.node.allow(self.pace.allowance(), now.0);
    }

    pub fn start_afresh(&mut self, now: Tick) {
        self.pace = Pace::default();
        self.relapses = Relapses::default();
        self.node.pace.forget();
        self.node.allow(None, now.0);
    }

    pub fn meet(&mut self, boot: u64, memory: u64, now: Tick) {
        self.complaint.clear();
        self.node.set_boot(boot);
        if self.verdict.boot() != boot {
            self.start_afresh(now);
        }
        // A worker has marked it and the report of that was lost: as if it had come.
        if self.verdict.standing == NodeStanding::Up && !self.node.is_up() {
            self.verdict.on(Event::Refused, false);
        }
        if memory != 0 {
            self.node.memory.store(memory, std::sync::atomic::Ordering::Release);
        }
    }

    /// A node that was away: while it gathers what is asked of it again, its stand-in is asked first.
    pub fn note_return(&mut self, before: NodeStanding, action: Action, time: Duration, now: Tick) {
        if action == Action::PutUp && matches!(before, NodeStanding::Down(_)) {
            self.returned = Some(now);
            self.relapses.rise(now.0);
        }
        if matches!(action, Action::PassOver(_)) {
            let pause = self.relapses.fall(now.0);
            if pause > 0 {
                tracing::warn!(node = self.node.id, "node comes and goes: it is left out for {pause} ms");
            }
        }
        let recently = self.returned.is_some_and(|since| now.since(since) < time);
        self.node.set_returned(recently);
        self.returned = self.returned.filter(|_| recently);
    }

    /// Whether it has become private since this was asked last.
    pub fn becomes_private(&mut self) -> bool {
        self.node.is_private() && !std::mem::replace(&mut self.is_private, self.node.is_private())
    }

    /// Whether it has been put to another version since this was asked last, with other rules for https or again with ours.
    pub fn changes_rules(&mut self) -> bool {
        let (before, agreed) = (self.is_agreed, self.node.is_agreed());
        if before && !agreed {
            tracing::warn!(
                node = self.node.id,
                "node is of another version, with other rules for https URLs: the https of `[https] hosts` is tunnelled until all \
                 nodes and fronts have the same version"
            );
        }
        self.is_agreed = agreed;
        before != agreed
    }

    /// What it missed, as others say, or said before a restart.
    pub fn heed(&mut self, memory: u64, token: Option<u64>) {
        if token.is_some() && self.heeded != token {
            self.verdict.owe(memory);
            self.heeded = token;
        }
    }

    /// It is asked for nothing by other nodes from the moment that it misses something until it has promised to validate.
    pub fn note_doubt(&self, event: Event, action: Action, now: Tick) {
        match (event, action) {
            (Event::Missed { .. }, _) | (_, Action::Revalidate | Action::CatchUp | Action::PassOver(_)) => {
                self.node.set_doubtful(true, now.0)
            }
            // Another process, or one that owes nothing.
            (Event::Answered { .. } | Event::Revalidated { .. }, _) => self.node.set_doubtful(false, now.0),
            _ => {}
        }
    }

    pub fn end(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
