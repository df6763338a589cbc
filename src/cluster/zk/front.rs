//! A front's life with ZooKeeper: a session, all records, what changes of them, the election, and the ring while this
//! front leads. A session that expires is over for good: a new one registers again and reads everything again, and the
//! traffic does not notice.

use super::Keeper;
use super::builder::{Due, Event};
use super::client::{Kind, Lead, Ownership, Seen, Session, State, Trouble, Watch};
use super::record::{self, Records, RingDoc, written};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Between two readings of everything: watches are for speed, this is for certainty.
const REREAD: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(500);
/// What arrives together is passed on together.
const GATHER: Duration = Duration::from_millis(10);

/// Runs until it is aborted.
pub async fn run(keeper: Arc<Keeper>) {
    loop {
        let trouble = match Session::open(&keeper.settings).await {
            Ok(session) => one_session(&keeper, session).await,
            Err(trouble) => trouble,
        };
        keeper.on(Event::Leads(false));
        keeper.lost(&trouble.to_string());
        keeper.hold(None);
        sleep(RETRY).await;
    }
}

async fn one_session(keeper: &Arc<Keeper>, session: Session) -> Trouble {
    keeper.hold(Some(session.clone()));
    let begun = async {
        session.prepare().await?;
        // Watches first: what changes while everything is read is then seen as well.
        let watch = session.watch().await?;
        session.register(Kind::Fronts, &keeper.id, &written(&keeper.record())).await?;
        Ok(watch)
    };
    let watch = match begun.await {
        Ok(watch) => watch,
        Err(trouble) => return trouble,
    };
    let mut life = Life { keeper, session: &session, seen: Sights::default(), lead: None, ring_version: 0, told: None };
    if let Err(trouble) = life.read_all().await {
        return trouble;
    }
    keeper.found(&session.number());
    life.run(watch).await
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
    fn of(&mut self, kind: Kind) -> &mut Records<Vec<u8>> {
        match kind {
            Kind::Nodes => &mut self.nodes,
            Kind::Members => &mut self.members,
            Kind::Fronts => &mut self.fronts,
            Kind::Doubts => &mut self.doubts,
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
}

impl Life<'_> {
    async fn run(&mut self, mut watch: Watch) -> Trouble {
        let (keeper, session) = (self.keeper, self.session);
        let mut states = session.states();
        let mut reread = interval(REREAD);
        reread.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut contending = Box::pin(session.lead(&keeper.id));
        loop {
            let pause = match self.act().await {
                Ok(pause) => pause,
                Err(Trouble::Fenced) => {
                    tracing::warn!("the lock was lost: the ring that this front was to write was refused");
                    keeper.refused();
                    self.give_up_lead();
                    contending.set(session.lead(&keeper.id));
                    continue;
                }
                Err(trouble @ Trouble::Over(_)) => return trouble,
                Err(trouble) => {
                    tracing::debug!("ZooKeeper: {trouble}");
                    RETRY
                }
            };
            let done = tokio::select! {
                seen = watch.next() => self.saw(seen, &mut watch).await,
                state = states.changed() => self.came_to(state).await,
                lead = &mut contending, if self.lead.is_none() => match lead {
                    Ok(lead) => self.won(lead),
                    Err(trouble) => {
                        contending.set(session.lead(&keeper.id));
                        Err(trouble)
                    }
                },
                _ = reread.tick() => self.look_again().await,
                () = keeper.wake.notified() => Ok(()),
                () = sleep(pause) => Ok(()),
            };
            match done {
                Ok(()) | Err(Trouble::Conflict) => {}
                Err(Trouble::Fenced) => {
                    self.give_up_lead();
                    contending.set(session.lead(&keeper.id));
                }
                Err(trouble @ Trouble::Over(_)) => return trouble,
                Err(trouble) => tracing::debug!("ZooKeeper: {trouble}"),
            }
        }
    }

    fn won(&mut self, lead: Lead) -> Result<(), Trouble> {
        self.lead = Some(lead);
        tracing::info!(front = self.keeper.id, "this front leads: it writes the ring");
        self.keeper.on(Event::Leads(true));
        Ok(())
    }

    fn give_up_lead(&mut self) {
        self.lead = None;
        self.keeper.on(Event::Leads(false));
    }

    /// Writes what is to be written; for how long there is nothing to do.
    async fn act(&mut self) -> Result<Duration, Trouble> {
        if self.session.state() != State::Connected {
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
        let record = self.keeper.record();
        if self.told != Some((record.epoch, record.leads)) {
            self.session.register(Kind::Fronts, &self.keeper.id, &written(&record)).await?;
            self.told = Some((record.epoch, record.leads));
        }
        Ok(pause)
    }

    async fn write_ring(&mut self, doc: &RingDoc) -> Result<(), Trouble> {
        let Some(lead) = &self.lead else { return Ok(()) };
        match lead.write_ring(self.session, &written(doc), self.ring_version).await {
            Ok(version) => {
                tracing::info!(epoch = doc.epoch, members = doc.members.len(), "ring written");
                self.ring_version = version;
                self.keeper.on(Event::Ring(Some(doc.clone())));
                Ok(())
            }
            // Written by another leader, or by ourselves with the answer lost: the ring that is there says which.
            Err(Trouble::Conflict | Trouble::Unknown(_)) => {
                self.session.sync().await?;
                self.read_ring().await
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn saw(&mut self, first: Seen, watch: &mut Watch) -> Result<(), Trouble> {
        let mut all = vec![first];
        while all.last() != Some(&Seen::Ended)
            && let Ok(seen) = timeout(GATHER, watch.next()).await
        {
            if !all.contains(&seen) {
                all.push(seen);
            }
        }
        let mut changed = Vec::new();
        for seen in all {
            match seen {
                Seen::Ended => return Err(expired()),
                Seen::Ring => self.read_ring().await?,
                Seen::Record(kind, id) => {
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

    async fn came_to(&mut self, state: State) -> Result<(), Trouble> {
        match state {
            State::Over => Err(expired()),
            State::Away => {
                self.keeper.lost("the connection is lost");
                Ok(())
            }
            // Watches may have lost events on the way back (ZOOKEEPER-4698).
            State::Connected => {
                self.look_again().await?;
                self.keeper.found(&self.session.number());
                Ok(())
            }
        }
    }

    /// Reads everything again, and makes sure of what is ours.
    async fn look_again(&mut self) -> Result<(), Trouble> {
        if self.session.state() != State::Connected {
            return Ok(());
        }
        if self.session.ownership(Kind::Fronts, &self.keeper.id).await? == Ownership::Missing {
            self.told = None;
        }
        self.read_all().await?;
        self.keeper.has_met_all();
        match &self.lead {
            Some(lead) if !lead.stands(self.session).await? => Err(Trouble::Fenced),
            _ => Ok(()),
        }
    }

    async fn read_all(&mut self) -> Result<(), Trouble> {
        self.session.sync().await?;
        for kind in [Kind::Nodes, Kind::Members, Kind::Fronts, Kind::Doubts] {
            *self.seen.of(kind) = self.session.all(kind).await?;
            self.pass_on(kind);
        }
        self.read_ring().await
    }

    async fn read_one(&mut self, kind: Kind, id: &str) -> Result<(), Trouble> {
        match self.session.one(kind, id).await? {
            Some((data, _)) => drop(self.seen.of(kind).insert(id.to_owned(), data)),
            None => drop(self.seen.of(kind).remove(id)),
        }
        Ok(())
    }

    async fn read_ring(&mut self) -> Result<(), Trouble> {
        let found = self.session.ring().await?;
        let doc = found.as_ref().and_then(|(data, _)| RingDoc::read(data));
        if let Some((data, version)) = found {
            self.ring_version = version;
            if doc.is_none() && !data.is_empty() {
                tracing::warn!("the ring in ZooKeeper cannot be read by this version; the last one stands");
            }
        } else {
            self.session.prepare().await?;
        }
        self.keeper.on(Event::Ring(doc));
        Ok(())
    }

    fn pass_on(&mut self, kind: Kind) {
        let raw = self.seen.of(kind);
        let (event, odd) = match kind {
            Kind::Nodes => with(record::read(raw), Event::Nodes),
            Kind::Members => with(record::read(raw), Event::Members),
            Kind::Fronts => with(record::read(raw), Event::Fronts),
            Kind::Doubts => return self.keeper.doubts.learn(&record::read(raw).0),
        };
        if !odd.is_empty() {
            tracing::warn!(?kind, "records in ZooKeeper that cannot be read: {}", odd.join(", "));
        }
        self.keeper.on(event);
    }
}

fn with<T>((records, odd): (Records<T>, Vec<String>), event: impl Fn(Records<T>) -> Event) -> (Event, Vec<String>) {
    (event(records), odd)
}

fn expired() -> Trouble {
    Trouble::Over("the session has expired".to_owned())
}
