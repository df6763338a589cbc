//! A front's life with ZooKeeper: a session, all records, what changes of them, the election, and the ring while this
//! front leads. A session that expires is over for good: a new one registers again and reads everything again, and the
//! traffic does not notice.

use super::builder::{Due, WorldEvent};
use super::client::{Lead, Ownership, Session, ZkConnState, ZkWatches};
use super::record::{self, FrontRecord, RecordKind, Records, RingDoc, WatchEvent, written};
use super::trouble::{RETRY, ZkError};
use super::{Keeper, Stake};
use crate::clock::{Tick, tick};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Between two readings of everything: watches are for speed, this is for certainty.
const REREAD: Duration = Duration::from_secs(30);
/// ZooKeeper takes requests of 1 MiB at most, and ends the connection of whoever sends more.
const LARGEST_RING: usize = 1_000_000;
/// What arrives together is passed on together: until nothing has come for so long, but for so long at most.
const GATHER: Duration = Duration::from_millis(10);
const GATHER_AT_MOST: Duration = Duration::from_millis(50);

impl Keeper {
    /// Runs the front's session until it is aborted.
    pub async fn run(self: Arc<Keeper>) {
        loop {
            let trouble = match Session::open(&self.settings, &self.cluster, &self.named).await {
                Ok(session) => one_session(&self, session).await,
                Err(trouble) => trouble,
            };
            self.loses_lead();
            self.lost(&trouble.to_string());
            self.hold(None);
            sleep(trouble.pause()).await;
        }
    }
}

async fn one_session(keeper: &Arc<Keeper>, session: Session) -> ZkError {
    keeper.hold(Some(session.clone()));
    let begun = async {
        session.prepare().await?;
        // Watches first: what changes while everything is read is then seen as well.
        let watch = session.watch().await?;
        Ok(watch)
    };
    let watch = match begun.await {
        Ok(watch) => watch,
        Err(trouble) => return trouble,
    };
    let mut life = Life {
        keeper,
        session: &session,
        seen: Sights::default(),
        lead: None,
        ring_version: 0,
        told: None,
        missed: false,
        crowded: Vec::new(),
        foreign: None,
    };
    if let Err(trouble) = life.begin().await {
        return trouble;
    }
    life.run(watch).await
}

/// Waits in the queue of those who would lead. `after`: where that has just failed; its folder may be gone.
async fn contend(session: &Session, id: &str, after: Option<Duration>) -> Result<Lead, ZkError> {
    if let Some(pause) = after {
        sleep(pause).await;
        session.prepare().await?;
    }
    session.lead(id).await
}

/// The raw records as they were last read.
#[derive(Default)]
struct Sights {
    nodes: Records<Vec<u8>>,
    members: Records<Vec<u8>>,
    fronts: Records<Vec<u8>>,
    doubts: Records<Vec<u8>>,
}

impl Sights {
    fn of(&mut self, kind: RecordKind) -> &mut Records<Vec<u8>> {
        match kind {
            RecordKind::Nodes => &mut self.nodes,
            RecordKind::Members => &mut self.members,
            RecordKind::Fronts => &mut self.fronts,
            RecordKind::Doubts => &mut self.doubts,
        }
    }
}

struct Life<'a> {
    keeper: &'a Arc<Keeper>,
    session: &'a Session,
    seen: Sights,
    lead: Option<Lead>,
    /// Of the ring that was read.
    ring_version: i32,
    /// Epoch and leadership as the front's own record says them.
    told: Option<(u64, bool)>,
    /// Something could not be read.
    missed: bool,
    /// Members without room on the ring, as far as the log has said so.
    crowded: Vec<String>,
    /// Since when another session has had the record of this front's id.
    foreign: Option<Tick>,
}

impl Life<'_> {
    /// First the others are to know of this front: then they tell it what it would not read.
    async fn begin(&mut self) -> Result<(), ZkError> {
        self.tell_news().await?;
        self.read_all().await
    }

    async fn run(&mut self, mut watch: ZkWatches) -> ZkError {
        let (keeper, session) = (self.keeper, self.session);
        let mut states = session.states();
        let mut reread = interval(REREAD);
        reread.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut contending = Box::pin(contend(session, &keeper.id, None));
        loop {
            let pause = match self.act().await {
                Ok(pause) => pause,
                Err(ZkError::Fenced) => {
                    tracing::warn!("the lock was lost: the ring that this front was to write was refused");
                    keeper.refused();
                    self.give_up_lead();
                    contending.set(contend(session, &keeper.id, None));
                    continue;
                }
                Err(trouble @ (ZkError::Over(_) | ZkError::Refused { .. })) => return trouble,
                Err(trouble) => {
                    tracing::debug!("ZooKeeper: {trouble}");
                    RETRY
                }
            };
            let done = tokio::select! {
                seen = watch.next() => self.saw(seen, &mut watch).await,
                state = states.changed() => self.came_to(state, &mut watch).await,
                lead = &mut contending, if self.lead.is_none() => match lead {
                    Ok(lead) => self.won(lead),
                    Err(trouble) => {
                        contending.set(contend(session, &keeper.id, Some(trouble.pause())));
                        self.has_no_place(trouble)
                    }
                },
                () = sleep(RETRY), if self.missed => self.look_again(&mut watch).await,
                _ = reread.tick() => self.look_again(&mut watch).await,
                () = keeper.wake.notified() => Ok(()),
                () = sleep(pause) => Ok(()),
            };
            match done {
                Ok(()) | Err(ZkError::Conflict) => {}
                Err(ZkError::Fenced) => {
                    self.give_up_lead();
                    contending.set(contend(session, &keeper.id, None));
                }
                // Of one record it would have been that record's trouble: this front cannot know, or be known.
                Err(trouble @ (ZkError::Over(_) | ZkError::Refused { .. })) => return trouble,
                Err(trouble) => {
                    tracing::debug!("ZooKeeper: {trouble}");
                    self.missed = true;
                }
            }
        }
    }

    fn won(&mut self, lead: Lead) -> Result<(), ZkError> {
        self.lead = Some(lead);
        tracing::info!(front = self.keeper.id, "this front leads: it writes the ring");
        self.keeper.on(WorldEvent::Leads(true));
        Ok(())
    }

    /// Who may not stand in the queue does not lead: everything else goes on.
    fn has_no_place(&self, trouble: ZkError) -> Result<(), ZkError> {
        let ZkError::Refused { path, why } = trouble else { return Err(trouble) };
        self.keeper.named.say(&path, &format!("has no place for this front among those who would lead: {why}"));
        Ok(())
    }

    fn give_up_lead(&mut self) {
        self.lead = None;
        self.keeper.on(WorldEvent::Leads(false));
    }

    /// Writes what is to be written; for how long there is nothing to do.
    async fn act(&mut self) -> Result<Duration, ZkError> {
        if self.session.state() != ZkConnState::Connected {
            return Ok(REREAD);
        }
        let pause = match self.keeper.due() {
            Due::Nothing => REREAD,
            Due::In(millis) => Duration::from_millis(millis),
            Due::Now(doc) => {
                self.write_ring(&doc).await?;
                Duration::ZERO
            }
        };
        self.keeper.share(self.session, &mut self.seen.doubts, self.lead.is_some()).await?;
        self.say_who_has_no_room();
        for id in self.keeper.forgettable() {
            self.forget(&id).await?;
        }
        Ok(if self.tell_news().await? { pause } else { pause.min(RETRY) })
    }

    /// Has the own record say what is so now; whether it does.
    async fn tell_news(&mut self) -> Result<bool, ZkError> {
        let record = self.keeper.record();
        if self.told == Some((record.epoch, record.leads)) || self.keeper.is_withdrawn() {
            return Ok(true);
        }
        let told = self.tell(&record).await?;
        self.told = told.then_some((record.epoch, record.leads));
        Ok(told)
    }

    /// Writes this front's own record; whether that could be. What an earlier session of this process left is taken over.
    /// What another process left ends with its session; when it does not, that front lives, and this one is refused.
    async fn tell(&mut self, record: &FrontRecord) -> Result<bool, ZkError> {
        let (id, data) = (&self.keeper.id, written(record));
        if self.session.claim(RecordKind::Fronts, id, &data).await? {
            self.foreign = None;
            self.keeper.stake.send_replace(Stake::Ours);
            self.keeper.changed();
            return Ok(true);
        }
        let found = self.session.one(RecordKind::Fronts, id).await?;
        let other = found.and_then(|(data, _)| serde_json::from_slice::<FrontRecord>(&data).ok());
        if other.is_none_or(|other| other.boot == record.boot) {
            self.session.register(RecordKind::Fronts, id, &data).await?;
            return Ok(false);
        }
        let since = *self.foreign.get_or_insert_with(|| {
            tracing::warn!(
                front = id,
                "another front has registered under this id; its session is over soon if it is dead"
            );
            tick()
        });
        if tick().since(since) > 2 * self.session.lifetime() {
            self.keeper.stake.send_replace(Stake::Lost);
        }
        Ok(false)
    }

    async fn write_ring(&mut self, doc: &RingDoc) -> Result<(), ZkError> {
        let Some(lead) = &self.lead else { return Ok(()) };
        let data = written(doc);
        if data.len() > LARGEST_RING {
            let cure = "take nodes off it, or give them shorter ids and addresses";
            tracing::warn!("a ring of {} bytes is too large for ZooKeeper: the last one stands; {cure}", data.len());
            return Ok(());
        }
        match lead.write_ring(self.session, &data, self.ring_version).await {
            Ok(version) => {
                tracing::info!(epoch = doc.epoch, members = doc.members.len(), "ring written");
                self.ring_version = version;
                self.keeper.on(WorldEvent::Ring(Some(doc.clone())));
                Ok(())
            }
            // Written by another leader, or by ourselves with the answer lost: the ring that is there says which.
            Err(ZkError::Conflict | ZkError::Unknown(_)) => {
                self.session.sync().await?;
                self.read_ring().await
            }
            // As one that makes no sense is written over, one that may not be written is taken away.
            Err(ZkError::Refused { path, why }) => {
                self.keeper.named.say(&path, &format!("cannot be written: {why}"));
                match lead.remove_ring(self.session).await {
                    // Nor may that be done, or the lock is closed.
                    Err(ZkError::Refused { .. }) => Err(ZkError::Fenced),
                    Ok(()) | Err(ZkError::Conflict) => self.read_ring().await,
                    Err(trouble) => Err(trouble),
                }
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn say_who_has_no_room(&mut self) {
        let crowded = self.keeper.left_out();
        if crowded != self.crowded && !crowded.is_empty() {
            let ids = crowded.join(", ");
            tracing::warn!(
                "no room on the ring for all of {ids}: lower the weights, or [ring] points of a new cluster"
            );
        }
        self.crowded = crowded;
    }

    async fn forget(&mut self, id: &str) -> Result<(), ZkError> {
        if let Some((data, version)) = self.session.one(RecordKind::Members, id).await?
            // Else somebody has just said something: the watch tells.
            && self.seen.members.get(id) == Some(&data)
        {
            match self.session.forget_member(id, version).await {
                Ok(()) => tracing::info!(node = id, "what was said of this node is forgotten: it has long been gone"),
                Err(ZkError::Conflict) => {}
                Err(ZkError::Refused { path, why }) => {
                    self.keeper.named.say(&path, &format!("cannot be deleted: {why}"));
                    // Until all is read again.
                    self.seen.members.remove(id);
                    self.pass_on(RecordKind::Members);
                    return Ok(());
                }
                Err(trouble) => return Err(trouble),
            }
        }
        self.read_one(RecordKind::Members, id).await?;
        self.pass_on(RecordKind::Members);
        Ok(())
    }

    async fn saw(&mut self, first: WatchEvent, watch: &mut ZkWatches) -> Result<(), ZkError> {
        let mut changed = Vec::new();
        for seen in gather(first, watch).await {
            match seen {
                WatchEvent::Ended => return Err(expired()),
                WatchEvent::Ring => self.read_ring().await?,
                WatchEvent::Record(kind, id) => {
                    self.read_one(kind, &id).await?;
                    if !changed.contains(&kind) {
                        changed.push(kind);
                    }
                }
            }
        }
        changed.into_iter().for_each(|kind| self.pass_on(kind));
        Ok(())
    }

    async fn came_to(&mut self, state: ZkConnState, watch: &mut ZkWatches) -> Result<(), ZkError> {
        match state {
            ZkConnState::Over => Err(expired()),
            ZkConnState::Away => {
                self.keeper.lost("the connection is lost");
                Ok(())
            }
            ZkConnState::Connected => self.look_again(watch).await,
        }
    }

    /// Reads everything again, and makes sure of what is ours. Watches are laid anew before that: a reconnect ends them
    /// (see [`Session::watch`]), and may have lost events (ZOOKEEPER-4698).
    async fn look_again(&mut self, watch: &mut ZkWatches) -> Result<(), ZkError> {
        if self.session.state() != ZkConnState::Connected {
            return Ok(());
        }
        *watch = self.session.watch().await?;
        if self.session.ownership(RecordKind::Fronts, &self.keeper.id).await? == Ownership::Missing {
            self.told = None;
        }
        self.read_all().await?;
        if !self.keeper.is_listed() {
            self.told = None;
        }
        match &self.lead {
            Some(lead) if !lead.stands(self.session).await? => Err(ZkError::Fenced),
            _ => Ok(()),
        }
    }

    async fn read_all(&mut self) -> Result<(), ZkError> {
        let times_alone = self.keeper.doubts.times_alone();
        self.session.sync().await?;
        for kind in RecordKind::ALL {
            *self.seen.of(kind) = match self.session.all(kind).await {
                // Somebody has deleted the folder.
                Err(ZkError::Conflict) => self.session.prepare().await.map(|()| Records::new())?,
                found => found?,
            };
            self.pass_on(kind);
        }
        self.read_ring().await?;
        self.session.seal_anew().await?;
        self.missed = false;
        // Whatever else follows from what was read: ZooKeeper can be asked.
        self.keeper.found(&self.session.number(), times_alone);
        Ok(())
    }

    async fn read_one(&mut self, kind: RecordKind, id: &str) -> Result<(), ZkError> {
        match self.session.one(kind, id).await? {
            Some((data, _)) if !data.is_empty() => drop(self.seen.of(kind).insert(id.to_owned(), data)),
            _ => drop(self.seen.of(kind).remove(id)),
        }
        Ok(())
    }

    async fn read_ring(&mut self) -> Result<(), ZkError> {
        let found = self.session.ring().await?;
        let doc = found.as_ref().and_then(|(data, _)| RingDoc::read(data));
        if let Some((data, version)) = found {
            self.ring_version = version;
            if doc.is_none() && !data.is_empty() {
                tracing::warn!("the ring in ZooKeeper cannot be read by this version; the last one stands");
            }
        } else {
            self.session.prepare().await?;
            self.ring_version = 0;
        }
        self.keeper.on(WorldEvent::Ring(doc));
        Ok(())
    }

    fn pass_on(&mut self, kind: RecordKind) {
        let (keeper, session, raw) = (self.keeper, self.session, self.seen.of(kind));
        match kind {
            RecordKind::Nodes => keeper.on(WorldEvent::Nodes(sensible(keeper, session, kind, raw))),
            RecordKind::Members => keeper.on(WorldEvent::Members(sensible(keeper, session, kind, raw))),
            RecordKind::Fronts => keeper.on(WorldEvent::Fronts(sensible(keeper, session, kind, raw))),
            RecordKind::Doubts => keeper.doubts.learn(&sensible(keeper, session, kind, raw)),
        }
    }
}

/// The records that make sense; the others are named.
fn sensible<T: for<'de> Deserialize<'de>>(
    keeper: &Keeper,
    session: &Session,
    kind: RecordKind,
    raw: &Records<Vec<u8>>,
) -> Records<T> {
    let (records, odd) = record::read(raw);
    for id in odd {
        keeper.named.left_out(&session.record_path(kind, &id), "it cannot be read by this version");
    }
    keeper.named.are_read(|path| session.id_in(kind, path).is_some_and(|id| records.contains_key(id)));
    records
}

/// Where changes are seen.
trait Sight {
    /// Cancel safe.
    fn next(&mut self) -> impl Future<Output = WatchEvent> + Send;
}

impl Sight for ZkWatches {
    fn next(&mut self) -> impl Future<Output = WatchEvent> + Send {
        ZkWatches::next(self)
    }
}

/// The first and what comes soon after it, each once.
async fn gather(first: WatchEvent, watch: &mut impl Sight) -> Vec<WatchEvent> {
    let mut all = vec![first];
    let more = async {
        while all.last() != Some(&WatchEvent::Ended)
            && let Ok(seen) = timeout(GATHER, watch.next()).await
        {
            if !all.contains(&seen) {
                all.push(seen);
            }
        }
    };
    let _ = timeout(GATHER_AT_MOST, more).await;
    all
}

fn expired() -> ZkError {
    ZkError::Over("the session has expired".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of seven changes after the other, without end; or none at all.
    struct Changes(Option<usize>);

    impl Sight for Changes {
        async fn next(&mut self) -> WatchEvent {
            let Some(n) = &mut self.0 else { return std::future::pending().await };
            sleep(Duration::from_millis(3)).await;
            *n += 1;
            WatchEvent::Record(RecordKind::Nodes, (*n % 7).to_string())
        }
    }

    #[tokio::test]
    async fn what_comes_together_is_gathered_and_an_unending_stream_does_not_hold_it_up() {
        let mut endless = Changes(Some(0));
        let gathered = timeout(Duration::from_secs(5), gather(WatchEvent::Ring, &mut endless)).await.expect("it ends");
        assert!((2..=8).contains(&gathered.len()), "each once: {gathered:?}");
        assert_eq!(gather(WatchEvent::Ring, &mut Changes(None)).await, [WatchEvent::Ring]);
        assert_eq!(gather(WatchEvent::Ended, &mut endless).await, [WatchEvent::Ended]);
    }
}
