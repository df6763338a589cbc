//! `/v1/nodes`: who is in the cluster.

use super::problem::{AdminReply, Problem, json};
use super::{Admin, query};
use crate::cluster::NO_NODES;
use crate::cluster::membership::spec::Spec;
use crate::cluster::ops::ListedNode;
use crate::config::parse_duration;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// The body of a PATCH.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    weight: Option<u32>,
    state: Option<Wanted>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Active,
    Draining,
}

impl Admin {
    pub fn nodes(&self) -> AdminReply {
        let nodes: Vec<Value> = self.cluster.list().iter().map(shown).collect();
        json(StatusCode::OK, &json!({"epoch": self.cluster.view().epoch, "nodes": nodes}))
    }

    pub fn node(&self, id: &str) -> Result<AdminReply, Problem> {
        Ok(json(StatusCode::OK, &shown(&self.cluster.find(id)?)))
    }

    pub async fn add_node(&self, spec: Spec) -> Result<AdminReply, Problem> {
        let listed = self.cluster.add(spec).await?;
        let mut reply = changed(StatusCode::CREATED, &listed);
        if let Ok(location) = HeaderValue::try_from(format!("/v1/nodes/{}", listed.id)) {
            reply.headers_mut().insert(LOCATION, location);
        }
        Ok(reply)
    }

    pub async fn change_node(&self, id: &str, patch: Patch) -> Result<AdminReply, Problem> {
        let mut listed: Option<ListedNode> = None;
        if let Some(weight) = patch.weight {
            listed = Some(self.cluster.set_weight(id, weight).await?);
        }
        let pending = listed.as_ref().is_some_and(|listed| listed.pending);
        match &patch.state {
            Some(Wanted::Active) => listed = Some(self.cluster.resume(id).await?),
            Some(Wanted::Draining) => listed = Some(self.cluster.drain(id).await?),
            None => {}
        }
        let drained = matches!(patch.state, Some(Wanted::Draining));
        match listed {
            Some(listed) => {
                let listed = ListedNode { pending: pending || listed.pending, ..listed };
                Ok(changed_with(StatusCode::OK, &listed, if drained { self.last(id) } else { None }))
            }
            None => {
                Err(Problem::bad_request("say what to change: \"weight\", or \"state\": \"active\" or \"draining\""))
            }
        }
    }

    /// 202: its keys are the next owners' from now on; it goes when its requests are done.
    pub async fn remove_node(&self, id: &str, query: Option<&str>) -> Result<AdminReply, Problem> {
        let drain = query::one(&query::pairs(query, &["drain"])?, "drain")?;
        let wrong = || Problem::bad_request("drain is a time, for example 30s");
        let drain = drain.map(|text| parse_duration(&text).ok_or_else(wrong)).transpose()?;
        let listed = self.cluster.remove(id, drain).await?;
        Ok(changed_with(StatusCode::ACCEPTED, &listed, self.last(id)))
    }

    /// Undoes what was changed here: the nodes are the file's again.
    pub async fn reset_nodes(&self) -> Result<AdminReply, Problem> {
        self.cluster.reset().await?;
        Ok(self.nodes())
    }

    /// The warning for who has taken the last node away.
    fn last(&self, id: &str) -> Option<String> {
        self.cluster.is_last(id).then(|| format!("this was the last node on the ring: {NO_NODES}"))
    }
}

/// 202 for what is recorded and not yet true.
fn changed(status: StatusCode, node: &ListedNode) -> AdminReply {
    changed_with(status, node, None)
}

fn changed_with(status: StatusCode, node: &ListedNode, warning: Option<String>) -> AdminReply {
    let mut body = shown(node);
    if let Some(warning) = warning {
        body["warning"] = warning.into();
    }
    if !node.pending {
        return json(status, &body);
    }
    body["detail"] = json!("recorded; the ring has not followed yet, and does so when a front leads again");
    json(StatusCode::ACCEPTED, &body)
}

fn shown(node: &ListedNode) -> Value {
    json!({
        "id": node.id,
        "address": node.address,
        "weight": node.weight,
        "spawn": node.spawn,
        "state": node.state.name(),
        "up": node.up,
        "slow": node.slow,
        "share": (node.share * 1e4).round() / 1e4,
        "load": node.load,
    })
}
