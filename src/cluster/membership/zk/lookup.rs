//! Finding a front without knowing any: what `ringhold get --zookeeper` does.

use super::client::{Kind, Session, Trouble};
use super::record::{self, FrontRecord};
use crate::config::{Cluster, Zookeeper};

/// The proxy addresses of all fronts that live, in the order of their ids.
pub async fn fronts(settings: &Zookeeper, cluster: &Cluster) -> Result<Vec<String>, Trouble> {
    let session = Session::open(settings, cluster).await?;
    let found = session.all(Kind::Fronts).await;
    session.close().await;
    let (fronts, _) = match found {
        Ok(raw) => record::read::<FrontRecord>(&raw),
        // Nobody has made the folder yet.
        Err(Trouble::Conflict) => return Ok(Vec::new()),
        Err(trouble) => return Err(trouble),
    };
    // A front that only its own machine can use says no address.
    Ok(fronts.into_values().map(|front| front.proxy).filter(|proxy| !proxy.is_empty()).collect())
}
