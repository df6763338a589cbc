//! Who answers: a probe task a node, what workers and the supervisor report, and the marks that workers route by.

use super::board::{Board, Watched};
use super::missed::MissedNews;
use super::probe::{self, ProbeConn};
use super::stale::Doubts;
use super::state::{Action, Event, PassedOver};
use crate::clock::tick;
use crate::cluster::link::Link;
use crate::cluster::views::{Node, Outdated};
use crate::cluster::vital;
use crate::config::Config;
use http::{Method, StatusCode};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// A probe's time limit is waited for in so many slices, and only slices are counted: on a busy machine, where this
/// thread does not get to run, they stretch with the delays that the node suffers as well.
const SLICES: u32 = 12;
/// After so many time limits the connection of the silent node is given up. Not sooner: a stopped process still
/// accepts, and each new connection would fill its queue.
const PATIENCE: u32 = 16;
/// At the start it is looked so often, at a tenth of the interval, whether a node is there.
const EAGER: u32 = 100;
/// A suspected node is probed out of turn, but not more often than this.
const OUT_OF_TURN: Duration = Duration::from_millis(20);
/// A node that answers requests is left alone for so many pauses in a row. Not longer: that another process has taken its place
/// is seen by its boot id alone where no connection breaks that anybody uses.
const VOUCHED: usize = 4;
/// Between two judgements of how fast the nodes are.
const JUDGE: Duration = Duration::from_millis(250);
const REVALIDATE: Duration = Duration::from_secs(2);

/// Keeps the marks of all nodes.
#[derive(Debug)]
pub struct Health {
    link: Link,
    board: Mutex<Board>,
    doubts: Arc<Doubts>,
    changes: watch::Sender<u64>,
    interval: Duration,
    slice: Duration,
    /// What nodes are asked where packets have a size.
    question: Vec<u8>,
    /// In milliseconds; 0: nobody is judged slow.
    slow_hit: u32,
    /// For so long a node may take to be there for the first time.
    patience: Duration,
    /// For so long a node that was away asks who stood in for it.
    handover: Duration,
}

impl Health {
    pub fn new(config: &Config, doubts: Arc<Doubts>) -> Arc<Health> {
        let timeouts = &config.timeouts;
        Arc::new(Health {
            link: Link::new(&config.cluster),
            board: Mutex::default(),
            doubts,
            changes: watch::Sender::new(0),
            interval: timeouts.probe_interval.max(Duration::from_millis(1)),
            slice: (timeouts.probe / SLICES).max(Duration::from_millis(1)),
            question: probe::question(config.limits.head),
            slow_hit: u32::try_from(timeouts.slow_hit.as_millis()).unwrap_or(u32::MAX),
            patience: timeouts.node_start + timeouts.probe,
            handover: config.ring.handover,
        })
    }

    /// How nodes are called.
    pub fn link(&self) -> &Link {
        &self.link
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Probes this node from now on. Must be called inside a runtime.
    pub fn follow(self: &Arc<Health>, node: &Arc<Node>) {
        let poke = Arc::new(Notify::new());
        let (health, watched, poked) = (self.clone(), node.clone(), poke.clone());
        let probes = move || watch_over(health.clone(), watched.clone(), poked.clone());
        let task = vital::keep("the probes of a node", probes).abort_handle();
        let watched = Watched::new(node.clone(), poke, task);
        if let Some(old) = self.board().watched.insert(node.id.clone(), watched) {
            old.end();
        }
    }

    /// Probes it no longer; its mark stays as it is, since requests may still be under way there. What its
    /// process holds (0: not known), where it was ever met.
    pub fn unfollow(&self, id: &str) -> Option<u64> {
        let old = self.board().watched.remove(id)?;
        old.end();
        (old.verdict.boot() != 0).then(|| old.verdict.memory())
    }

    /// The same for a node that nobody tells anything any more: when it comes back, it has missed something.
    pub fn part_with(&self, id: &str) {
        if let Some(memory) = self.unfollow(id) {
            self.doubts.note(id, memory);
        }
    }

    pub fn unfollow_all(&self) {
        std::mem::take(&mut self.board().watched).values().for_each(Watched::end);
    }

    pub fn doubts(&self) -> &Arc<Doubts> {
        &self.doubts
    }

    /// Takes note of what others say of the nodes, see [`Doubts`].
    pub fn heed(&self) {
        let mut board = self.board();
        for watched in board.watched.values_mut() {
            let (id, memory) = (&watched.node.id, watched.verdict.memory());
            let is_met = watched.verdict.boot() != 0;
            let owed = self.doubts.owed(id, memory).filter(|token| is_met && watched.heeded != Some(*token));
            if owed.is_some() {
                watched.heed(memory, owed);
                watched.node.set_doubtful(true, tick().0);
                watched.poke.notify_one();
            }
        }
    }

    /// By which token it owes what it is told now, and what it has missed.
    fn debt(&self, node: &Arc<Node>) -> (Option<u64>, MissedNews) {
        self.board()
            .of(node)
            .map_or_else(Default::default, |watched| (watched.heeded, std::mem::take(&mut watched.news)))
    }

    /// What it owed by this token is paid; but where it could not write that down, whoever takes its place owes it.
    fn promised(&self, node: &Arc<Node>, told: Event, token: Option<u64>) {
        let Event::Revalidated { kept } = told else { return };
        token.iter().for_each(|token| self.doubts.settle(&node.id, *token));
        if !kept {
            let token = self.doubts.note(&node.id, 0);
            if let Some(watched) = self.board().of(node) {
                watched.heeded = Some(token);
            }
        }
    }

    /// A node that is no longer followed has ended.
    pub fn ended(&self, node: &Node) {
        if node.set_up(false, tick().0) {
            self.changed();
        }
    }

    /// The process is dead, or has just begun to listen: look at once. A worker that was refused has marked the node
    /// itself; when the mark is up again by now, the report is old news.
    pub fn refused(&self, node: &Arc<Node>, certain: bool) {
        if certain || !node.is_up() {
            self.apply(node, Event::Refused);
        }
        self.look(node);
    }

    pub fn look(&self, node: &Arc<Node>) {
        if let Some(watched) = self.board().of(node) {
            watched.poke.notify_one();
        }
    }

    /// The node was not told of these (`None`: of nobody knows what): it will be asked to validate all that it holds, or told of
    /// them where another process takes its place.
    pub fn missed(&self, node: &Arc<Node>, what: Option<&[Arc<[Outdated]>]>) {
        let token = self.doubts.note(&node.id, node.memory.load(Ordering::Acquire));
        let mut board = self.board();
        let mut listed = false;
        // Who was never met is doubted when it is.
        if let Some(watched) = board.of(node).filter(|watched| watched.verdict.boot() != 0) {
            watched.heeded = Some(token);
            listed = watched.news.note(what);
        }
        self.act(&mut board, node, Event::Missed { listed });
        drop(board);
        if node.is_up() {
            self.look(node);
        }
    }

    /// The node heeds what it was told, and whoever takes its place may not.
    pub fn unkept(&self, node: &Arc<Node>) {
        let token = self.doubts.note(&node.id, 0);
        let mut board = self.board();
        if let Some(watched) = board.of(node) {
            watched.heeded = Some(token);
        }
        self.act(&mut board, node, Event::Unkept);
    }

    /// Takes note of an event and acts on the marks; what remains to be done is answered.
    fn apply(&self, node: &Arc<Node>, event: Event) -> Action {
        self.act(&mut self.board(), node, event)
    }

    fn act(&self, board: &mut Board, node: &Arc<Node>, event: Event) -> Action {
        let may_suspect = board.has_room_besides(&node.id);
        let left_out = matches!(event, Event::Answered { boot, .. } if board.is_left_out(&node.id, boot, tick()));
        let Some(watched) = board.of(node).filter(|_| !left_out) else { return Action::Nothing };
        let before = watched.verdict.standing;
        if let Event::Answered { boot, memory } = event {
            let is_new = watched.verdict.boot() == 0;
            watched.meet(boot, memory, tick());
            // One that does not know yet what it holds may hold all that it held.
            if memory != 0 {
                self.doubts.met(&node.id, memory);
            }
            if is_new && self.doubts.doubts_everyone() {
                watched.verdict.owe(memory);
            }
            watched.heed(memory, self.doubts.owed(&node.id, memory));
        }
        let action = watched.verdict.on(event, may_suspect);
        if matches!(event, Event::Answered { .. }) && !action.tells() {
            // It owes nothing: what is listed was missed by what is gone.
            watched.news = MissedNews::default();
        }
        watched.note_return(before, action, self.handover, tick());
        watched.note_doubt(event, action, tick());
        self.mark(watched, action);
        if watched.becomes_private() | watched.changes_rules() | (watched.verdict.standing != before) {
            self.changed();
        }
        action
    }

    fn mark(&self, watched: &Watched, action: Action) {
        let id = &watched.node.id;
        match action {
            Action::PutUp => {
                tracing::info!(node = id, "node is up");
                watched.node.set_up(true, tick().0);
            }
            Action::PassOver(why) => {
                let what = match why {
                    PassedOver::Refused => "is not reachable",
                    PassedOver::Silent => "is silent",
                };
                tracing::warn!(node = id, "node {what}: its keys go to the next owner");
                watched.node.set_up(false, tick().0);
            }
            Action::Nothing | Action::Revalidate | Action::CatchUp => {}
        }
    }

    /// Says why a node is not reached: loudly and once, when somebody has to do something about it.
    fn complain(&self, node: &Arc<Node>, what: String, is_lasting: bool) {
        let mut board = self.board();
        let Some(watched) = board.of(node) else { return };
        if is_lasting && watched.complaint != what {
            tracing::warn!(node = node.id, address = %node.address, "node is not trusted: {what}");
            watched.complaint = what;
        } else {
            tracing::debug!(node = node.id, "probe: {what}");
        }
    }

    /// Says that a node was never there: it may be meant, or a slip of the pen.
    fn miss(&self, node: &Node, why: Option<&str>) {
        let (id, address, why) = (&node.id, &node.address, why.unwrap_or("it is silent"));
        tracing::warn!(
            "node {id} at {address} has not answered for {:?}, since it is known ({why}): see that it runs and listens there",
            self.patience
        );
    }

    fn has_met(&self, node: &Arc<Node>) -> bool {
        self.board().of(node).is_none_or(|watched| watched.verdict.boot() != 0)
    }

    /// Judges for ever who is slow, where anybody may be.
    pub async fn judge(self: Arc<Health>) {
        if self.slow_hit == 0 {
            return;
        }
        loop {
            sleep(JUDGE).await;
            self.board().judge(tick(), self.slow_hit);
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn watch_over(health: Arc<Health>, node: Arc<Node>, poke: Arc<Notify>) {
    let mut line = ProbeConn::default();
    let (mut looks, random) = (0, RandomState::new());
    let (born, mut missed) = (tick(), false);
    for round in 0_u64.. {
        let mut why = None;
        let Some(event) = probe(&health, &node, &mut line, &mut why).await else {
            sleep(health.slice).await;
            continue;
        };
        let mut action = health.apply(&node, event);
        while action.tells() {
            let (token, news) = health.debt(&node);
            let told = match news.batches().filter(|_| action == Action::CatchUp) {
                Some(batches) => catch_up(&health.link, &node, &news, batches).await,
                None => revalidate(&health.link, &node).await,
            };
            health.promised(&node, told, token);
            action = health.apply(&node, told);
        }
        if !missed && tick().since(born) > health.patience && !health.has_met(&node) {
            missed = true;
            health.miss(&node, why.as_deref());
        }
        looks = if node.is_up() { EAGER } else { EAGER.min(looks + 1) };
        let pause = if looks < EAGER { health.interval / 10 } else { health.interval };
        node.has_answered_meanwhile();
        for _ in 0..VOUCHED {
            if rest(spread(pause, random.hash_one(round)), &poke).await || !is_vouched_for(&node) {
                break;
            }
        }
    }
}

/// Whether somebody ended it.
async fn rest(pause: Duration, poke: &Notify) -> bool {
    sleep(OUT_OF_TURN.min(pause)).await;
    tokio::select! {
        () = sleep(pause.saturating_sub(OUT_OF_TURN)) => false,
        () = poke.notified() => true,
    }
}

/// Who answers requests is there. A probe costs both sides a look at another task than the one at hand.
fn is_vouched_for(node: &Node) -> bool {
    node.has_answered_meanwhile() && node.is_up() && !node.is_doubtful()
}

/// Nine to eleven tenths of `pause`: else the probes of all nodes, which have begun together, stay together, and so does what
/// they cost.
fn spread(pause: Duration, random: u64) -> Duration {
    pause * (900 + (random % 201) as u32) / 1000
}

/// One question, asked until it is answered, refused or given up; `why` it was refused. `None`: we could not ask.
async fn probe(health: &Health, node: &Arc<Node>, line: &mut ProbeConn, why: &mut Option<String>) -> Option<Event> {
    let question = if node.address.is_private() { probe::REQUEST } else { &health.question };
    let asked = line.ask(question, &health.link, node);
    let mut asked = std::pin::pin!(asked);
    for slice in 1..=SLICES * PATIENCE {
        tokio::select! {
            biased;
            answer = &mut asked => return match answer {
                Ok(answered) => Some(answered),
                Err(trouble) if trouble.is_our_lack() => None,
                Err(trouble) => {
                    let what = trouble.to_string();
                    health.complain(node, what.clone(), trouble.is_lasting());
                    *why = Some(what);
                    // A new connection that is lost as well is one more probe without an answer.
                    Some(if trouble.turns_away() { Event::Refused } else { Event::Silent { whole: true } })
                }
            },
            () = sleep(health.slice) => {}
        }
        if slice >= SLICES {
            // In between it is looked whether there is room by now.
            health.apply(node, Event::Silent { whole: slice % SLICES == 0 });
        }
    }
    // The unanswered connection was taken out of `line` by `ask` and ends with it.
    Some(Event::Silent { whole: false })
}

/// Tells it what the process before it has missed.
async fn catch_up(link: &Link, node: &Arc<Node>, news: &MissedNews, batches: Vec<Vec<&Outdated>>) -> Event {
    let mut kept = true;
    for batch in batches {
        let body = serde_json::to_vec(&batch).unwrap_or_default().into();
        match link.call(node, Method::POST, "/invalidate", Some(body), REVALIDATE).await {
            Ok((status, _)) if status.is_success() => kept &= status != StatusCode::ACCEPTED,
            Ok((status, _)) => {
                tracing::warn!(node = node.id, %status, "node was not told what it missed while it was away, it will validate everything");
                return Event::NotRevalidated;
            }
            Err(trouble) => {
                tracing::debug!(node = node.id, "catching up: {trouble}");
                return Event::NotRevalidated;
            }
        }
    }
    tracing::info!(node = node.id, "node was told what it missed while it was away: {} URLs and groups", news.count());
    Event::Revalidated { kept }
}

async fn revalidate(link: &Link, node: &Arc<Node>) -> Event {
    match link.call(node, Method::POST, "/revalidate", None, REVALIDATE).await {
        Ok((StatusCode::ACCEPTED, _)) => Event::Revalidated { kept: false },
        Ok((status, _)) if status.is_success() => Event::Revalidated { kept: true },
        Ok((status, _)) => {
            tracing::warn!(node = node.id, %status, "node does not promise to validate: nothing that it holds is used until it does");
            Event::NotRevalidated
        }
        Err(trouble) => {
            tracing::debug!(node = node.id, "revalidate: {trouble}");
            Event::NotRevalidated
        }
    }
}

#[cfg(test)]
#[path = "away_tests.rs"]
mod away;
#[cfg(test)]
#[path = "monitor_tests.rs"]
mod tests;
