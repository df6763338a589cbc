//! What the admin API asks for and changes.

use super::invalidation::fanout;
use super::link::LinkTrouble;
use super::membership::heirs::{Given, Takers};
use super::membership::members::{Change, ChangeError, ChangeRefusal, MemberSeat, MemberState};
use super::membership::spec::Spec;
use super::membership::zk::changes::Recorded;
use super::views::Millis;
use super::views::handover::Handover;
use super::views::{Node, View};
use super::{ControlPlane, NO_NODES};
use crate::aside::aside;
use crate::clock;
use crate::config::{self, NodePlace};
use crate::wire::percent;
use crate::wire::target::Key;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// For one question to one node.
const LIMIT: Duration = Duration::from_secs(1);

/// Between two looks at whether a leaving node still has requests.
const LOOK: Duration = Duration::from_millis(50);

/// For a node to end that has nothing left to do.
const GOING: Duration = Duration::from_secs(3);
/// A node as the admin API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedNode {
    pub id: String,
    pub address: String,
    pub weight: u32,
    pub spawn: bool,
    pub state: MemberState,
    pub up: bool,
    /// Passed over because it is slow on what it holds.
    pub slow: bool,
    /// Of the key space, 0 to 1.
    pub share: f64,
    /// Requests under way from this front.
    pub load: u32,
    /// What was asked for is recorded, but the ring has not followed yet.
    pub pending: bool,
}

impl ListedNode {
    /// A node that has left already, or of which nothing is known yet.
    fn unseen(id: &str, state: MemberState) -> ListedNode {
        let (address, weight, spawn, up, slow, share, load) = (String::new(), 1, false, false, false, 0.0, 0);
        ListedNode { id: id.to_owned(), address, weight, spawn, state, up, slow, share, load, pending: false }
    }
}

/// What a node answered to a question of the admin API.
pub type NodeReply = Result<(StatusCode, Bytes), LinkTrouble>;

impl ControlPlane {
    pub fn view(&self) -> Arc<View> {
        self.views.borrow().clone()
    }

    pub fn list(&self) -> Vec<ListedNode> {
        let view = self.view();
        let shares = view.ring.shares();
        let share = |id: &str| view.ring.members().iter().position(|m| m.id == id).and_then(|i| shares.get(i).copied());
        self.seats().iter().map(|seat| listed(seat, share(&seat.spec.id).unwrap_or(0.0))).collect()
    }

    pub fn find(&self, id: &str) -> Result<ListedNode, ChangeRefusal> {
        self.list().into_iter().find(|n| n.id == id).ok_or_else(|| ChangeRefusal::Unknown(id.to_owned()))
    }

    /// Adds a node; when it is spawned here, waits until it is up (for `timeouts.node_start`).
    pub async fn add(&self, spec: Spec) -> Result<ListedNode, ChangeError> {
        if let Some(keeper) = &self.keeper {
            return self.add_to_all(keeper, spec).await;
        }
        let _one_at_a_time = self.changing.lock().await;
        let free = || self.members().free_id();
        let spec = spec.into_node(&self.config.cluster, free).map_err(ChangeRefusal::Bad)?;
        self.introduce(spec).await
    }

    /// The same for a node that has been checked; changes wait meanwhile.
    async fn introduce(&self, spec: config::NodeConfig) -> Result<ListedNode, ChangeError> {
        let (id, place) = (spec.id.clone(), spec.place.clone());
        self.commit(Change::Add(spec)).await?;
        let node = self.members().seat(&id).map(|seat| seat.node.clone());
        if let Some(node) = node {
            // Before it is on the ring, a spawned node is there: nobody is sent to it in vain.
            self.run(&place, &node);
            if place == NodePlace::Spawn {
                self.wait_until_up(&node).await;
            }
        }
        self.publish();
        tracing::info!(node = id, "node added");
        Ok(self.find(&id)?)
    }

    pub async fn set_weight(&self, id: &str, weight: u32) -> Result<ListedNode, ChangeError> {
        self.change(id, Change::Weight(id.to_owned(), weight)).await
    }

    /// Takes a node off the ring; it goes on running.
    pub async fn drain(self: &Arc<ControlPlane>, id: &str) -> Result<ListedNode, ChangeError> {
        let listed = self.change(id, Change::Drain(id.to_owned())).await?;
        self.has_left(tokio::spawn(tell_when_drained(self.clone(), id.to_owned())));
        Ok(listed)
    }

    /// Whether there is no node on the ring, or none but this one.
    pub fn is_last(&self, id: &str) -> bool {
        self.seats().iter().all(|seat| seat.spec.id == id || seat.state != MemberState::Active)
    }

    /// Undoes what the admin API has changed: the nodes are the file's again.
    pub async fn reset(self: &Arc<ControlPlane>) -> Result<Vec<ListedNode>, ChangeError> {
        if self.keeper.is_some() {
            let what = "with ZooKeeper nothing is saved that overrides the file: add or resume the nodes one by one";
            return Err(ChangeRefusal::Bad(what.to_owned()).into());
        }
        let changes = self.members().way_back();
        for change in changes {
            match change {
                Change::Add(spec) => {
                    self.until_gone(&spec.id).await;
                    let _one_at_a_time = self.changing.lock().await;
                    drop(self.introduce(spec).await?);
                }
                Change::Remove(id) => drop(self.remove(&id, None).await?),
                Change::Weight(id, weight) => drop(self.set_weight(&id, weight).await?),
                Change::Resume(id) => drop(self.resume(&id).await?),
                Change::Drain(_) | Change::Forget(_) => {}
            }
        }
        Ok(self.list())
    }

    /// Waits for a node that is being removed, as long as it takes a node without requests.
    async fn until_gone(&self, id: &str) {
        let gone = async {
            while self.members().seat(id).is_some_and(|seat| seat.state == MemberState::Leaving) {
                sleep(LOOK).await;
            }
        };
        let _ = timeout(GOING, gone).await;
    }

    /// Keeps a task that ends by itself.
    fn has_left(&self, task: tokio::task::JoinHandle<()>) {
        let mut tasks = self.tasks();
        tasks.retain(|t| !t.is_finished());
        tasks.push(task.abort_handle());
    }

    /// Puts a draining node back on the ring.
    pub async fn resume(&self, id: &str) -> Result<ListedNode, ChangeError> {
        self.change(id, Change::Resume(id.to_owned())).await
    }

    /// Takes a node off the ring at once and out of the list when its requests are done, or after `drain` (none: at
    /// once). A spawned node is then told to end, and finishes what it still has by itself.
    pub async fn remove(
        self: &Arc<ControlPlane>,
        id: &str,
        drain: Option<Duration>,
    ) -> Result<ListedNode, ChangeError> {
        if let Some(keeper) = &self.keeper {
            // It is ended by the front that runs it, see `remote`.
            let recorded = keeper.change(&Change::Remove(id.to_owned()), drain).await?;
            return Ok(self.find_after(id, MemberState::Leaving, recorded));
        }
        let listed = self.change(id, Change::Remove(id.to_owned())).await?;
        let leaving = leave(self.clone(), id.to_owned(), drain.unwrap_or_default());
        self.has_left(tokio::spawn(leaving));
        Ok(listed)
    }

    /// What a node has stored under a URL, and what it would answer to a GET with these fields (`name:value`).
    pub async fn explain(&self, node: &Node, key: &Key, fields: &[String]) -> NodeReply {
        let fields: String = fields.iter().map(|field| format!("&header={}", percent::encode(field))).collect();
        let path = format!("/explain?url={}{fields}", percent::encode(key.as_str()));
        self.health.link().call(node, Method::GET, &path, None, LIMIT).await
    }

    /// The counters of all nodes that are up.
    pub async fn node_metrics(&self) -> Vec<(String, BTreeMap<String, f64>)> {
        let up = self.nodes().into_iter().filter(|n| n.is_up()).collect();
        let answers = fanout::everywhere(self.health.link(), up, Method::GET, "/metrics").await;
        answers.into_iter().filter_map(|(node, body)| Some((node.id.clone(), counters(&body.ok()?)?))).collect()
    }

    /// How often each spawned node was started again.
    pub fn restarts(&self) -> Vec<(String, u64)> {
        self.supervisor.as_ref().map(|s| s.restarts()).unwrap_or_default()
    }

    async fn change(&self, id: &str, change: Change) -> Result<ListedNode, ChangeError> {
        if let Some(keeper) = &self.keeper {
            tracing::info!("{change}");
            let recorded = keeper.change(&change, None).await?;
            return Ok(self.find_after(id, MemberState::Active, recorded));
        }
        let _one_at_a_time = self.changing.lock().await;
        let said = change.to_string();
        self.commit(change).await?;
        tracing::info!("{said}");
        self.publish();
        if self.view().nodes.is_empty() {
            tracing::warn!("node {id} was the last node on the ring: {NO_NODES}");
        }
        Ok(self.find(id)?)
    }

    pub(super) fn find_after(&self, id: &str, state: MemberState, recorded: Recorded) -> ListedNode {
        let listed = self.find(id).unwrap_or_else(|_| ListedNode::unseen(id, state));
        ListedNode { pending: recorded == Recorded::NotYet, ..listed }
    }

    /// Saves the members after `change`, then makes them true.
    async fn commit(&self, change: Change) -> Result<(), ChangeError> {
        let next = self.members().with(change)?;
        let (state, delta) = (self.state.clone(), next.delta().clone());
        // fsync takes as long as it takes; probes must not wait for it.
        let saved = aside("save", move || state.save(&delta)).await;
        saved.flatten().map_err(|e| ChangeError::NotSaved {
            file: self.state.path().display().to_string(),
            error: e.to_string(),
        })?;
        *self.members() = next;
        Ok(())
    }

    fn publish(&self) {
        let (view, old) = (self.members().view(), self.view());
        if view.epoch != old.epoch || view.beside.len() != old.beside.len() {
            view.nodes.iter().zip(view.ring.members()).for_each(|(node, member)| node.set_weight(member.weight));
            self.views.send_replace(Arc::new(view.after(&old, clock::tick().0, self.handover())));
        }
    }

    /// In milliseconds.
    fn handover(&self) -> Millis {
        self.config.ring.handover.as_millis().try_into().unwrap_or(Millis::MAX)
    }

    /// Publishes the view anew whenever a hand-over has ended, so that nobody has to look at the clock for that; and when the
    /// last of its nodes has been found to speak TLS.
    pub(super) async fn renew_views(self: Arc<ControlPlane>) {
        let (mut views, mut health) = (self.views.subscribe(), self.health.changes());
        loop {
            let ends = views.borrow_and_update().handover.as_ref().and_then(Handover::next_end);
            tokio::select! {
                changed = views.changed() => if changed.is_err() { return },
                changed = health.changed() => match changed {
                    Ok(()) => self.renew_view(),
                    Err(_) => return,
                },
                () = until(ends) => self.renew_view(),
            }
        }
    }

    fn renew_view(&self) {
        self.views.send_if_modified(|view| {
            let next = view.renewed(clock::tick().0, self.handover());
            next.map(|next| *view = Arc::new(next)).is_some()
        });
    }

    pub(super) async fn wait_until_up(&self, node: &Node) {
        let mut health = self.health.changes();
        let up = async { while !node.is_up() && health.changed().await.is_ok() {} };
        let _ = timeout(self.config.timeouts.node_start, up).await;
    }
}

/// Until a point on the steady clock; for ever where there is none.
pub(super) async fn until(at: Option<Millis>) {
    match at {
        // A millisecond more, since both are cut to milliseconds.
        Some(at) => sleep(Duration::from_millis(at.saturating_sub(clock::tick().0) + 1)).await,
        None => std::future::pending().await,
    }
}

/// Says when a node that drains has nothing left to do.
async fn tell_when_drained(cluster: Arc<ControlPlane>, id: String) {
    let drains = |seat: &MemberSeat| seat.spec.id == id && seat.state == MemberState::Draining;
    let seat = || cluster.seats().into_iter().find(drains);
    let Some(draining) = seat() else { return };
    idle(&draining.node).await;
    if seat().is_some() {
        tracing::info!("node {id} is drained: nothing of this front is under way there");
        hand_over(&cluster, &draining.node).await;
    }
}

/// Has a node that is off the ring hand over what it holds to those who own that now.
async fn hand_over(cluster: &ControlPlane, from: &Node) {
    if cluster.config.ring.handover.is_zero() {
        return;
    }
    let limit = cluster.config.timeouts.drain;
    let off_the_ring = async {
        while cluster.view().ring.index_of(&from.id).is_some() {
            sleep(LOOK).await;
        }
    };
    let takers = match timeout(limit, off_the_ring).await {
        Ok(()) if from.is_up() => Takers::of(&cluster.view(), from),
        _ => return,
    };
    if !takers.is_anyone() {
        return;
    }
    let body = Bytes::from(serde_json::to_vec(&takers).unwrap_or_default());
    let asked = cluster.health.link().call(from, Method::POST, "/handover", Some(body), limit).await;
    match asked.map(|(status, said)| (status, serde_json::from_slice(&said))) {
        Ok((StatusCode::OK, Ok(Given { handed, held }))) => {
            tracing::info!(node = from.id, "handed over {handed} of {held} stored answers");
        }
        // One of another version, or on loopback TCP without a secret, where anybody could ask for it.
        Ok((status, _)) => tracing::debug!(node = from.id, %status, "it hands nothing over"),
        Err(trouble) => tracing::warn!(node = from.id, "not all that it holds is handed over: {trouble}"),
    }
}

/// From the end of a node's share to its end.
async fn leave(cluster: Arc<ControlPlane>, id: String, drain: Duration) {
    let Some(seat) = cluster.members().seat(&id).cloned() else { return };
    let _ = timeout(drain, idle(&seat.node)).await;
    hand_over(&cluster, &seat.node).await;
    cluster.health.part_with(&id);
    if let (NodePlace::Spawn, Some(supervisor)) = (&seat.spec.place, &cluster.supervisor) {
        supervisor.release(&id).await;
    }
    cluster.health.ended(&seat.node);
    let _one_at_a_time = cluster.changing.lock().await;
    let next = cluster.members().with(Change::Forget(id.clone()));
    if let Ok(next) = next {
        *cluster.members() = next;
        cluster.publish();
    }
    tracing::info!(node = id, "node is gone");
}

/// Waits until nothing is under way; twice in a row, since a worker may have routed by the old view just now.
pub(super) async fn idle(node: &Node) {
    let mut looks = 0;
    while looks < 2 {
        sleep(LOOK).await;
        looks = if node.load.load(Ordering::Relaxed) == 0 { looks + 1 } else { 0 };
    }
}

/// The numbers of a flat JSON object.
fn counters(body: &[u8]) -> Option<BTreeMap<String, f64>> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    Some(object.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect())
}

fn listed(seat: &MemberSeat, share: f64) -> ListedNode {
    let MemberSeat { spec, state, node } = seat;
    ListedNode {
        id: spec.id.clone(),
        address: node.address.to_string(),
        weight: spec.weight,
        spawn: spec.place == NodePlace::Spawn,
        state: *state,
        up: node.is_up(),
        slow: node.pace.is_slow(),
        share,
        load: node.load.load(Ordering::Relaxed),
        pending: false,
    }
}
