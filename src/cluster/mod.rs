//! Who is in the ring: static members, health, supervision; publishes immutable, epoch-numbered views.
//!
//! - [`views`]: what workers route by, and what they say
//! - [`health`]: which nodes answer, which are slow, which may hold what was purged
//! - [`supervision`]: the nodes that run here
//! - [`membership`]: who is in the ring, by the file and the admin API or by ZooKeeper
//! - [`invalidation`]: telling all who may hold a copy
//! - `link`: one control call; `vital`: tasks that everything hangs on
//! - `ops`: what the admin API asks for and changes; `follower`: what a front with ZooKeeper does about its members

pub mod health;
pub mod invalidation;
pub mod membership;
pub mod supervision;
pub mod views;

#[cfg(test)]
pub(crate) mod fake_node;
mod follower;
mod link;
pub mod ops;
mod vital;

use crate::clock;
use crate::config::{Config, NodePlace};
use crate::net::drain::StartError;
use health::{Health, undelivered};
use invalidation::broadcast::{self, FrontListener, Hearing};
use invalidation::queues::{self, Invalid};
use link::Link;
use membership::departed::Departed;
use membership::members::{MemberSeat, Members};
use membership::state::{self, StateFile};
use membership::zk::Keeper;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use supervision::Supervisor;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use views::report::{self, Heard, Incoming, Reports};
use views::{Membership, Node, Outdated, Report, View};

/// What it means that no node is on the ring, and the cure.
pub const NO_NODES: &str = "every request is answered 503 until there is another: `ringhold nodes add ID --spawn` adds one, \
                            `ringhold nodes reset` goes back to those of the configuration file";

/// Reports of workers that wait to be read.
const REPORTS: usize = 1024;

/// What nodes miss within so long is written together.
const GATHER: Duration = Duration::from_millis(20);
/// For so long an answer that names who has missed something waits until that is kept.
const UNTIL_KEPT: Duration = Duration::from_secs(1);
/// So long after a file could not be written.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The program that runs here, whatever has become of its file: nodes have to be of the front's own version.
const OURSELVES: &str = "/proc/self/exe";

/// The control plane of a front: one on the control thread.
#[derive(Debug)]
pub struct ControlPlane {
    config: Config,
    /// Without ZooKeeper.
    members: Mutex<Members>,
    /// With ZooKeeper.
    keeper: Option<Arc<Keeper>>,
    /// Changes come one after the other, each saved before it is true.
    changing: tokio::sync::Mutex<()>,
    state: StateFile,
    /// `None`: there is no folder for state, or it is given back.
    lock: Mutex<Option<state::Lock>>,
    views: watch::Sender<Arc<View>>,
    health: Arc<Health>,
    /// `None`: this front spawns no nodes.
    supervisor: Option<Supervisor>,
    reports: Reports,
    departed: Departed,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// How many nodes are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    pub up: usize,
    pub nodes: usize,
}

impl ControlPlane {
    /// Reads the saved changes, publishes the first view, starts to probe and (`spawn`) the nodes of this machine.
    /// Must be called inside a runtime; its tasks stay there.
    pub async fn start(config: &Config, spawn: bool) -> Result<Arc<ControlPlane>, StartError> {
        ControlPlane::start_with(config, spawn.then(|| PathBuf::from(OURSELVES))).await
    }

    /// The same with the program to spawn.
    async fn start_with(config: &Config, program: Option<PathBuf>) -> Result<Arc<ControlPlane>, StartError> {
        if let Some(settings) = &config.zookeeper {
            return ControlPlane::start_remote(config, settings, program).await;
        }
        let lock = own_state(config)?;
        let state = StateFile::in_folder(&config.state.path);
        let delta = state.load(&config.cluster)?;
        let health = Health::new(config, undelivered::load(&config.state.path));
        let supervisor = program.map(|p| Supervisor::new(p, config, health.clone())).transpose()?;
        let sockets = supervisor.as_ref().map(Supervisor::sockets);
        let members = Members::new(&config.ring, &config.nodes, delta.clone(), sockets);
        let mut members = members.knowing(Link::new(&config.cluster).able());
        members.settle_epoch(members.view().ring.digest());
        if *members.delta() != delta
            && let Err(e) = state.save(members.delta())
        {
            tracing::warn!("{}: {e}: changes of the members will not be kept", state.path().display());
        }
        if let Some(changes) = members.delta().changes() {
            let (saved, file) = (state.path().display(), &config.source);
            tracing::warn!(
                "{saved} changes the nodes of {file}: {changes} (`ringhold nodes reset` goes back to that file)"
            );
        }
        let (reports, incoming) = report::channel(REPORTS);
        let cluster = Arc::new(ControlPlane {
            config: config.clone(),
            views: watch::Sender::new(Arc::new(members.view())),
            members: Mutex::new(members),
            keeper: None,
            changing: tokio::sync::Mutex::new(()),
            state,
            lock: Mutex::new(lock),
            health,
            supervisor,
            reports,
            departed: Departed::default(),
            tasks: Mutex::default(),
        });
        cluster.begin(incoming);
        Ok(cluster)
    }

    fn begin(self: &Arc<ControlPlane>, incoming: Incoming) {
        for seat in self.members().seats() {
            self.run(&seat.spec.place, &seat.node);
        }
        self.listen(incoming);
        let cluster = self.clone();
        let ends = vital::keep("the end of hand-overs", move || cluster.clone().renew_views());
        self.tasks().push(ends.abort_handle());
    }

    /// Hears what workers report.
    fn listen(self: &Arc<ControlPlane>, incoming: Incoming) {
        let (invalid, queue) = mpsc::channel(queues::QUEUE);
        let fanout = tokio::spawn(self.clone().invalidate(queue));
        let (cluster, incoming) = (self.clone(), Arc::new(tokio::sync::Mutex::new(incoming)));
        let reader = vital::keep("the reader of reports", move || {
            read_reports(cluster.clone(), incoming.clone(), invalid.clone())
        });
        let health = self.health.clone();
        let judge = vital::keep("the judge of slow nodes", move || health.clone().judge());
        let cluster = self.clone();
        let keeping = vital::keep("the keeper of doubts", move || cluster.clone().keep_doubts());
        self.tasks().extend([&fanout, &reader, &judge, &keeping].map(|task| task.abort_handle()));
    }

    /// Has what nodes missed heeded, kept and shared, for ever.
    async fn keep_doubts(self: Arc<ControlPlane>) {
        let doubts = self.health.doubts().clone();
        undelivered::reserve(&self.config.state.path, &doubts).await;
        let (mut changes, mut failed) = (doubts.changes(), false);
        loop {
            changes.mark_unchanged();
            self.health.heed();
            let kept = undelivered::keep(&self.config.state.path, &doubts).await;
            if let Err(why) = &kept
                && !failed
            {
                tracing::warn!("{why}");
            }
            failed = kept.is_err();
            if let Some(keeper) = &self.keeper {
                keeper.wake();
            }
            sleep(GATHER).await;
            let again = if failed { TRY_AGAIN } else { Duration::MAX };
            if let Ok(Err(_)) = timeout(again, changes.changed()).await {
                return;
            }
        }
    }

    /// Waits until what was noted is on disk, and with ZooKeeper where all fronts find it, as far as that can be. False: it cannot
    /// be in either place.
    async fn until_kept(&self) -> bool {
        let doubts = self.health.doubts();
        let mut changes = doubts.changes();
        let is_shared = || self.keeper.as_ref().is_none_or(|keeper| !keeper.has_to_share());
        let kept = async { while (doubts.to_keep().is_some() || !is_shared()) && changes.changed().await.is_ok() {} };
        let _ = timeout(UNTIL_KEPT, kept).await;
        !doubts.is_unwritten() || (self.keeper.is_some() && is_shared())
    }

    /// Starts a node where it is ours to start, and probes it.
    fn run(&self, place: &NodePlace, node: &Arc<Node>) {
        self.health.follow(node);
        if let (NodePlace::Spawn, Some(supervisor)) = (place, &self.supervisor) {
            supervisor.keep(node);
        }
    }

    /// What a worker needs.
    pub fn membership(&self) -> Membership {
        Membership { views: self.views.subscribe(), health: self.health.changes(), reports: self.reports.clone() }
    }

    /// Waits until every node that is spawned here is up (none is: until some node is), for `timeouts.node_start` and a
    /// probe at most.
    pub async fn ready(&self) -> Readiness {
        let limit = self.config.timeouts.node_start + self.config.timeouts.probe;
        let _ = timeout(limit, self.until(|| self.all_there())).await;
        self.readiness()
    }

    /// Waits until there is a node to send clients to, for as long as one may need to start or to be met.
    pub async fn opens(&self) {
        let timeouts = &self.config.timeouts;
        let spawns = self.supervisor.is_some() && self.config.nodes.iter().any(|n| n.place == NodePlace::Spawn);
        let limit = timeouts.probe + if spawns { timeouts.node_start } else { timeouts.probe_interval };
        let nobody = || self.keeper.is_none() && self.seats().is_empty();
        let _ = timeout(limit, self.until(|| nobody() || self.readiness().up > 0)).await;
    }

    /// Waits until the nodes and the ring are so.
    async fn until(&self, is_so: impl Fn() -> bool) {
        let (mut health, mut views) = (self.health.changes(), self.views.subscribe());
        let mut records = self.keeper.as_ref().map(|keeper| keeper.changes());
        while !is_so() {
            let changed = tokio::select! {
                changed = health.changed() => changed,
                changed = views.changed() => changed,
                changed = async {
                    match &mut records {
                        Some(records) => records.changed().await,
                        None => std::future::pending().await,
                    }
                } => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    fn all_there(&self) -> bool {
        let seats = self.seats();
        if let Some(keeper) = &self.keeper {
            return keeper.is_known() && self.own_are_there(keeper, &seats);
        }
        let mut spawned = seats.iter().filter(|s| s.spec.place == NodePlace::Spawn).peekable();
        match spawned.peek() {
            Some(_) => spawned.all(|s| s.node.is_up()),
            None => seats.is_empty() || seats.iter().any(|s| s.node.is_up()),
        }
    }

    /// Waits until some node of the ring is up.
    pub async fn until_up(&self) {
        let (mut health, mut views) = (self.health.changes(), self.views.subscribe());
        while self.readiness().up == 0 {
            let changed = tokio::select! {
                changed = health.changed() => changed.is_ok(),
                changed = views.changed() => changed.is_ok(),
            };
            if !changed {
                return;
            }
        }
    }

    /// What is known by ZooKeeper; `None` without.
    pub fn keeper(&self) -> Option<&Arc<Keeper>> {
        self.keeper.as_ref()
    }

    /// Waits until it is certain that this front cannot be one of its cluster, and why.
    pub async fn refused(&self) -> StartError {
        match &self.keeper {
            Some(keeper) => keeper.refused_id().await,
            None => std::future::pending().await,
        }
    }

    /// How many of the ring's nodes are up.
    pub fn readiness(&self) -> Readiness {
        let view = self.views.borrow().clone();
        Readiness { up: view.nodes.iter().filter(|n| n.is_up()).count(), nodes: view.nodes.len() }
    }

    /// The first half of the end, while requests in flight are still finished: where others are there to take over, the
    /// nodes that run here hand over what they hold, and end. Returns when they have.
    pub async fn leave(&self) {
        if let (Some(keeper), Some(supervisor)) = (&self.keeper, &self.supervisor)
            && keeper.has_heirs()
        {
            supervisor.end_all().await;
        }
    }

    /// Nobody is served here any more, so nobody need tell this front anything.
    pub async fn withdraw(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.withdraw().await;
        }
    }

    /// Ends the probes and the spawned nodes: gently, then not.
    pub async fn stop(&self) {
        let _no_change_meanwhile = self.changing.lock().await;
        self.health.unfollow_all();
        self.tasks().drain(..).for_each(|task| task.abort());
        // Before the nodes end: the other fronts route around what says goodbye.
        if let Some(keeper) = &self.keeper {
            keeper.close().await;
        }
        if let Some(supervisor) = &self.supervisor {
            supervisor.stop().await;
        }
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Every node that runs, also one that drains.
    fn nodes(&self) -> Vec<Arc<Node>> {
        self.seats().into_iter().map(|seat| seat.node).collect()
    }

    /// The same, to be told something: who comes to be known later is doubted where that is needed.
    fn to_be_told(&self) -> Vec<Arc<Node>> {
        if let Some(keeper) = &self.keeper {
            keeper.tells();
        }
        self.nodes()
    }

    /// Who has left and may still hold something.
    fn departed(&self) -> Vec<Arc<Node>> {
        self.departed.list(clock::tick(), self.config.ring.handover)
    }

    /// Has the other fronts drop their copies, also those that have left.
    async fn tell_fronts(&self, what: &[Outdated]) -> Vec<(String, Hearing)> {
        let listeners = self.listeners(Some(self.config.ring.handover));
        broadcast::tell(&self.health, &self.config.cluster, listeners, what).await
    }

    /// The other fronts; `past`: also those that have left within so long.
    fn listeners(&self, past: Option<Duration>) -> Vec<FrontListener> {
        self.keeper.as_ref().map_or_else(Vec::new, |keeper| keeper.listeners(past))
    }

    fn seats(&self) -> Vec<MemberSeat> {
        match &self.keeper {
            Some(keeper) => keeper.seats(),
            None => self.members().seats().cloned().collect(),
        }
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, Vec<AbortHandle>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody else changes the state while this process has it. Without a folder there is nothing to lose.
fn own_state(config: &Config) -> Result<Option<state::Lock>, StartError> {
    let folder = &config.state.path;
    match state::Lock::take(folder) {
        Ok(Ok(lock)) => Ok(Some(lock)),
        Ok(Err(held)) => Err(held.refusal(folder, &config.source)),
        Err(e) => {
            tracing::warn!("{}: {e}: nothing will be kept there; see [state] path", folder.display());
            Ok(None)
        }
    }
}

async fn read_reports(
    cluster: Arc<ControlPlane>,
    incoming: Arc<tokio::sync::Mutex<Incoming>>,
    invalid: mpsc::Sender<Invalid>,
) {
    let mut incoming = incoming.lock().await;
    let missed_by_all_but = |one: Option<&str>, what: Option<&[Arc<[Outdated]>]>| {
        let nodes = cluster.nodes();
        nodes.iter().filter(|node| Some(&*node.id) != one).for_each(|node| cluster.health.missed(node, what));
    };
    while let Some(heard) = incoming.next().await {
        match heard {
            Heard::Report(Report::Refused(node)) => cluster.health.refused(&node, false),
            Heard::Report(Report::Suspect(node)) => cluster.health.look(&node),
            Heard::Report(Report::Invalidated { what, by, told }) => {
                if let Err(full) = invalid.try_send(Invalid { what, by: by.id.clone(), told }) {
                    missed_by_all_but(Some(&by.id), Some(&[full.into_inner().what.into()]));
                }
            }
            Heard::LostInvalidation => missed_by_all_but(None, None),
        }
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
