//! Membership through ZooKeeper: any number of fronts and nodes on any machines, and no front that the others need.
//!
//! - [`record`] (PURE): what the znodes hold; [`builder`] (PURE): from records to views, and to the ring to be written
//! - `gone` (PURE): whether nodes are lost or the network; `room` (PURE): who fits on a ring; `seal` (PURE): who wrote it; `forget` (PURE): old words
//! - `own` (PURE): what others are told of this front
//! - `client`: the one file that names the ZooKeeper client; `front`: a front's session, election and writing
//! - [`register`]: a node's own entry; `leave`: its end; [`lookup`]: fronts for a client that knows none; `saved`: the last ring on disk
//! - `trouble`: why something cannot be done, and what of ZooKeeper's records the log has named
//! - `changes`: what the admin API changes; `away`: what was told while ZooKeeper was not there

pub mod builder;
pub mod record;

mod away;
pub mod changes;
mod client;
mod forget;
mod front;
mod gone;
mod leave;
mod lookup;
mod own;
mod register;
mod room;
mod saved;
mod seal;
mod trouble;

pub use leave::Station;
pub use lookup::fronts;
pub use record::{Registration, id_on};
pub use register::register;

use super::members::MemberSeat;
use crate::aside::aside;
use crate::clock::{self, Tick};
use crate::cluster::health::stale::Doubts;
use crate::cluster::link::Link;
use crate::cluster::views::View;
use crate::config::{self, Address, Config, NodeConfig, NodePlace, ZookeeperConfig, authority};
use crate::net::drain::StartError;
use builder::{Builder, Due, WorldEvent};
use client::{Session, ZkConnState};
use own::MachineAddresses;
use record::{FrontRecord, MemberWish};
use saved::SavedRing;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use trouble::SaidOnce;

/// At a start a server of ZooKeeper is looked for so long, and, where there is one, waited for so long.
const REACHED: Duration = Duration::from_secs(1);
const AT_ONCE: Duration = Duration::from_secs(8);

/// What a front knows by ZooKeeper. The admin API and the front's session meet here.
#[derive(Debug)]
pub struct Keeper {
    pub settings: ZookeeperConfig,
    cluster: config::ClusterConfig,
    /// This front's id.
    pub id: String,
    /// Others reach this machine by it.
    pub host: String,
    own: MachineAddresses,
    builder: Mutex<Builder>,
    saved: SavedRing,
    line: Mutex<ZkLine>,
    session: Mutex<Option<Session>>,
    /// Grows with whatever changes.
    changes: watch::Sender<u64>,
    /// There may be something for the session to do.
    wake: Notify,
    refused: AtomicU64,
    /// This front is about to end.
    withdrawn: AtomicBool,
    /// Of this process.
    boot: u64,
    /// How it stands with this front's own record.
    stake: watch::Sender<Stake>,
    doubts: Arc<Doubts>,
    away: Away,
    named: SaidOnce,
}

/// How it stands with ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZkLine {
    /// With the session's number.
    Up(String),
    /// With the reason.
    Down(String),
}

/// How it stands with a front's own record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stake {
    /// It has not been written yet, or is waited for: another front of that id may be dead, and its session not over.
    #[default]
    Open,
    Ours,
    /// Another front has the id, and lives.
    Lost,
}

/// The id of this front. `config` holds the addresses that were bound.
pub fn front_id(config: &Config) -> String {
    let port = config.proxy.listen.first().map_or(0, |listen| listen.port());
    id_on(&config.advertised(), &port.to_string())
}

/// A front of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontPeer {
    pub id: String,
    pub record: FrontRecord,
    /// It is this one: its addresses are as they are of use on this machine.
    pub own: bool,
}

impl Keeper {
    /// With the ring that was saved. `config` holds the addresses that were bound.
    pub fn new(config: &Config, settings: &ZookeeperConfig, doubts: Arc<Doubts>) -> Keeper {
        let host = config.advertised();
        let listen = config.proxy.listen.first().copied();
        let saved = SavedRing::in_folder(&config.state.path, seal::Seal::new(&config.cluster, &settings.path));
        let own = MachineAddresses::new(config, &host);
        if own.public_proxy.is_empty() && listen.is_some() {
            let (proxy, cure) = (&own.proxy, "set [proxy] listen to an address that others reach, or \"0.0.0.0:3128\"");
            tracing::warn!("the proxy listens on {proxy} only: clients elsewhere are not told of this front; {cure}");
        }
        let builder = Builder::new(&config.ring, &host, settings.session, saved.load());
        let builder = builder.knowing(Link::new(&config.cluster).able());
        Keeper {
            settings: settings.clone(),
            cluster: config.cluster.clone(),
            boot: RandomState::new().hash_one(std::process::id()) & ((1 << 53) - 1),
            stake: watch::Sender::default(),
            id: front_id(config),
            own,
            builder: Mutex::new(builder),
            host,
            saved,
            line: Mutex::new(ZkLine::Down("not connected yet".to_owned())),
            session: Mutex::default(),
            changes: watch::Sender::new(0),
            wake: Notify::new(),
            refused: AtomicU64::new(0),
            withdrawn: AtomicBool::new(false),
            doubts,
            away: Away::default(),
            named: SaidOnce::default(),
        }
    }

    /// The id of a node that runs on this machine.
    pub fn own_id(&self, name: &str) -> String {
        let prefix = id_on(&self.host, "");
        if name.starts_with(&prefix) { name.to_owned() } else { format!("{prefix}{name}") }
    }

    /// Where a node that is started here listens: the port that it had, so that others find it also while ZooKeeper
    /// cannot tell them, or else any.
    pub fn listen(&self, id: &str) -> Address {
        let kept = self.seats().into_iter().find(|seat| seat.spec.id == id).map(|seat| seat.node.address.clone());
        let ours = |address: &Address| address.host() == Some(self.host.as_str());
        kept.filter(ours).unwrap_or_else(|| Address::Tcp(authority(&self.host, 0)))
    }

    pub fn on(&self, event: WorldEvent) {
        match &event {
            WorldEvent::Nodes(nodes) => self.meets(nodes),
            WorldEvent::Fronts(fronts) => self.notes_fronts(fronts),
            _ => {}
        }
        self.builder().on(event, clock::tick().0);
        self.changed();
    }

    pub fn due(&self) -> Due {
        self.builder().due(clock::tick().0)
    }

    /// The session is over, and with it the lock: a ring that is due is another front's to write.
    fn loses_lead(&self) {
        let owed = {
            let mut builder = self.builder();
            // Time alone makes those that linger go.
            builder.on(WorldEvent::Later, clock::tick().0);
            builder.is_owed()
        };
        if owed {
            tracing::warn!("the lock was lost with the session: the ring that this front was to write is not written");
            self.refused();
        }
        self.on(WorldEvent::Leads(false));
    }

    /// Members' records that are to be deleted.
    fn forgettable(&self) -> Vec<String> {
        self.builder().forgettable(clock::tick().0)
    }

    /// Members for whom, or for whose weight, there is no room.
    fn left_out(&self) -> Vec<String> {
        self.builder().left_out().to_vec()
    }

    pub fn view(&self) -> Arc<View> {
        self.builder().view()
    }

    pub fn seats(&self) -> Vec<MemberSeat> {
        self.builder().seats().cloned().collect()
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub fn line(&self) -> ZkLine {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rings that this front was to write and did not, because the lock was lost.
    pub fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The nodes that were added for this machine.
    pub fn to_spawn(&self) -> Vec<NodeConfig> {
        let prefix = id_on(&self.host, "");
        let builder = self.builder();
        let ours = builder
            .members()
            .iter()
            .filter(|(id, said)| said.spawn && said.state != MemberWish::Removed && id.starts_with(&prefix));
        ours.map(|(id, said)| NodeConfig { id: id.clone(), place: NodePlace::Spawn, weight: said.weight.unwrap_or(1) })
            .collect()
    }

    /// For how long a removed node may finish what it has.
    pub fn drain_of(&self, id: &str) -> Duration {
        let millis = self.builder().members().get(id).and_then(|said| said.drain);
        millis.map(Duration::from_millis).unwrap_or_default()
    }

    /// Whether a node has left because it was told to.
    pub fn is_removed(&self, id: &str) -> bool {
        self.builder().members().get(id).is_some_and(|said| said.state == MemberWish::Removed)
    }

    /// Whether a node is registered now.
    pub fn is_registered(&self, id: &str) -> bool {
        self.builder().is_registered(id)
    }

    /// All fronts that live, as far as is known; this one is always among them.
    pub fn fronts(&self) -> Vec<FrontPeer> {
        let mut records = self.builder().fronts().clone();
        let own = FrontRecord { proxy: self.own.proxy.clone(), admin: self.own.admin.clone(), ..self.record() };
        records.insert(self.id.clone(), own);
        records.into_iter().map(|(id, record)| FrontPeer { own: id == self.id, id, record }).collect()
    }

    /// Whether the others read what this front says of itself: it may have been closed or written over.
    fn is_listed(&self) -> bool {
        self.builder().fronts().get(&self.id).is_some_and(|own| own.boot == self.boot)
    }

    /// What this front tells others of itself.
    pub fn record(&self) -> FrontRecord {
        let builder = self.builder();
        FrontRecord {
            proxy: self.own.public_proxy.clone(),
            admin: self.own.public_admin.clone(),
            epoch: builder.view().epoch,
            leads: builder.leads(),
            boot: self.boot,
            tls: self.cluster.secret.is_some(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Writes the ring to disk, when it is another than the one that is there.
    pub async fn save(&self, last: &mut Option<record::RingDoc>) {
        let doc = self.builder().to_save();
        let Some(doc) = doc.filter(|doc| last.as_ref() != Some(doc)) else { return };
        let (saved, copy) = (self.saved.clone(), doc.clone());
        match aside("save", move || saved.save(&copy)).await.flatten() {
            Ok(()) => *last = Some(doc),
            Err(e) => tracing::warn!("{}: {e}: the ring is not kept for a restart", self.saved.path().display()),
        }
    }

    /// Whether somebody could take over what the nodes of this front hold.
    pub fn has_heirs(&self) -> bool {
        self.builder().has_heirs()
    }

    /// Takes back what others are told of this front: it serves nobody any more.
    pub async fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Relaxed);
        if let Ok(session) = self.session()
            && let Err(trouble) = session.withdraw(record::RecordKind::Fronts, &self.id).await
        {
            tracing::debug!("ZooKeeper: {trouble}");
        }
    }

    /// Waits until it is certain that another front has the id of this one, which is no reason to wait for anything but
    /// the end.
    pub async fn refused_id(&self) -> StartError {
        if self.stake.subscribe().wait_for(|stake| *stake == Stake::Lost).await.is_err() {
            std::future::pending::<()>().await;
        }
        StartError(format!(
            "another front runs as `{}`, and an id is one front's: give each machine an `advertise` of its own ([zookeeper], or \
             --advertise), or another port",
            self.id
        ))
    }

    /// Whether the others know of this front, as far as anybody can be told.
    pub fn is_known(&self) -> bool {
        *self.stake.borrow() == Stake::Ours || matches!(self.line(), ZkLine::Down(_))
    }

    /// Makes sure that the nodes that are to run here run nowhere else, as far as ZooKeeper can be asked at once. Errors
    /// name the cure.
    pub async fn check_own(&self, ids: &[String]) -> Result<(), StartError> {
        let asked = async {
            let session = Session::open(&self.settings, &self.cluster, &self.named).await?;
            let taken = register::first_taken(&session, &self.cluster, ids).await;
            session.close().await;
            taken
        };
        if !timeout(REACHED, self.is_reachable()).await.unwrap_or(false) {
            return Ok(());
        }
        match timeout(AT_ONCE, asked).await {
            Ok(Ok(Some(error))) => Err(error),
            // The nodes find out by themselves.
            Ok(Ok(None) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Whether anything listens where a server should be.
    async fn is_reachable(&self) -> bool {
        for server in self.settings.connect.split(',') {
            if TcpStream::connect(server).await.is_ok() {
                return true;
            }
        }
        false
    }

    fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Relaxed)
    }

    /// Ends the session, when there is one.
    pub async fn close(&self) {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(session) = session {
            session.close().await;
        }
    }

    /// All records were read, and who was not known is noted. `times_alone`: [`Doubts::times_alone`] before that.
    fn found(&self, session: &str, times_alone: u64) {
        let before = std::mem::replace(&mut *self.lock_line(), ZkLine::Up(session.to_owned()));
        if before != ZkLine::Up(session.to_owned()) {
            tracing::info!(session, "ZooKeeper is there");
        }
        self.doubts.met_all(times_alone);
        self.on(WorldEvent::Connected(true));
    }

    fn lost(&self, why: &str) {
        let before = std::mem::replace(&mut *self.lock_line(), ZkLine::Down(why.to_owned()));
        if matches!(before, ZkLine::Up(_)) {
            self.leaves();
            tracing::warn!("ZooKeeper is gone ({why}): the ring stands as it is, and admin changes are refused");
        } else if before != ZkLine::Down(why.to_owned()) {
            tracing::warn!("no ZooKeeper at {}: {why}", self.settings.connect);
        }
        self.on(WorldEvent::Connected(false));
    }

    fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn hold(&self, session: Option<Session>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    /// A session that can be asked now, or why there is none.
    fn session(&self) -> Result<Session, String> {
        if let ZkLine::Down(why) = self.line() {
            return Err(why);
        }
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        session.filter(|s| s.state() == ZkConnState::Connected).ok_or_else(|| "the connection is lost".to_owned())
    }

    /// There is something to be written.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
        self.wake.notify_one();
    }

    fn lock_line(&self) -> MutexGuard<'_, ZkLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn builder(&self) -> MutexGuard<'_, Builder> {
        self.builder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was told while ZooKeeper was not there, and to whom.
#[derive(Debug, Default)]
struct Away {
    /// Who was registered as it was last read, with their boot ids.
    known: Mutex<BTreeMap<String, u64>>,
    /// When something was last told to the nodes, in milliseconds.
    told: AtomicU64,
    /// Fronts whose session has ended, and since when.
    past: Mutex<BTreeMap<String, (FrontRecord, Tick)>>,
}
