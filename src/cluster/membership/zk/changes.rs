//! What an admin call changes: `/members/<id>`, by compare-and-set, from any front. The front that leads then writes the
//! ring; the call waits for that.

use super::Keeper;
use super::client::Session;
use super::record::{MemberRecord, MemberWish, RecordKind, written};
use super::trouble::ZkError;
use crate::cluster::membership::members::{Change, ChangeError, ChangeRefusal, MAX_POINTS, MemberState};
use crate::config::{MAX_WEIGHT, NodePlace};
use std::time::Duration;
use tokio::time::timeout;

/// So often a record is written over somebody else's change before that is called a fault.
const TRIES: usize = 16;
/// How much longer than a session it may take until a ring follows: then another front leads.
const SLACK: Duration = Duration::from_secs(2);
/// Whoever asks waits no longer than this, however long a session is.
const PATIENCE: Duration = Duration::from_secs(8);

/// A change that is recorded, and whether the ring says it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Recorded {
    Followed,
    /// Nobody leads, or ZooKeeper is slow: the ring follows when somebody does.
    NotYet,
}

impl Keeper {
    /// Makes the change known to all fronts and waits until the ring says it, for as long as another front may need to
    /// come to lead.
    pub async fn change(&self, change: &Change, drain: Option<Duration>) -> Result<Recorded, ChangeError> {
        let session = self.session().map_err(gone)?;
        self.check(change)?;
        let (id, wish) = wish(change, drain);
        self.say(&session, id, &wish).await?;
        let mut changes = self.changes();
        let applied = async { while !self.is_applied(change) && changes.changed().await.is_ok() {} };
        let patience = PATIENCE.min(self.settings.session + SLACK);
        Ok(timeout(patience, applied).await.map_or(Recorded::NotYet, |()| Recorded::Followed))
    }

    async fn say(&self, session: &Session, id: &str, wish: &impl Fn(&mut MemberRecord)) -> Result<(), ChangeError> {
        for _ in 0..TRIES {
            let found = session.one(RecordKind::Members, id).await.map_err(unread)?;
            let mut said = found.as_ref().and_then(|(data, _)| serde_json::from_slice(data).ok()).unwrap_or_default();
            wish(&mut said);
            match session.put_member(id, &written(&said), found.map(|(_, version)| version)).await {
                Ok(()) => return Ok(()),
                Err(ZkError::Conflict) => {}
                Err(trouble) => return Err(unsure(trouble)),
            }
        }
        Err(unsure(ZkError::Conflict))
    }

    /// Whether the ring that this front routes by says so.
    fn is_applied(&self, change: &Change) -> bool {
        let view = self.view();
        let weight = |id: &str| view.ring.index_of(id).map(|i| view.ring.members()[i].weight);
        let drains =
            |id: &str| self.seats().iter().any(|seat| seat.spec.id == id && seat.state == MemberState::Draining);
        match change {
            Change::Add(node) => weight(&node.id) == Some(node.weight),
            // A node that drains weighs nothing yet.
            Change::Weight(id, wanted) => weight(id).map_or_else(|| drains(id), |w| w == *wanted),
            Change::Resume(id) => weight(id).is_some(),
            Change::Drain(id) | Change::Remove(id) | Change::Forget(id) => weight(id).is_none(),
        }
    }

    fn check(&self, change: &Change) -> Result<(), ChangeRefusal> {
        match change {
            Change::Add(node) => {
                self.check_new(&node.id, &node.place).and_then(|()| self.room_for(&node.id, node.weight))
            }
            Change::Weight(id, weight) if !(1..=MAX_WEIGHT).contains(weight) => {
                Err(ChangeRefusal::Weight { id: id.clone(), weight: *weight })
            }
            Change::Weight(id, weight) => self.seated(id).and_then(|()| self.room_for(id, *weight)),
            Change::Resume(id) => self.seated(id).and_then(|()| self.room_for(id, self.weight_of(id))),
            // Also of a node that is gone: what was said of it is to be forgotten.
            Change::Remove(id) if self.is_said(id) => Ok(()),
            Change::Drain(id) | Change::Remove(id) | Change::Forget(id) => self.seated(id),
        }
    }

    fn weight_of(&self, id: &str) -> u32 {
        self.seats().iter().find(|seat| seat.spec.id == id).map_or(1, |seat| seat.spec.weight)
    }

    /// Whether anything else was said of a node than that it was removed.
    fn is_said(&self, id: &str) -> bool {
        let removed = |said: &MemberRecord| said.state == MemberWish::Removed;
        self.builder().members().get(id).is_some_and(|said| !removed(said))
    }

    /// A node that runs elsewhere registers itself. Only one that was removed and runs still can be added by its address.
    fn check_new(&self, id: &str, place: &NodePlace) -> Result<(), ChangeRefusal> {
        let seat = self.seats().into_iter().find(|seat| seat.spec.id == id);
        match (seat, place) {
            (Some(seat), _) if seat.state != MemberState::Leaving => Err(ChangeRefusal::Duplicate(id.to_owned())),
            (Some(seat), NodePlace::Spawn) if seat.spec.place == NodePlace::Spawn => {
                Err(ChangeRefusal::Leaving(id.to_owned()))
            }
            (Some(_), NodePlace::At(_)) | (_, NodePlace::Spawn) => Ok(()),
            (None, NodePlace::At(address)) => Err(ChangeRefusal::Bad(format!(
                "with ZooKeeper a node registers itself: run `ringhold node --id {id} --listen {address} --zookeeper {}` \
                 where it is to run",
                self.settings.connect
            ))),
        }
    }

    fn seated(&self, id: &str) -> Result<(), ChangeRefusal> {
        match self.seats().into_iter().find(|seat| seat.spec.id == id).map(|seat| seat.state) {
            Some(MemberState::Leaving) => Err(ChangeRefusal::Leaving(id.to_owned())),
            Some(_) => Ok(()),
            None => Err(ChangeRefusal::Unknown(id.to_owned())),
        }
    }

    fn room_for(&self, id: &str, weight: u32) -> Result<(), ChangeRefusal> {
        let view = self.view();
        let others: u64 = view.ring.members().iter().filter(|m| m.id != id).map(|m| u64::from(m.weight)).sum();
        match (others + u64::from(weight)) * u64::from(view.ring.points()) > MAX_POINTS {
            true => Err(ChangeRefusal::TooManyPoints { most: MAX_POINTS }),
            false => Ok(()),
        }
    }
}

/// Whose record changes, and how.
fn wish(change: &Change, drain: Option<Duration>) -> (&str, impl Fn(&mut MemberRecord)) {
    let id = match change {
        Change::Add(node) => &node.id,
        Change::Weight(id, _) | Change::Drain(id) | Change::Resume(id) | Change::Remove(id) | Change::Forget(id) => id,
    };
    let wish = move |said: &mut MemberRecord| match change {
        Change::Add(node) => {
            let spawn = node.place == NodePlace::Spawn;
            *said = MemberRecord { weight: Some(node.weight), state: MemberWish::Active, spawn, drain: None };
        }
        Change::Weight(_, weight) => said.weight = Some(*weight),
        Change::Drain(_) => said.state = MemberWish::Draining,
        Change::Resume(_) => said.state = MemberWish::Active,
        Change::Remove(_) | Change::Forget(_) => {
            let drain = drain.map(|d| d.as_millis().try_into().unwrap_or(u64::MAX));
            *said = MemberRecord { state: MemberWish::Removed, spawn: false, drain, weight: said.weight };
        }
    };
    (id, wish)
}

fn gone(why: String) -> ChangeError {
    ChangeError::Unavailable(format!("ZooKeeper is gone ({why}): the ring stands as it is, and nothing was changed"))
}

fn unread(trouble: ZkError) -> ChangeError {
    gone(trouble.to_string())
}

fn unsure(trouble: ZkError) -> ChangeError {
    if matches!(trouble, ZkError::Refused { .. }) {
        return ChangeError::Unavailable(format!("ZooKeeper refuses the change: {trouble}"));
    }
    ChangeError::Unavailable(format!(
        "ZooKeeper did not confirm the change ({trouble}): look with `ringhold nodes list` whether it was made"
    ))
}
