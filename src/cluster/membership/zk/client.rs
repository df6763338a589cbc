//! The only file that names the ZooKeeper client: one session, and what the cluster does with it.
//!
//! Two things to know of the servers. Before 3.8.2 (Debian has 3.8.0), `create2` inside a transaction answers with an
//! invalid `Stat` (ZOOKEEPER-4026): so `/ring` is created empty, outside any transaction, and transactions only set data;
//! versions come from reads and from set data. And a persistent watch and a one-shot watch on the same znode disturb each
//! other (ZOOKEEPER-4466): so `/election`, where the lock recipe sets one-shot watches, is not below any of ours.

mod others;
mod sealing;

use super::record::{RecordKind, Records, WatchEvent};
use super::seal::Seal;
use super::trouble::{SaidOnce, ZkError};
use crate::config::{ClusterConfig, ZookeeperConfig, check_id};
use others::SealedByOthers;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;
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

/// How the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZkConnState {
    Connected,
    /// Lost, and looked for again.
    Away,
    Over,
}

/// Where the ring is.
const RING: &str = "ring";

/// What is in a znode, and its version.
pub type VersionedData = (Vec<u8>, i32);

/// A session. Clones share it; it is closed when the last one is dropped. Whatever it writes is sealed with the cluster's
/// secret. What it reads without that seal, or may not read, is left out, and named in the log once.
#[derive(Clone, Debug)]
pub struct Session {
    client: Client,
    path: String,
    patience: Duration,
    seal: Seal,
    /// What the log has said of the records.
    pub named: SaidOnce,
    others: SealedByOthers,
}

/// No record but the ring is larger than some hundred bytes; what is larger than this is none of ours.
const LARGEST: usize = 64 << 10;
/// So many records are read at once.
const AT_ONCE: usize = 64;
/// A record is written so often again when somebody else is in the way.
const TRIES: usize = 8;
/// Stands for whatever version there is, of a record that may not be read.
const ANY: i32 = -1;

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

impl Session {
    /// Tries all servers for about the session's time. `named`: what the log has said.
    pub async fn open(
        settings: &ZookeeperConfig,
        cluster: &ClusterConfig,
        named: &SaidOnce,
    ) -> Result<Session, ZkError> {
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
        Ok(Session {
            patience,
            seal: Seal::new(cluster, &path),
            path,
            client,
            named: named.clone(),
            others: SealedByOthers::default(),
        })
    }

    /// For how long a session lives that nobody hears of.
    pub fn lifetime(&self) -> Duration {
        self.patience
    }

    /// What is refused of one record is that record's trouble alone; other errors are everybody's.
    fn leave_out(&self, trouble: ZkError) -> Result<(), ZkError> {
        let ZkError::Refused { path, why } = trouble else { return Err(trouble) };
        self.named.left_out(&path, &why);
        Ok(())
    }

    /// Makes the folders, and the ring as an empty znode. Where they are there, nobody needs to be allowed to.
    pub async fn prepare(&self) -> Result<(), ZkError> {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        for name in ["nodes", "members", "fronts", "doubts", "election"] {
            let folder = self.path_of(name);
            if !self.exists(&folder).await? {
                self.limit(&folder, self.client.mkdir(&folder, &options)).await?;
            }
        }
        let ring = self.path_of(RING);
        if self.exists(&ring).await? {
            return Ok(());
        }
        match self.limit(&ring, self.client.create(&ring, b"", &options)).await {
            Ok(_) | Err(ZkError::Conflict) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    async fn exists(&self, path: &str) -> Result<bool, ZkError> {
        Ok(self.limit(path, self.client.check_stat(path)).await?.is_some())
    }

    /// Writes an ephemeral record. What an earlier session left under the same id is taken over: that process is dead, or
    /// has been replaced by this one.
    pub async fn register(&self, kind: RecordKind, id: &str, data: &[u8]) -> Result<(), ZkError> {
        for _ in 0..TRIES {
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
        for _ in 0..TRIES {
            match self.limit_raw(self.client.create(&path, &closed, &options)).await? {
                Ok(_) => return Ok(true),
                Err(Error::NodeExists) => {}
                // Somebody has deleted the folder.
                Err(Error::NoNode) => self.prepare().await?,
                Err(e) => return Err(trouble(&path, e)),
            }
            match self.ownership(kind, id).await? {
                Ownership::Ours => match self.update(kind, id, data).await {
                    // Somebody has closed it.
                    Err(ZkError::Refused { .. }) => self.delete(&path).await?,
                    done => return done.map(|()| true),
                },
                Ownership::Missing => {}
                Ownership::Foreign => return Ok(false),
            }
        }
        Err(ZkError::Conflict)
    }

    async fn delete(&self, path: &str) -> Result<(), ZkError> {
        match self.limit_raw(self.client.delete(path, None)).await? {
            Ok(()) | Err(Error::NoNode) => Ok(()),
            Err(e) => Err(trouble(path, e)),
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
        let (path, data) = (self.record_path(kind, id), self.close_record(kind, id, data));
        self.limit(&path, self.client.set_data(&path, &data, None)).await.map(|_| ())
    }

    pub async fn ownership(&self, kind: RecordKind, id: &str) -> Result<Ownership, ZkError> {
        let path = self.record_path(kind, id);
        let stat = self.limit(&path, self.client.check_stat(&path)).await?;
        Ok(match stat {
            None => Ownership::Missing,
            Some(stat) if stat.ephemeral_owner == self.client.session_id().0 => Ownership::Ours,
            Some(_) => Ownership::Foreign,
        })
    }

    /// Asks the leader of the ensemble for what this server may not have heard yet.
    pub async fn sync(&self) -> Result<(), ZkError> {
        self.limit(&self.path, self.client.sync(&self.path)).await
    }

    /// The ids of a kind. What is none says nothing, whatever is in it.
    pub async fn ids(&self, kind: RecordKind) -> Result<Vec<String>, ZkError> {
        let folder = self.path_of(kind.name());
        let names = self.limit(&folder, self.client.list_children(&folder)).await?;
        let (ids, odd): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| check_id(name).is_ok());
        odd.iter().for_each(|name| self.named.left_out(&self.record_path(kind, name), "its name is no id"));
        self.others.are_there(kind, &ids);
        Ok(ids)
    }

    /// All records of a kind.
    pub async fn all(&self, kind: RecordKind) -> Result<Records<Vec<u8>>, ZkError> {
        self.some(kind, &self.ids(kind).await?).await
    }

    /// Those of these records that are there.
    pub async fn some(&self, kind: RecordKind, ids: &[String]) -> Result<Records<Vec<u8>>, ZkError> {
        let mut records = Records::new();
        for ids in ids.chunks(AT_ONCE) {
            // A request goes out when its future is made: these are on their way before the first is waited for.
            let paths: Vec<String> = ids.iter().map(|id| self.record_path(kind, id)).collect();
            let asked: Vec<_> = paths.iter().map(|path| self.client.get_data(path)).collect();
            for ((id, path), answer) in ids.iter().zip(&paths).zip(asked) {
                let place = format!("{}/{id}", kind.name());
                match self.limit_raw(answer).await? {
                    Ok((data, _)) => records.extend(self.open_record(&place, &data).map(|data| (id.clone(), data))),
                    // Gone in between.
                    Err(Error::NoNode) => self.others.note(&place, false),
                    Err(e) => self.leave_out(trouble(path, e))?,
                }
            }
        }
        Ok(records)
    }

    pub async fn one(&self, kind: RecordKind, id: &str) -> Result<Option<VersionedData>, ZkError> {
        self.read(&format!("{}/{id}", kind.name())).await
    }

    pub async fn ring(&self) -> Result<Option<VersionedData>, ZkError> {
        self.read(RING).await
    }

    /// What was written without the secret, or may not be read, is there, but says nothing.
    async fn read(&self, place: &str) -> Result<Option<VersionedData>, ZkError> {
        match self.raw(place).await {
            Ok(found) => Ok(found.map(|(data, version)| (self.open_record(place, &data).unwrap_or_default(), version))),
            Err(trouble) => self.leave_out(trouble).map(|()| Some((Vec::new(), ANY))),
        }
    }

    async fn raw(&self, place: &str) -> Result<Option<VersionedData>, ZkError> {
        let path = self.path_of(place);
        match self.limit_raw(self.client.get_data(&path)).await? {
            Ok((data, stat)) => Ok(Some((data, stat.version))),
            Err(Error::NoNode) => {
                self.others.note(place, false);
                Ok(None)
            }
            Err(e) => Err(trouble(&path, e)),
        }
    }

    /// Writes a member's record over the version that was read (`None`: there was none).
    pub async fn put_member(&self, id: &str, data: &[u8], over: Option<i32>) -> Result<(), ZkError> {
        let (kind, options) = (RecordKind::Members, CreateMode::Persistent.with_acls(Acls::anyone_all()));
        let (path, data) = (self.record_path(kind, id), self.close_record(kind, id, data));
        if let Some(version) = over {
            match self.limit(&path, self.client.set_data(&path, &data, Some(version))).await {
                // One that says nothing to anybody, and that nobody can change, makes place.
                Err(ZkError::Refused { .. }) => self.limit(&path, self.client.delete(&path, Some(version))).await?,
                done => return done.map(|_| ()),
            }
        }
        self.limit(&path, self.client.create(&path, &data, &options)).await.map(|_| ())
    }

    /// Writes a persistent record, whatever there was.
    pub async fn put(&self, kind: RecordKind, id: &str, data: &[u8]) -> Result<(), ZkError> {
        let (path, options) = (self.record_path(kind, id), CreateMode::Persistent.with_acls(Acls::anyone_all()));
        let data = self.close_record(kind, id, data);
        for _ in 0..TRIES {
            match self.limit_raw(self.client.set_data(&path, &data, None)).await? {
                Ok(_) => return Ok(()),
                Err(Error::NoNode) => {}
                Err(Error::NoAuth) => self.delete(&path).await?,
                Err(e) => return Err(trouble(&path, e)),
            }
            match self.limit(&path, self.client.create(&path, &data, &options)).await {
                Err(ZkError::Conflict) => {}
                done => return done.map(|_| ()),
            }
        }
        Err(ZkError::Conflict)
    }

    /// Removes a record if it is as it should be, in the very version that was looked at.
    pub async fn remove(&self, kind: RecordKind, id: &str, is_right: impl Fn(&[u8]) -> bool) -> Result<(), ZkError> {
        let path = self.record_path(kind, id);
        let Some((_, version)) = self.one(kind, id).await?.filter(|(data, _)| is_right(data)) else { return Ok(()) };
        match self.limit_raw(self.client.delete(&path, Some(version))).await? {
            Ok(()) | Err(Error::NoNode | Error::BadVersion) => Ok(()),
            Err(e) => Err(trouble(&path, e)),
        }
    }

    /// Deletes a member's record if it is still the version that was read.
    pub async fn forget_member(&self, id: &str, version: i32) -> Result<(), ZkError> {
        let path = self.record_path(RecordKind::Members, id);
        self.limit(&path, self.client.delete(&path, Some(version))).await
    }

    /// Waits until this front leads. Dropping the future gives the place in the queue up.
    pub async fn lead(&self, id: &str) -> Result<Lead, ZkError> {
        let folder = self.path_of("election");
        let prefix = LockPrefix::new_curator(&folder, "latch-").map_err(|e| trouble(&folder, e))?;
        let options = LockOptions::new(Acls::anyone_all());
        let lock = self.client.lock(prefix, id.as_bytes(), options).await.map_err(|e| trouble(&folder, e))?;
        Ok(Lead(lock.into_owned()))
    }

    /// Watches for as long as the connection lasts: on a new one, zookeeper-client 0.11.2 tells the server of its one-shot
    /// watches only (`resend_watches` never gets to the lists of the persistent ones), and says nothing.
    pub async fn watch(&self) -> Result<ZkWatches, ZkError> {
        let folders = RecordKind::ALL.map(|kind| self.path_of(kind.name()));
        let below =
            async |path: &str| self.limit(path, self.client.watch(path, AddWatchMode::PersistentRecursive)).await;
        let ring = self.path_of(RING);
        Ok(ZkWatches {
            nodes: below(&folders[0]).await?,
            members: below(&folders[1]).await?,
            fronts: below(&folders[2]).await?,
            doubts: below(&folders[3]).await?,
            ring: self.limit(&ring, self.client.watch(&ring, AddWatchMode::Persistent)).await?,
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

    pub fn record_path(&self, kind: RecordKind, id: &str) -> String {
        format!("{}/{}/{id}", self.path, kind.name())
    }

    /// Whose record of this kind is there.
    pub fn id_in<'a>(&self, kind: RecordKind, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&self.path)?.strip_prefix('/')?.strip_prefix(kind.name())?.strip_prefix('/')
    }

    /// Of what is below the cluster's path.
    fn path_of(&self, place: &str) -> String {
        format!("{}/{place}", self.path)
    }

    async fn limit<T>(&self, path: &str, asked: impl Future<Output = Result<T, Error>>) -> Result<T, ZkError> {
        self.limit_raw(asked).await?.map_err(|e| trouble(path, e))
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
        let (path, data) = (session.path_of(RING), session.seal.close(RING, data));
        session.limit(&path, self.0.set_data(&path, &data, Some(over))).await.map(|stat| stat.version)
    }

    /// Removes a ring that may not be written, as long as the lock is ours.
    pub async fn remove_ring(&self, session: &Session) -> Result<(), ZkError> {
        let path = session.path_of(RING);
        session.limit(&path, self.0.delete(&path, None)).await
    }

    /// Whether the lock is still there.
    pub async fn stands(&self, session: &Session) -> Result<bool, ZkError> {
        session.exists(self.0.lock_path()).await
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
        // Else it is none of ours, as is what is below a record.
        check_id(id).is_ok().then(|| WatchEvent::Record(kind, id.to_owned()))
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

fn trouble(path: &str, error: Error) -> ZkError {
    let why = match error {
        Error::BadVersion | Error::NodeExists | Error::NoNode => return ZkError::Conflict,
        Error::RuntimeInconsistent => return ZkError::Fenced,
        Error::ConnectionLoss | Error::Timeout | Error::Throttled => return ZkError::Unknown(reason(&error)),
        Error::NoAuth => "not authorized: it and the folder that it is in need the ACL world:anyone:cdrwa".to_owned(),
        Error::NotEmpty => "there is something below it: delete that".to_owned(),
        Error::NoChildrenForEphemerals => "what it is in is ephemeral: delete that".to_owned(),
        Error::InvalidAcl | Error::QuotaExceeded | Error::BadArguments(_) | Error::Unimplemented => error.to_string(),
        over => return ZkError::Over(reason(&over)),
    };
    ZkError::Refused { path: path.to_owned(), why }
}

fn reason(error: &Error) -> String {
    match error {
        Error::NoHosts | Error::Timeout => "no server of it can be reached".to_owned(),
        other => other.to_string(),
    }
}
