//! `/v1/ring`, and who owns what.

use super::problem::{Problem, Reply, json};
use super::{Admin, query};
use crate::cluster::view::{Node, View};
use crate::wire::target::Key;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

impl Admin {
    /// All that is needed to build the same ring elsewhere.
    pub fn ring(&self) -> Reply {
        let view = self.cluster.view();
        json(
            StatusCode::OK,
            &json!({
                "epoch": view.epoch,
                "digest": format!("{:016x}", view.ring.digest()),
                "hash": view.ring.hash(),
                "points": view.ring.points(),
                "members": view.ring.members(),
            }),
        )
    }

    pub fn owner(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let key = query::key(query, &[])?;
        Ok(json(StatusCode::OK, &placed(&self.cluster.view(), &key)))
    }

    /// Who owns a URL, who answers for it now, and what is stored there. (`header`s select nothing yet.)
    pub async fn explain(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let key = query::key(query, &["header"])?;
        let view = self.cluster.view();
        let mut explained = placed(&view, &key);
        let serving = successors(&view, &key).into_iter().find(|node| node.is_up());
        explained["serving"] = json!(serving.as_ref().map(|node| &node.id));
        explained["stored"] = match serving {
            Some(node) => self.stored(&node, &key).await?,
            None => Value::Null,
        };
        Ok(json(StatusCode::OK, &explained))
    }

    /// What the node says of it; null when it has nothing.
    async fn stored(&self, node: &Node, key: &Key) -> Result<Value, Problem> {
        let failed = |why: String| Problem::new(StatusCode::BAD_GATEWAY, format!("node `{}`: {why}", node.id));
        let (status, body) = self.cluster.stored(node, key).await.map_err(|trouble| failed(trouble.to_string()))?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|e| failed(e.to_string())),
            StatusCode::NOT_FOUND => Ok(Value::Null),
            status => Err(failed(format!("it answered with status {}", status.as_u16()))),
        }
    }
}

fn placed(view: &View, key: &Key) -> Value {
    let successors = successors(view, key);
    json!({
        "key": key.as_str(),
        "epoch": view.epoch,
        "position": format!("{:016x}", view.ring.position(key.as_str())),
        "owner": successors.first().map(|node| &node.id),
        "up": successors.first().is_some_and(|node| node.is_up()),
        "successors": successors.iter().map(|node| &node.id).collect::<Vec<_>>(),
    })
}

/// The owner first.
fn successors(view: &View, key: &Key) -> Vec<Arc<Node>> {
    let position = view.ring.position(key.as_str());
    view.ring.successors(position).filter_map(|i| view.nodes.get(i).cloned()).collect()
}
