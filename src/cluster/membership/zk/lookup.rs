//! Finding a front without knowing any: what `ringhold get --zookeeper` does.

use super::client::Session;
use super::record::{self, FrontRecord, RecordKind};
use super::trouble::{SaidOnce, ZkError};
use crate::config::{ClusterConfig, ZookeeperConfig};

/// The proxy addresses of all fronts that live, in the order of their ids.
pub async fn fronts(settings: &ZookeeperConfig, cluster: &ClusterConfig) -> Result<Vec<String>, ZkError> {
    let session = Session::open(settings, cluster, &SaidOnce::default()).await?;
    let found = session.all(RecordKind::Fronts).await;
    session.close().await;
    let (fronts, _) = match found {
        Ok(raw) => record::read::<FrontRecord>(&raw),
        // Nobody has made the folder yet.
        Err(ZkError::Conflict) => return Ok(Vec::new()),
        Err(trouble) => return Err(trouble),
    };
    // A front that only its own machine can use says no address.
    Ok(fronts.into_values().map(|front| front.proxy).filter(|proxy| !proxy.is_empty()).collect())
}
