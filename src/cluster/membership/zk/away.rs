//! What a front tells while it is cut off from ZooKeeper does not reach who joins meanwhile: it knows nothing of them.
//! When it is back, it doubts whoever it has not known before; and what nodes missed is shared in `/doubts/<id>`.

use super::client::Session;
use super::record::{self, FrontRecord, RecordKind, Records, Registration, id_on, written};
use super::trouble::ZkError;
use super::{Keeper, ZkLine};
use crate::clock::{Tick, tick};
use crate::cluster::health::stale::Doubt;
use crate::cluster::invalidation::broadcast::FrontListener;
use crate::config::{Address, is_local};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// For so long a purge waits for ZooKeeper to say who there is.
const CONFIRM: Duration = Duration::from_secs(1);

/// So many places are named in a message.
const SHOWN: usize = 4;

/// Fronts that have left and are remembered.
const MOST_FRONTS: usize = 256;

impl Keeper {
    /// Something is told to all nodes that are known here. To be called before they are looked up: who comes to be known
    /// after that is doubted, if it was told alone.
    pub fn tells(&self) {
        self.away.told.store(tick().0, Ordering::Relaxed);
        if self.is_down() {
            self.doubts.tells_alone();
        }
    }

    /// Asks ZooKeeper who there is, and waits until all of them are known here. An error says, in a sentence, why that cannot be
    /// known.
    pub async fn confirm(&self) -> Result<(), String> {
        let confirmed = self.confirmed().await.map_err(|why| {
            format!(
                "ZooKeeper is gone ({why}), so nodes and fronts that joined just now may not be known here; they validate when \
                 they are"
            )
        });
        if confirmed.is_err() {
            self.doubts.tells_alone();
        }
        // What is not on this front's ring validates what it has when it comes to be (docs/link.md, One owner).
        confirmed.and_then(|()| match &*self.session().map(|session| session.of_others()).unwrap_or_default() {
            [] => Ok(()),
            others => Err(format!(
                "{} in ZooKeeper: sealed with another secret, so not known to this front, and may still answer with it; set [cluster] \
                 previous_secret again where it was taken away too early",
                some_of(others)
            )),
        })
    }

    async fn confirmed(&self) -> Result<(), String> {
        let session = self.session()?;
        let asked = async {
            session.sync().await?;
            let nodes = self.strangers(&session, RecordKind::Nodes, |id| self.builder().registered().contains_key(id));
            let fronts = |id: &str| id == self.id || self.builder().fronts().contains_key(id);
            // What makes no sense is nobody's record, and never will be known.
            let nodes = record::read::<Registration>(&nodes.await?).0;
            let fronts = record::read::<FrontRecord>(&self.strangers(&session, RecordKind::Fronts, fronts).await?).0;
            Ok((nodes, fronts))
        };
        let late = |_| "it does not answer".to_owned();
        let (nodes, fronts) = timeout(CONFIRM, asked).await.map_err(late)?.map_err(|e: ZkError| e.to_string())?;
        let mut changes = self.changes();
        let known = || {
            let builder = self.builder();
            let node = |id: &String| builder.registered().contains_key(id);
            nodes.keys().all(node) && fronts.keys().all(|id| builder.fronts().contains_key(id))
        };
        let heard = async { while !known() && changes.changed().await.is_ok() {} };
        timeout(CONFIRM, heard).await.map_err(|_| "not all of its records could be read".to_owned())
    }

    /// The records of those that are there and not known here.
    async fn strangers(
        &self,
        session: &Session,
        kind: RecordKind,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Records<Vec<u8>>, ZkError> {
        let mut ids = session.ids(kind).await?;
        ids.retain(|id| !is_known(id));
        session.some(kind, &ids).await
    }

    /// The line was lost, some time ago: what was told since then was told alone as well.
    pub(super) fn leaves(&self) {
        let told = self.away.told.load(Ordering::Relaxed);
        let unnoticed = u64::try_from((2 * self.settings.session).as_millis()).unwrap_or(u64::MAX);
        if told > 0 && tick().0.saturating_sub(told) < unnoticed {
            self.doubts.tells_alone();
        }
    }

    /// Who is registered, before anybody is sent there. Who has left while this front was away was told nothing by the
    /// others; who has come was told nothing from here.
    pub(super) fn meets(&self, nodes: &Records<Registration>) {
        let now: BTreeMap<String, u64> = nodes.iter().map(|(id, node)| (id.clone(), node.boot)).collect();
        let before = std::mem::replace(&mut *self.known(), now.clone());
        if self.is_down() {
            for seat in self.seats().iter().filter(|seat| !now.contains_key(&seat.spec.id)) {
                let Some(boot) = before.get(&seat.spec.id) else { continue };
                // Nor is anybody told to ask it.
                seat.node.set_doubtful(true, crate::clock::tick().0);
                self.doubts.note(&seat.spec.id, *boot);
            }
        }
        if self.doubts.is_alone() {
            let strangers = now.iter().filter(|(id, boot)| before.get(*id) != Some(*boot));
            strangers.for_each(|(id, boot)| _ = self.doubts.note(id, *boot));
        }
    }

    /// Who was a front and is none any more may go on serving, cut off from here.
    pub(super) fn notes_fronts(&self, now: &Records<FrontRecord>) {
        let before = self.builder().fronts().clone();
        let mut past = self.past();
        past.retain(|id, _| !now.contains_key(id));
        let left = before.into_iter().filter(|(id, _)| *id != self.id && !now.contains_key(id));
        past.extend(left.map(|(id, record)| (id, (record, tick()))));
        while past.len() > MOST_FRONTS {
            past.pop_first();
        }
    }

    /// The other fronts. `past`: also those that have left within this time.
    pub fn listeners(&self, past: Option<Duration>) -> Vec<FrontListener> {
        let there = self.fronts().into_iter().filter(|peer| !peer.own);
        let mut all: Vec<_> = there.map(|peer| self.listener(peer.id, &peer.record, false)).collect();
        let Some(time) = past else { return all };
        let mut past = self.past();
        past.retain(|_, (_, since)| tick().since(*since) < time);
        all.extend(past.iter().map(|(id, (record, _))| self.listener(id.clone(), record, true)));
        all
    }

    fn listener(&self, id: String, record: &FrontRecord, past: bool) -> FrontListener {
        let host = Address::Tcp(record.proxy.clone()).host().map(str::to_owned);
        let here = is_local(&self.host) || id.starts_with(&id_on(&self.host, ""));
        // One that listens for its own machine alone has published no address.
        let reachable = !record.proxy.is_empty() && (here || host.is_some_and(|host| !is_local(&host)));
        FrontListener { id, address: reachable.then(|| record.proxy.clone()), past, tls: record.tls }
    }

    pub fn has_to_share(&self) -> bool {
        !self.is_down() && !self.doubts_to_share().is_empty()
    }

    fn doubts_to_share(&self) -> Vec<(String, Doubt)> {
        let builder = self.builder();
        self.doubts.to_share(|id| builder.registered().get(id).map(|node| node.boot))
    }

    /// Whether a node may come back without having promised by itself to validate: it is registered, or could be again
    /// before anybody has noticed that it was not.
    fn may_owe(&self, id: &str) -> bool {
        let builder = self.builder();
        builder.registered().contains_key(id) || builder.view().ring.index_of(id).is_some()
    }

    /// Writes what is noted here and not yet in ZooKeeper, and takes out what is settled. `found`: what is there.
    pub(super) async fn share(
        &self,
        session: &Session,
        found: &mut Records<Vec<u8>>,
        leads: bool,
    ) -> Result<(), ZkError> {
        for (id, doubt) in self.doubts_to_share() {
            let data = written(&doubt);
            if !self.is_done(session.put(RecordKind::Doubts, &id, &data).await, "cannot be written")? {
                continue;
            }
            self.doubts.shared(&id, doubt.token);
            // What is read before its watch says so must not lack it.
            found.insert(id, data);
        }
        for (id, token) in self.doubts.to_unshare() {
            let removed = session.remove(RecordKind::Doubts, &id, |data| token_of(data) == Some(token)).await;
            self.is_done(removed, "cannot be deleted")?;
            self.doubts.unshared(&id);
            found.remove(&id);
        }
        let over: Vec<String> = found.keys().filter(|id| leads && !self.may_owe(id)).cloned().collect();
        for id in over {
            self.is_done(session.remove(RecordKind::Doubts, &id, |_| true).await, "cannot be deleted")?;
            // Else it is seen, and tried, when all is read again.
            found.remove(&id);
        }
        Ok(())
    }

    /// Whether it was done to that record; where it is refused, that is named.
    fn is_done(&self, done: Result<(), ZkError>, what: &str) -> Result<bool, ZkError> {
        match done {
            Err(ZkError::Refused { path, why }) => {
                self.named.say(&path, &format!("{what}: {why}"));
                Ok(false)
            }
            done => done.map(|()| true),
        }
    }

    fn is_down(&self) -> bool {
        matches!(*self.lock_line(), ZkLine::Down(_))
    }

    fn past(&self) -> MutexGuard<'_, BTreeMap<String, (FrontRecord, Tick)>> {
        self.away.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.away.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first of them, and how many there are besides.
fn some_of(places: &[String]) -> String {
    let (shown, more) = places.split_at(places.len().min(SHOWN));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    shown.join(", ") + &more
}

fn token_of(data: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Doubt>(data).ok().map(|doubt| doubt.token)
}
