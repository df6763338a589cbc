//! The end of a node that others can take over from: it is taken off the ring, and whoever owns its keys then fetches
//! what it holds (docs/link.md, Hand-over at the end). It goes on answering all the while.

use super::client::Session;
use super::record::{self, FrontRecord, RecordKind, Records, Registration, RingDoc, written};
use super::trouble::ZkError;

use crate::clock::tick;
use crate::cluster::membership::heirs::{Given, Giver, Heirs};
use crate::config::{ClusterConfig, ZookeeperConfig};
use crate::store::Entry;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A node, as far as its registration goes.
#[derive(Debug)]
pub struct Station {
    pub settings: ZookeeperConfig,
    pub cluster: ClusterConfig,
    pub id: String,
    pub registration: Registration,
    /// For so long it may hand over what it holds, once it is to end.
    pub drain: Duration,
}

/// Between two looks at the records.
const LOOK: Duration = Duration::from_millis(50);
/// How much longer than a session it may take until the ring follows: then another front leads.
const SLACK: Duration = Duration::from_secs(2);
/// All fronts have applied the ring by then.
const APPLIED: Duration = Duration::from_secs(1);

/// Hands over what `held` names, the best first. Returns when that is done, when nobody is there to take it, or when the
/// time is over.
pub async fn leave(session: &Session, station: &Station, held: impl Fn() -> Vec<Arc<Entry>>) {
    let (begun, limit) = (tick(), station.drain.mul_f32(0.9));
    let heirs = match timeout(limit.min(station.settings.session + SLACK), heirs(session, station)).await {
        Ok(Ok(Some(heirs))) => heirs,
        Ok(Ok(None)) => return,
        Ok(Err(trouble)) => return tracing::warn!(node = station.id, "nothing is handed over: {trouble}"),
        Err(_) => return tracing::warn!(node = station.id, "nothing is handed over: the ring has not followed"),
    };
    let giver = Giver { id: &station.id, address: &station.registration.address, secrets: &station.cluster };
    let Given { handed, held } = giver.give(&heirs, held(), limit.saturating_sub(tick().since(begun))).await;
    tracing::info!(node = station.id, "handed over {handed} of {held} stored answers in {:?}", tick().since(begun));
}

/// Says that this node leaves, and waits until the ring is without it. `None`: nobody takes over.
async fn heirs(session: &Session, station: &Station) -> Result<Option<Heirs>, ZkError> {
    loop {
        match says_so(session, station).await {
            // Its connection is looked for.
            Err(ZkError::Unknown(_)) => sleep(LOOK).await,
            done => return done,
        }
    }
}

async fn says_so(session: &Session, station: &Station) -> Result<Option<Heirs>, ZkError> {
    let leaving = Registration { leaving: true, ..station.registration.clone() };
    session.update(RecordKind::Nodes, &station.id, &written(&leaving)).await?;
    loop {
        let nodes: Records<Registration> = record::read(&session.all(RecordKind::Nodes).await?).0;
        let stays = |(id, node): (&String, &Registration)| *id != station.id && !node.leaving;
        if !nodes.iter().any(stays) || session.ids(RecordKind::Fronts).await?.is_empty() {
            return Ok(None);
        }
        let doc = session.ring().await?.and_then(|(data, _)| RingDoc::read(&data));
        // Nor with others that leave at the same time.
        let leaves = |id: &str| id == station.id || nodes.get(id).is_some_and(|node| node.leaving);
        if let Some(doc) = doc.filter(|doc| !doc.members.iter().any(|member| leaves(&member.id))) {
            let _ = timeout(APPLIED, applied(session, doc.epoch)).await;
            return Ok(Some(heirs_of(&doc, &nodes)));
        }
        sleep(LOOK).await;
    }
}

/// Waits until every front routes by this ring.
async fn applied(session: &Session, epoch: u64) -> Result<(), ZkError> {
    loop {
        let fronts: Records<FrontRecord> = record::read(&session.all(RecordKind::Fronts).await?).0;
        if fronts.values().all(|front| front.epoch >= epoch) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

/// Where they are now, or were when the ring was written.
fn heirs_of(doc: &RingDoc, nodes: &Records<Registration>) -> Heirs {
    let placed = |id: &str| doc.members.iter().find(|member| member.id == id).map(|member| &member.address);
    Heirs::new(doc.ring(), |id| nodes.get(id).map(|node| &node.address).or_else(|| placed(id)).cloned())
}
