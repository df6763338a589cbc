//! A second look at a node: whether the process that was asked is there still, whatever became of a connection to it. Nobody
//! is suspected for what it finds.

use super::shared::Shared;
use crate::cluster::health;
use crate::cluster::views::Node;
use crate::net::{descriptors, prove};
use std::sync::Arc;
use tokio::time::timeout;

/// A node as it was when it was asked.
#[derive(Clone)]
pub struct NodeProcess {
    node: Arc<Node>,
    /// 0: it has not been met yet.
    boot: u64,
}

impl NodeProcess {
    pub fn of(node: &Arc<Node>) -> NodeProcess {
        NodeProcess { node: node.clone(), boot: node.boot() }
    }

    pub fn is_on_tcp(&self) -> bool {
        self.node.address.port().is_some()
    }

    /// Whether it is no more, or another one is in its place. Where nobody can tell it is there.
    pub async fn has_gone(&self, shared: &Shared) -> bool {
        let (node, boot) = (&self.node, self.boot);
        let asked = async {
            let mut stream = prove::reach(&node.address, &node.id, &shared.cluster, || node.is_up()).await?;
            health::boot(&mut stream).await
        };
        match timeout(shared.timeouts.connect, asked).await {
            Ok(Ok(now)) => boot != 0 && now != boot,
            // One that is about to be gone takes connections for a moment still, and says nothing on them.
            Ok(Err(e)) => !descriptors::is_our_lack(&e),
            Err(_) => false,
        }
    }
}
