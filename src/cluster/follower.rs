//! A front whose members are in ZooKeeper: its own nodes, the views, and who is probed.

use super::health::monitor::Health;
use super::health::undelivered;
use super::membership::departed::Departed;
use super::membership::members::{Change, ChangeError, ChangeRefusal, MemberSeat, MemberState, Members};
use super::membership::spec::{MAX_ADDED, Spec};
use super::membership::state::{Delta, StateFile};
use super::membership::zk::Keeper;
use super::membership::zk::builder::WorldEvent;
use super::ops::{ListedNode, idle, until};
use super::supervision::{ChildEvent, Supervisor};
use super::views::handover::Handover;
use super::views::{Node, View, report};
use super::{ControlPlane, REPORTS};
use crate::clock::tick;
use crate::config::{self, Config, NodePlace, ZookeeperConfig};
use crate::net::drain::StartError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

/// All fronts have the ring without a removed node by then.
const HEARD: Duration = Duration::from_secs(1);

impl ControlPlane {
    /// `config` holds the addresses that were bound.
    pub(super) async fn start_remote(
        config: &Config,
        settings: &ZookeeperConfig,
        program: Option<PathBuf>,
    ) -> Result<Arc<ControlPlane>, StartError> {
        let lock = super::own_state(config)?;
        let doubts = undelivered::load(&config.state.path);
        let keeper = Arc::new(Keeper::new(config, settings, doubts.clone()));
        let config = own_config(config, settings, &keeper)?;
        if program.is_some() {
            keeper.check_own(&config.nodes.iter().map(|node| node.id.clone()).collect::<Vec<_>>()).await?;
        }
        let health = Health::new(&config, doubts);
        let (told, heard) = mpsc::unbounded_channel();
        let supervisor = program.map(|p| Supervisor::telling(p, &config, health.clone(), Some(told))).transpose()?;
        let (reports, incoming) = report::channel(REPORTS);
        let cluster = Arc::new(ControlPlane {
            views: watch::Sender::new(keeper.view()),
            members: Mutex::new(Members::new(&config.ring, &[], Delta::default(), None)),
            keeper: Some(keeper.clone()),
            changing: tokio::sync::Mutex::default(),
            state: StateFile::in_folder(&config.state.path),
            lock: Mutex::new(lock),
            health,
            supervisor,
            reports,
            departed: Departed::default(),
            tasks: Mutex::default(),
            config,
        });
        cluster.listen(incoming);
        let follower =
            Follower { cluster: cluster.clone(), keeper: keeper.clone(), kept: BTreeMap::new(), refused: Vec::new() };
        let following = tokio::spawn(follower.run(heard));
        let session = tokio::spawn(keeper.run());
        cluster.tasks().extend([following.abort_handle(), session.abort_handle()]);
        Ok(cluster)
    }

    /// Every node that this front runs is on the ring and up; a front that runs none waits for any.
    pub(super) fn own_are_there(&self, keeper: &Keeper, seats: &[MemberSeat]) -> bool {
        let own: Vec<&config::NodeConfig> =
            if self.supervisor.is_some() { self.config.nodes.iter().collect() } else { vec![] };
        let view = keeper.view();
        let up = |id: &str| view.nodes.iter().any(|n| n.id == id && n.is_up());
        let off = |id: &str| seats.iter().any(|s| s.spec.id == id && s.state != MemberState::Active);
        match own.is_empty() {
            true => view.nodes.iter().any(|n| n.is_up()),
            // Epoch 0: no ring of the cluster is known yet.
            false => view.epoch > 0 && own.iter().all(|node| up(&node.id) || off(&node.id)),
        }
    }

    /// Adds a node to what all fronts know. A spawned one runs on this machine.
    pub(super) async fn add_to_all(&self, keeper: &Keeper, spec: Spec) -> Result<ListedNode, ChangeError> {
        let taken: BTreeSet<String> = self.seats().into_iter().map(|seat| seat.spec.id).collect();
        let free =
            || (1u64..).map(|i| format!("n{i}")).find(|id| !taken.contains(&keeper.own_id(id))).unwrap_or_default();
        let mut node = spec.into_node(&self.config.cluster, free).map_err(ChangeRefusal::Bad)?;
        if node.place == NodePlace::Spawn {
            if self.supervisor.is_none() {
                return Err(ChangeRefusal::CannotSpawn(node.id).into());
            }
            node.id = keeper.own_id(&node.id);
            config::check_id(&node.id).map_err(ChangeRefusal::Bad)?;
            let own = |id: &str| self.config.nodes.iter().any(|node| node.id == id);
            let others = keeper.to_spawn().into_iter().filter(|other| !own(&other.id) && other.id != node.id).count();
            if !own(&node.id) && others >= MAX_ADDED {
                return Err(ChangeRefusal::TooManySpawned { most: MAX_ADDED }.into());
            }
        }
        let recorded = keeper.change(&Change::Add(node.clone()), None).await?;
        let seat = self.seats().into_iter().find(|seat| seat.spec.id == node.id);
        if let Some(seat) = seat {
            self.wait_until_up(&seat.node).await;
        }
        tracing::info!(node = node.id, "node added");
        Ok(self.find_after(&node.id, MemberState::Active, recorded))
    }
}

/// The configuration with the names that this machine's nodes have in the cluster.
fn own_config(config: &Config, settings: &ZookeeperConfig, keeper: &Keeper) -> Result<Config, StartError> {
    let mut config = config.clone();
    for node in &mut config.nodes {
        node.id = keeper.own_id(&node.id);
        config::check_id(&node.id).map_err(StartError)?;
    }
    config.zookeeper = Some(ZookeeperConfig { advertise: Some(keeper.host.clone()), ..settings.clone() });
    Ok(config)
}

/// Makes true what the keeper knows.
struct Follower {
    cluster: Arc<ControlPlane>,
    keeper: Arc<Keeper>,
    /// The nodes that this front runs.
    kept: BTreeMap<String, config::NodeConfig>,
    /// Those that it does not run although it was told to, as the log has said.
    refused: Vec<String>,
}

impl Follower {
    async fn run(mut self, mut heard: mpsc::UnboundedReceiver<ChildEvent>) {
        let (mut changes, mut health) = (self.keeper.changes(), self.cluster.health.changes());
        let mut followed = BTreeMap::new();
        let mut saved = None;
        if self.cluster.supervisor.is_some() {
            self.cluster.config.nodes.clone().into_iter().for_each(|node| self.keep(node));
        }
        loop {
            self.supervise();
            self.probe(&mut followed);
            self.publish();
            self.keeper.save(&mut saved).await;
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = health.changed() => match changed {
                    // All nodes may have been found to speak TLS, or some to be of another version.
                    Ok(()) if self.keeper.view().is_outdated() => self.keeper.on(WorldEvent::Later),
                    Ok(()) => {}
                    Err(_) => return,
                },
                Some(news) = heard.recv() => self.hear(news),
                () = until(self.keeper.view().handover.as_ref().and_then(Handover::next_end)) => {
                    self.keeper.on(WorldEvent::Later);
                }
            }
        }
    }

    fn keep(&mut self, node: config::NodeConfig) {
        let Some(supervisor) = &self.cluster.supervisor else { return };
        let listen = self.keeper.listen(&node.id);
        supervisor.keep(&Arc::new(Node::new(node.id.clone(), listen, node.weight, true)));
        self.kept.insert(node.id.clone(), node);
    }

    /// How many run here that the file does not name.
    fn added(&self) -> usize {
        let in_file = |id: &String| self.cluster.config.nodes.iter().any(|node| node.id == *id);
        self.kept.keys().filter(|id| !in_file(id)).count()
    }

    fn hear(&self, news: ChildEvent) {
        match news {
            ChildEvent::Listens(id, address) => {
                if let Some(node) = self.kept.get(&id) {
                    self.keeper.on(WorldEvent::Local(node.clone(), address));
                }
            }
            // It keeps its place, and nobody needs a probe to know.
            ChildEvent::Ended(id) => {
                let seat = self.keeper.seats().into_iter().find(|seat| seat.spec.id == id);
                seat.iter().for_each(|seat| self.cluster.health.refused(&seat.node, true));
            }
        }
    }

    /// Starts what was added for this machine, and ends what was removed.
    fn supervise(&mut self) {
        if self.cluster.supervisor.is_none() {
            return;
        }
        let mut refused = Vec::new();
        for node in self.keeper.to_spawn() {
            match self.added() < MAX_ADDED {
                _ if self.kept.contains_key(&node.id) => {}
                true => self.keep(node),
                false => refused.push(node.id),
            }
        }
        if refused != self.refused && !refused.is_empty() {
            let ids = refused.join(", ");
            tracing::warn!("no more than {MAX_ADDED} nodes are run here besides those that the file names: not {ids}");
        }
        self.refused = refused;
        let removed: Vec<MemberSeat> =
            self.keeper.seats().into_iter().filter(|seat| seat.state == MemberState::Leaving).collect();
        for seat in removed {
            if self.kept.remove(&seat.spec.id).is_some() {
                let drain = self.keeper.drain_of(&seat.spec.id);
                let leaving = leave(self.cluster.clone(), self.keeper.clone(), seat, drain);
                self.cluster.tasks().push(tokio::spawn(leaving).abort_handle());
            }
        }
    }

    /// Probes whoever has a seat, and nobody else.
    fn probe(&self, followed: &mut BTreeMap<String, Arc<Node>>) {
        let seats = self.keeper.seats();
        let stays =
            |id: &String, node: &Arc<Node>| seats.iter().any(|s| s.spec.id == *id && Arc::ptr_eq(&s.node, node));
        followed.retain(|id, node| {
            let stays = stays(id, node);
            if !stays {
                // What it misses from now on it promises by itself to validate, before it is registered again.
                self.cluster.health.unfollow(id);
                self.cluster.health.ended(node);
                if !self.keeper.is_removed(id) {
                    self.cluster.departed.left(node, tick());
                }
            }
            stays
        });
        for seat in &seats {
            self.cluster.departed.is_back(&seat.spec.id);
            followed.entry(seat.spec.id.clone()).or_insert_with(|| {
                self.cluster.health.follow(&seat.node);
                seat.node.clone()
            });
        }
    }

    fn publish(&self) {
        let (view, old): (Arc<View>, Arc<View>) = (self.keeper.view(), self.cluster.view());
        let has_any = |view: &View| view.nodes.iter().any(|node| node.is_up());
        // Who has been cut off is back before he has met the others again: until then his own nodes go on.
        let too_early = !view.nodes.is_empty() && !has_any(&view) && has_any(&old);
        if Arc::ptr_eq(&view, &old) || too_early {
            return;
        }
        view.nodes.iter().zip(view.ring.members()).for_each(|(node, member)| node.set_weight(member.weight));
        if view.epoch != old.epoch {
            tracing::info!(epoch = view.epoch, members = view.nodes.len(), "ring applied");
        }
        self.cluster.views.send_replace(view);
    }
}

/// From the removal of a node that runs here to its end.
async fn leave(cluster: Arc<ControlPlane>, keeper: Arc<Keeper>, seat: MemberSeat, drain: Duration) {
    sleep(HEARD).await;
    let _ = timeout(drain, idle(&seat.node)).await;
    if let Some(supervisor) = &cluster.supervisor {
        supervisor.release(&seat.spec.id).await;
    }
    keeper.on(WorldEvent::LocalEnded(seat.spec.id.clone()));
    tracing::info!(node = seat.spec.id, "node is gone");
}
