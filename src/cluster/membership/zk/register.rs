//! A node's own registration: `/nodes/<id>`, for as long as the node lives and ZooKeeper hears of it. An id belongs to one
//! process at a time: who comes second is refused.

use super::client::{Ownership, Session, ZkConnState};
use super::leave::{Station, leave};
use super::record::{RecordKind, Registration, written};
use super::trouble::{SaidOnce, ZkError};
use crate::clock::{Tick, tick};
use crate::cluster::link::Link;
use crate::cluster::views::Node;
use crate::config::ClusterConfig;
use crate::net::drain::{Shutdown, StartError};
use crate::store::Entry;
use http::Method;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks at whether the registration is still there.
const LOOK: Duration = Duration::from_secs(30);
/// Between two looks at whether somebody else is still there, and how long he is asked.
const AGAIN: Duration = Duration::from_millis(100);
const ASK: Duration = Duration::from_millis(500);
/// Who is to end, because the front that started him has died, has ended by then.
const ENDING: Duration = Duration::from_secs(2);

/// Why a registration ended.
enum RegistrationEnd {
    /// The session did, or it could not be made.
    Session(ZkError),
    /// Another process has the id.
    Taken(StartError),
    /// The shutdown began then, and all that was to be done is done.
    Shutdown(Tick),
}

impl From<ZkError> for RegistrationEnd {
    fn from(trouble: ZkError) -> RegistrationEnd {
        RegistrationEnd::Session(trouble)
    }
}

/// Registers the node until `shutdown`, then hands over what it holds where others are there for it, and takes the
/// registration back; when the shutdown began. Errors say that another process has the id.
///
/// `absent` is called whenever it begins to be registered again, or for the first time: until then nobody had to tell the
/// node of anything, and purges may have passed it by. `held`: what it holds, the best first.
pub async fn register(
    station: Station,
    absent: impl Fn(),
    held: impl Fn() -> Vec<Arc<Entry>>,
    mut shutdown: Shutdown,
) -> Result<Tick, StartError> {
    let named = SaidOnce::default();
    loop {
        let trouble = match one_session(&station, &named, &absent, &held, shutdown.clone()).await {
            RegistrationEnd::Session(trouble) => trouble,
            RegistrationEnd::Taken(error) => return Err(error),
            RegistrationEnd::Shutdown(begun) => return Ok(begun),
        };
        match &trouble {
            ZkError::Refused { path, why } => refused(&named, &station.id, path, why),
            _ => tracing::warn!(node = station.id, "not registered with ZooKeeper: {trouble}"),
        }
        tokio::select! {
            () = sleep(trouble.pause()) => {}
            () = shutdown.begun() => return Ok(tick()),
        }
    }
}

async fn one_session(
    station: &Station,
    named: &SaidOnce,
    absent: &impl Fn(),
    held: &impl Fn() -> Vec<Arc<Entry>>,
    mut shutdown: Shutdown,
) -> RegistrationEnd {
    let session = tokio::select! {
        opened = Session::open(&station.settings, &station.cluster, named) => match opened {
            Ok(session) => session,
            Err(trouble) => return RegistrationEnd::Session(trouble),
        },
        () = shutdown.begun() => return RegistrationEnd::Shutdown(tick()),
    };
    let end = tokio::select! {
        Err(end) = registered(&session, station, absent) => end,
        () = shutdown.begun() => RegistrationEnd::Shutdown(tick()),
    };
    if matches!(end, RegistrationEnd::Shutdown(_)) {
        leave(&session, station, held).await;
    }
    session.close().await;
    end
}

/// Registers and looks after the registration until the session is over.
async fn registered(session: &Session, station: &Station, absent: &impl Fn()) -> Result<(), RegistrationEnd> {
    session.prepare().await?;
    if !claim(session, station).await? {
        absent();
    }
    let (id, data) = (&station.id, written(&station.registration));
    session.register(RecordKind::Nodes, id, &data).await?;
    tracing::info!(node = id, address = %station.registration.address, "registered with ZooKeeper");
    let mut states = session.states();
    loop {
        tokio::select! {
            state = states.changed() => match state {
                ZkConnState::Over => return Err(ZkError::Over("the session has expired".to_owned()).into()),
                ZkConnState::Away => tracing::warn!(node = id, "connection to ZooKeeper lost"),
                ZkConnState::Connected => tracing::info!(node = id, "connection to ZooKeeper is back"),
            },
            () = sleep(LOOK) => {}
        }
        match look(session, station, absent, &data).await {
            Err(end @ (RegistrationEnd::Taken(_) | RegistrationEnd::Session(ZkError::Over(_)))) => return Err(end),
            Err(RegistrationEnd::Session(ZkError::Refused { path, why })) => {
                refused(&session.named, id, &path, &why);
            }
            _ => {}
        }
    }
}

fn refused(named: &SaidOnce, id: &str, path: &str, why: &str) {
    named.say(path, &format!("keeps node {id} from being registered: {why}"));
}

async fn look(session: &Session, station: &Station, absent: &impl Fn(), data: &[u8]) -> Result<(), RegistrationEnd> {
    let said = session.one(RecordKind::Nodes, &station.id).await?;
    // What somebody has closed, or has written over, says nothing of this node to anybody.
    let stands = said.is_some_and(|(said, _)| said == data);
    if stands && session.ownership(RecordKind::Nodes, &station.id).await? == Ownership::Ours {
        return Ok(());
    }
    if !claim(session, station).await? {
        absent();
    }
    Ok(session.register(RecordKind::Nodes, &station.id, data).await?)
}

/// Makes sure that nobody else has the id, and waits for that as long as it may be about to come true. Whether a
/// registration of this very process by an earlier session still stands: to everybody else it never left.
async fn claim(session: &Session, station: &Station) -> Result<bool, RegistrationEnd> {
    let (begun, link) = (tick(), Link::new(&station.cluster));
    loop {
        let found = session.one(RecordKind::Nodes, &station.id).await?;
        let Some(other) = found.and_then(|(data, _)| serde_json::from_slice::<Registration>(&data).ok()) else {
            return Ok(false);
        };
        if other.boot == station.registration.boot {
            return Ok(true);
        }
        let patience = match lives(&link, &station.id, &other).await {
            Some(false) => return Ok(false),
            Some(true) => ENDING,
            // Its session would be over by then.
            None => 2 * station.settings.session + ENDING,
        };
        if tick().since(begun) > patience {
            return Err(RegistrationEnd::Taken(taken(&station.id, &other)));
        }
        sleep(AGAIN).await;
    }
}

/// Why one of these nodes cannot be started: it runs already. Not who is just ending.
pub(super) async fn first_taken(
    session: &Session,
    cluster: &ClusterConfig,
    ids: &[String],
) -> Result<Option<StartError>, ZkError> {
    let (begun, link) = (tick(), Link::new(cluster));
    for id in ids {
        loop {
            let found = match session.one(RecordKind::Nodes, id).await {
                // Nobody has made the folder yet.
                Err(ZkError::Conflict) => None,
                found => found?,
            };
            let other = found.and_then(|(data, _)| serde_json::from_slice::<Registration>(&data).ok());
            let Some(other) = other else { break };
            if lives(&link, id, &other).await != Some(true) {
                break;
            }
            if tick().since(begun) > ENDING {
                return Ok(Some(taken(id, &other)));
            }
            sleep(AGAIN).await;
        }
    }
    Ok(None)
}

/// Whether a process that is registered is there. `None`: it cannot be told.
async fn lives(link: &Link, id: &str, other: &Registration) -> Option<bool> {
    #[derive(Deserialize)]
    struct RegisteredHealth {
        boot: u64,
    }
    let node = Node::new(id.to_owned(), other.address.clone(), 1, false);
    match link.call(&node, Method::GET, "/healthz", None, ASK).await {
        Ok((_, said)) => Some(serde_json::from_slice(&said).is_ok_and(|RegisteredHealth { boot }| boot == other.boot)),
        // Nothing listens there, or something else.
        Err(trouble) if trouble.is_refusal() || trouble.is_lasting() => Some(false),
        Err(_) => None,
    }
}

fn taken(id: &str, other: &Registration) -> StartError {
    StartError(format!(
        "node `{id}` runs already at {}, and an id is one process's: give each machine an `advertise` ([zookeeper], or \
         --advertise) and each node an id of its own, or end the other one first",
        other.address
    ))
}
