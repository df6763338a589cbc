//! A node's own registration: `/nodes/<id>`, for as long as the node lives and ZooKeeper hears of it.

use super::client::{Kind, Ownership, Session, State, Trouble};
use super::record::{Registration, written};
use crate::config::Zookeeper;
use crate::net::drain::Shutdown;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks at whether the registration is still there.
const LOOK: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(500);

/// Registers the node until `shutdown`, then takes the registration back.
///
/// `absent` is called whenever it begins to be registered again, or for the first time: until then nobody had to tell the
/// node of anything, and purges may have passed it by.
pub async fn register(
    settings: Zookeeper,
    id: String,
    registration: Registration,
    absent: impl Fn(),
    mut shutdown: Shutdown,
) {
    while let Some(trouble) = one_session(&settings, &id, &registration, &absent, shutdown.clone()).await {
        tracing::warn!(node = id, "not registered with ZooKeeper: {trouble}");
        tokio::select! {
            () = sleep(RETRY) => {}
            () = shutdown.begun() => return,
        }
    }
}

/// `None`: the shutdown has begun, and the session is closed.
async fn one_session(
    settings: &Zookeeper,
    id: &str,
    registration: &Registration,
    absent: &impl Fn(),
    mut shutdown: Shutdown,
) -> Option<Trouble> {
    let session = tokio::select! {
        opened = Session::open(settings) => match opened {
            Ok(session) => session,
            Err(trouble) => return Some(trouble),
        },
        () = shutdown.begun() => return None,
    };
    let trouble = tokio::select! {
        trouble = registered(&session, id, registration, absent) => Some(trouble),
        () = shutdown.begun() => None,
    };
    session.close().await;
    trouble
}

/// Registers and looks after the registration until the session is over.
async fn registered(session: &Session, id: &str, registration: &Registration, absent: &impl Fn()) -> Trouble {
    let data = written(registration);
    let begun = async {
        session.prepare().await?;
        if !is_there(session, id, registration).await? {
            absent();
        }
        session.register(Kind::Nodes, id, &data).await
    };
    match begun.await {
        Ok(()) => tracing::info!(node = id, address = %registration.address, "registered with ZooKeeper"),
        Err(trouble) => return trouble,
    }
    keep(session, id, &data, absent).await
}

/// The registration by an earlier session still stands: to everybody else this process never left.
async fn is_there(session: &Session, id: &str, registration: &Registration) -> Result<bool, Trouble> {
    let found = session.one(Kind::Nodes, id).await?;
    let found = found.and_then(|(data, _)| serde_json::from_slice::<Registration>(&data).ok());
    Ok(found.is_some_and(|found| found.boot == registration.boot))
}

async fn keep(session: &Session, id: &str, data: &[u8], absent: &impl Fn()) -> Trouble {
    let mut states = session.states();
    let mut foreign = false;
    loop {
        tokio::select! {
            state = states.changed() => match state {
                State::Over => return Trouble::Over("the session has expired".to_owned()),
                State::Away => tracing::warn!(node = id, "connection to ZooKeeper lost"),
                State::Connected => tracing::info!(node = id, "connection to ZooKeeper is back"),
            },
            () = sleep(LOOK) => {}
        }
        match session.ownership(Kind::Nodes, id).await {
            Ok(Ownership::Missing) => {
                absent();
                drop(session.register(Kind::Nodes, id, data).await);
            }
            // It is the newer one: to take the id back would go on for ever.
            Ok(Ownership::Foreign) if !foreign => {
                foreign = true;
                tracing::error!(node = id, "another process has registered under this id: give each node its own");
            }
            Err(trouble @ Trouble::Over(_)) => return trouble,
            Ok(_) | Err(_) => {}
        }
    }
}
