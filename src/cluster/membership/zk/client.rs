//! The only file that names the ZooKeeper client: one session, and what the cluster does with it.
//!
//! Two things to know of the servers. Before 3.8.2 (Debian has 3.8.0), `create2` inside a transaction answers with an
//! invalid `Stat` (ZOOKEEPER-4026): so `/ring` is created empty, outside any transaction, and transactions only set data;
//! versions come from reads and from set data. And a persistent watch and a one-shot watch on the same znode disturb each
//! other (ZOOKEEPER-4466): so `/election`, where the lock recipe sets one-shot watches, is not below any of ours.

use super::record::Records;
use super::seal::Seal;
use crate::config::{ClusterConfig, ZookeeperConfig};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, thread};
use tokio::runtime::{Builder, Handle};
use tokio::time::timeout;
use zookeeper_client::{
    Acls, AddWatchMode, Client, CreateMode, Error, EventType, LockOptions, LockPrefix, OwnedLockClient,
    PersistentWatcher, SessionState, StateWatcher, WatchedEvent,
};

/// Where the client runs: a thread of its own, for as long as the process. Once a session has run out, and where every
/// server is refused at once by the network (no route), zookeeper-client 0.11.2 tries again without ever giving way:
/// whatever else is on its thread would stand still until the network is back. `None`: there is no such thread.
static HOME: LazyLock<Option<Handle>> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name("zookeeper".to_owned()).spawn(run).ok()?;
    Some(handle)
});

/// Why something could not be done in ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZkError {
    /// The session is over: a new one is needed.
    Over(String),
    /// No answer: it may come when the connection is back, and whether it was done is not known.
    Unknown(String),
    /// Somebody else was faster: read again.
    Conflict,
    /// The lock is lost: this front does not lead any more.
    Fenced,
}

/// One kind of record; each has a folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    Nodes,
    Members,
    Fronts,
    Doubts,
}

/// What a watch saw change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    Record(RecordKind, String),
    Ring,
    /// The session is over.
    Ended,
}

/// How the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZkConnState {
    Connected,
    /// Lost, and looked for again.
    Away,
    Over,
}

/// What is in a znode, and its version.
pub type VersionedData = (Vec<u8>, i32);

/// A session. Clones share it; it is closed when the last one is dropped. Whatever it writes is sealed with the cluster's
/// secret, and what it reads without that seal is left out, and named in the log once.
#[derive(Clone, Debug)]
pub struct Session {
    client: Client,
    path: String,
    patience: Duration,
    seal: Seal,
    unsealed: Arc<Mutex<BTreeSet<String>>>,
}

/// So many unsealed records are named.
const NAMED: usize = 64;

/// The lock. Dropping it gives it up.
pub struct Lead(OwnedLockClient);

/// Watches on everything but the election.
pub struct ZkWatches {
    nodes: PersistentWatcher,
    members: PersistentWatcher,
    fronts: PersistentWatcher,
    doubts: PersistentWatcher,
    ring: PersistentWatcher,
    folders: [String; 4],
}

/// What became of an entry in a folder that this process owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    Ours,
    Missing,
    Foreign,
}

impl RecordKind {
    fn name(self) -> &'static str {
        match self {
            RecordKind::Nodes => "nodes",
            RecordKind::Members => "members",
            RecordKind::Fronts => "fronts",
            RecordKind::Doubts => "doubts",
        }
    }
}

impl Session {
    /// Tries all servers for about the session's time.
    pub async fn open(settings: &ZookeeperConfig, cluster: &ClusterConfig) -> Result<Session, ZkError> {
        let Some(home) = &*HOME else { return Err(ZkError::Over("there is no thread for its client".to_owned())) };
        let (servers, session) = (settings.connect.clone(), settings.session);
        let connecting = home.spawn(async move {
            Client::connector().with_session_timeout(session).connect(&servers).await.map_err(|e| reason(&e))
        });
        // The client keeps the time itself, but for what `HOME` tells of.
        let client = match timeout(session * 2, connecting).await {
            Ok(Ok(connected)) => connected.map_err(ZkError::Over)?,
            Ok(Err(e)) => return Err(ZkError::Over(e.to_string())),
            Err(_) => return Err(ZkError::Over("none of its servers answered".to_owned())),
        };
        let (patience, path) = (client.session_timeout(), settings.path.clone());
        Ok(Session { patience, seal: Seal::new(cluster, &path), path, client, unsealed: Arc::default() })
    }

    /// For how long a session lives that nobody hears of.
    pub fn lifetime(&self) -> Duration {
        self.patience
    }

    fn close_record(&self, kind: RecordKind, id: &str, data: &[u8]) -> Vec<u8> {
        self.seal.close(&format!("{}/{id}", kind.name()), data)
    }

    /// `None`, and a word in the log: it was written without the secret.
    fn open_record(&self, place: &str, data: &[u8]) -> Option<Vec<u8>> {
        let opened = self.seal.open(place, data).map(<[u8]>::to_vec);
        let mut unsealed = self.unsealed.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.is_none() && unsealed.len() < NAMED && unsealed.insert(place.to_owned()) {
            tracing::warn!(
                "a record in ZooKeeper that is not sealed with this cluster's secret is left out: {place:?}"
            );
        }
        opened
    }

    /// Makes the folders, and the ring as an empty znode.
    pub async fn prepare(&self) -> Result<(), ZkError> {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        for name in ["nodes", "members", "fronts", "doubts", "election"] {
            self.limit(self.client.mkdir(&format!("{}/{name}", self.path), &options)).await?;
        }
        match self.limit(self.client.create(&self.ring_path(), b"", &options)).await {
            Ok(_) | Err(ZkError::Conflict) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Writes an ephemeral record. What an earlier session left under the same id is taken over: that process is dead, or
    /// has been replaced by this one.
    pub async fn register(&self, kind: RecordKind, id: &str, data: &[u8]) -> Result<(), ZkError> {
        for _ in 0..8 {
            match self.claim(kind, id, data).await? {
                true => return Ok(()),
                false => self.delete(&self.record_path(kind, id)).await?,
            }
        }
        Err(ZkError::Conflict)
    }

    /// The same where nobody else has the id; whether that is so.
    pub async fn claim(&self, kind: RecordKind, id: &str, data: &[u8]) -> Result<bool, ZkError> {
        let (path, options) = (self.record_path(kind, id), CreateMode::Ephemeral.with_acls(Acls::anyone_all()));
        let closed = self.close_record(kind, id, data);
        for _ in 0..8 {
            match self.limit(self.client.create(&path, &closed, &options)).await {
                Err(ZkError::Conflict) => {}
                done => return done.map(|_| true),
            }
            match self.ownership(kind, id).await? {
                Ownership::Ours => return self.update(kind, id, data).await.map(|()| true),
                Ownership::Missing => {}
                Ownership::Foreign => return Ok(false),
            }
        }
        Err(ZkError::Conflict)
    }

    async fn delete(&self, path: &str) -> Result<(), ZkError> {
        match self.limit_raw(self.client.delete(path, None)).await? {
            Ok(()) | Err(Error::NoNode) => Ok(()),
            Err(e) => Err(trouble(e)),
        }
    }

    /// Takes an ephemeral record back, if it is this session's.
    pub async fn withdraw(&self, kind: RecordKind, id: &str) -> Result<(), ZkError> {
        match self.ownership(kind, id).await? {
            Ownership::Ours => self.delete(&self.record_path(kind, id)).await,
            Ownership::Missing | Ownership::Foreign => Ok(()),
        }
    }

    pub async fn update(&self, kind: RecordKind, id: &str, data: &[u8]) -> Result<(), ZkError> {
        let data = self.close_record(kind, id, data);
        self.limit(self.client.set_data(&self.record_path(kind, id), &data, None)).await.map(|_| ())
    }

    pub async fn ownership(&self, kind: RecordKind, id: &str) -> Result<Ownership, ZkError> {
        let stat = self.limit(self.client.check_stat(&self.record_path(kind, id))).await?;
        Ok(match stat {
            None => Ownership::Missing,
            Some(stat) if stat.ephemeral_owner == self.client.session_id().0 => Ownership::Ours,
            Some(_) => Ownership::Foreign,
        })
    }

    /// Asks the leader of the ensemble for what this server may not have heard yet.
    pub async fn sync(&self) -> Result<(), ZkError> {
        self.limit(self.client.sync(&self.path)).await
    }

    /// The ids of a kind.
    pub async fn ids(&self, kind: RecordKind) -> Result<Vec<String>, ZkError> {
        self.limit(self.client.list_children(&format!("{}/{}", self.path, kind.name()))).await
    }

    /// All records of a kind.
    pub async fn all(&self, kind: RecordKind) -> Result<Records<Vec<u8>>, ZkError> {
        let ids = self.ids(kind).await?;
        // A request goes out when its future is made: all of them are on their way before the first is waited for.
        let paths: Vec<String> = ids.iter().map(|id| self.record_path(kind, id)).collect();
        let asked: Vec<_> = paths.iter().map(|path| self.client.get_data(path)).collect();
        let mut records = Records::new();
        for (id, answer) in ids.into_iter().zip(asked) {
            match self.limit_raw(answer).await? {
                Ok((data, _)) => {
                    let opened = self.open_record(&format!("{}/{id}", kind.name()), &data);
                    records.extend(opened.map(|data| (id, data)));
                }
                // Gone in between.
                Err(Error::NoNode) => {}
                Err(e) => return Err(trouble(e)),
            }
        }
        Ok(records)
    }

    pub async fn one(&self, kind: RecordKind, id: &str) -> Result<Option<VersionedData>, ZkError> {
        self.read(&format!("{}/{id}", kind.name())).await
    }

    pub async fn ring(&self) -> Result<Option<VersionedData>, ZkError> {
        self.read("ring").await
    }

    /// What was written without the secret is there, but says nothing.
    async fn read(&self, place: &str) -> Result<Option<VersionedData>, ZkError> {
        match self.limit_raw(self.client.get_data(&format!("{}/{place}", self.path))).await? {
            Ok((data, stat)) => Ok(Some((self.open_record(place, &data).unwrap_or_default(), stat.version))),
            Err(Error::NoNode) => Ok(None),
            Err(e) => Err(trouble(e)),
        }
    }

    /// Writes a member's record over the version that was read (`None`: there was none).
    pub async fn put_member(&self, id: &str, data: &[u8], over: Option<i32>) -> Result<(), ZkError> {
        let (path, data) =
            (self.record_path(RecordKind::Members, id), self.close_record(RecordKind::Members, id, data));
        match over {
            Some(version) => self.limit(self.client.set_data(&path, &data, Some(version))).await.map(|_| ()),
            None => {
                let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
                self.limit(self.client.create(&path, &data, &options)).await.map(|_| ())
            }
        }
    }

    /// Writes a persistent record, whatever there was.
    pub async fn put(&self, kind: RecordKind, id: &str, data: &[u8]) -> Result<(), ZkError> {
        let (path, options) = (self.record_path(kind, id), CreateMode::Persistent.with_acls(Acls::anyone_all()));
        let data = self.close_record(kind, id, data);
        loop {
            match self.limit_raw(self.client.set_data(&path, &data, None)).await? {
                Ok(_) => return Ok(()),
                Err(Error::NoNode) => {}
                Err(e) => return Err(trouble(e)),
            }
            match self.limit(self.client.create(&path, &data, &options)).await {
                Err(ZkError::Conflict) => {}
                done => return done.map(|_| ()),
            }
        }
    }

    /// Removes a record if it is as it should be, in the very version that was looked at.
    pub async fn remove(&self, kind: RecordKind, id: &str, is_right: impl Fn(&[u8]) -> bool) -> Result<(), ZkError> {
        let path = self.record_path(kind, id);
        let Some((_, version)) = self.one(kind, id).await?.filter(|(data, _)| is_right(data)) else { return Ok(()) };
        match self.limit_raw(self.client.delete(&path, Some(version))).await? {
            Ok(()) | Err(Error::NoNode | Error::BadVersion) => Ok(()),
            Err(e) => Err(trouble(e)),
        }
    }

    /// Deletes a member's record if it is still the version that was read.
    pub async fn forget_member(&self, id: &str, version: i32) -> Result<(), ZkError> {
        self.limit(self.client.delete(&self.record_path(RecordKind::Members, id), Some(version))).await
    }

    /// Waits until this front leads. Dropping the future gives the place in the queue up.
    pub async fn lead(&self, id: &str) -> Result<Lead, ZkError> {
        let folder = format!("{}/election", self.path);
        let prefix = LockPrefix::new_curator(&folder, "latch-").map_err(trouble)?;
        let options = LockOptions::new(Acls::anyone_all());
        let lock = self.client.lock(prefix, id.as_bytes(), options).await.map_err(trouble)?;
        Ok(Lead(lock.into_owned()))
    }

    /// Watches for as long as the connection lasts: on a new one, zookeeper-client 0.11.2 tells the server of its one-shot
    /// watches only (`resend_watches` never gets to the lists of the persistent ones), and says nothing.
    pub async fn watch(&self) -> Result<ZkWatches, ZkError> {
        let folder = |kind: RecordKind| format!("{}/{}", self.path, kind.name());
        let folders = [RecordKind::Nodes, RecordKind::Members, RecordKind::Fronts, RecordKind::Doubts].map(folder);
        let below = |path: &str| self.client.watch(path, AddWatchMode::PersistentRecursive);
        Ok(ZkWatches {
            nodes: self.limit(below(&folders[0])).await?,
            members: self.limit(below(&folders[1])).await?,
            fronts: self.limit(below(&folders[2])).await?,
            doubts: self.limit(below(&folders[3])).await?,
            ring: self.limit(self.client.watch(&self.ring_path(), AddWatchMode::Persistent)).await?,
            folders,
        })
    }

    pub fn state(&self) -> ZkConnState {
        state(self.client.state())
    }

    pub fn states(&self) -> States {
        States(self.client.state_watcher())
    }

    /// The session's number, as ZooKeeper's own tools write it.
    pub fn number(&self) -> String {
        self.client.session_id().to_string()
    }

    /// Ends the session: what is ephemeral goes at once. Waits for that, but not for long.
    pub async fn close(self) {
        let mut states = self.states();
        drop(self);
        let closed = async { while states.changed().await != ZkConnState::Over {} };
        let _ = timeout(Duration::from_millis(500), closed).await;
    }

    fn record_path(&self, kind: RecordKind, id: &str) -> String {
        format!("{}/{}/{id}", self.path, kind.name())
    }

    fn ring_path(&self) -> String {
        format!("{}/ring", self.path)
    }

    async fn limit<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, ZkError> {
        self.limit_raw(asked).await?.map_err(trouble)
    }

    /// Nothing is waited for longer than the session lives: by then there is another one.
    async fn limit_raw<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<Result<T, Error>, ZkError> {
        let late = |_| ZkError::Unknown(format!("no answer within {:?}", self.patience));
        timeout(self.patience, asked).await.map_err(late)
    }
}

impl Lead {
    /// Writes the ring over the version that was read, if and only if the lock is still ours: both are checked in the
    /// transaction that writes. The new version.
    pub async fn write_ring(&self, session: &Session, data: &[u8], over: i32) -> Result<i32, ZkError> {
        let data = session.seal.close("ring", data);
        session.limit(self.0.set_data(&session.ring_path(), &data, Some(over))).await.map(|stat| stat.version)
    }

    /// Whether the lock is still there.
    pub async fn stands(&self, session: &Session) -> Result<bool, ZkError> {
        session.limit(session.client.check_stat(self.0.lock_path())).await.map(|stat| stat.is_some())
    }
}

/// The changes of a session's state.
pub struct States(StateWatcher);

impl States {
    pub async fn changed(&mut self) -> ZkConnState {
        state(self.0.changed().await)
    }
}

impl ZkWatches {
    /// The next change. Must not be called again after [`WatchEvent::Ended`]. Cancel safe.
    pub async fn next(&mut self) -> WatchEvent {
        loop {
            let (kind, event) = tokio::select! {
                event = self.nodes.changed() => (Some(RecordKind::Nodes), event),
                event = self.members.changed() => (Some(RecordKind::Members), event),
                event = self.fronts.changed() => (Some(RecordKind::Fronts), event),
                event = self.doubts.changed() => (Some(RecordKind::Doubts), event),
                event = self.ring.changed() => (None, event),
            };
            if let Some(seen) = self.seen(kind, &event) {
                return seen;
            }
        }
    }

    fn seen(&self, kind: Option<RecordKind>, event: &WatchedEvent) -> Option<WatchEvent> {
        if event.event_type == EventType::Session {
            return event.session_state.is_terminated().then_some(WatchEvent::Ended);
        }
        let Some(kind) = kind else { return Some(WatchEvent::Ring) };
        let folder = &self.folders[kind as usize];
        let id = event.path.strip_prefix(folder.as_str())?.strip_prefix('/')?;
        Some(WatchEvent::Record(kind, id.to_owned()))
    }
}

fn state(state: SessionState) -> ZkConnState {
    match state {
        SessionState::SyncConnected => ZkConnState::Connected,
        // A server that cannot write is of no use here; it is left for another one.
        SessionState::Disconnected | SessionState::ConnectedReadOnly => ZkConnState::Away,
        _ => ZkConnState::Over,
    }
}

fn trouble(error: Error) -> ZkError {
    match error {
        Error::BadVersion | Error::NodeExists | Error::NoNode => ZkError::Conflict,
        Error::RuntimeInconsistent => ZkError::Fenced,
        Error::ConnectionLoss | Error::Timeout | Error::Throttled => ZkError::Unknown(reason(&error)),
        other => ZkError::Over(reason(&other)),
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::NoHosts | Error::Timeout => "no server of it can be reached".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for ZkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ZkError::Over(why) | ZkError::Unknown(why) => f.write_str(why),
            ZkError::Conflict => f.write_str("somebody else wrote at the same time"),
            ZkError::Fenced => f.write_str("the lock is lost"),
        }
    }
}

impl std::error::Error for ZkError {}
