//! `/v1/ring`, and who owns what.

use super::super::https::listed::{self, TunnelSaid};
use super::super::https::passed::Passed;
use super::problem::{AdminReply, Problem, json};
use super::{Admin, query};
use crate::clock;
use crate::cluster::views::{Node, View};
use crate::wire::target::Key;
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::sync::Arc;

impl Admin {
    /// All that is needed to build the same ring elsewhere.
    pub fn ring(&self) -> AdminReply {
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

    pub fn owner(&self, query: Option<&str>) -> Result<AdminReply, Problem> {
        let key = query::key(query)?;
        let view = self.cluster.view();
        match view.may_carry(&key) {
            true => Ok(json(StatusCode::OK, &placed(&view, &key))),
            false => Ok(json(StatusCode::OK, &tunnelled(&key))),
        }
    }

    /// Who owns a URL, who answers for it now, what is stored there, and what a GET with these `header`s would get and why.
    pub async fn explain(&self, query: Option<&str>) -> Result<AdminReply, Problem> {
        let (key, fields) = query::key_and_fields(query)?;
        let view = self.cluster.view();
        if !view.may_carry(&key) {
            let mut explained = tunnelled(&key);
            explained["tunnel"] = json!({"intercepted": false, "passed": Passed::Nodes.token(), "why": TUNNELLED});
            return Ok(json(StatusCode::OK, &explained));
        }
        let mut explained = placed(&view, &key);
        let serving = successors(&view, &key).into_iter().find(|node| node.is_up());
        explained["serving"] = json!(serving.as_ref().map(|node| &node.id));
        let said = match serving {
            Some(node) => self.said_of(&node, &key, &fields).await?,
            None => Map::new(),
        };
        if let Some(tunnel) = self.tunnel(&view, &key) {
            explained["tunnel"] = tunnel;
        }
        if let Value::Object(all) = &mut explained {
            said.into_iter().for_each(|(name, value)| _ = all.entry(name).or_insert(value));
        }
        Ok(json(StatusCode::OK, &explained))
    }

    /// What becomes of a tunnel to an https URL's host.
    fn tunnel(&self, view: &View, key: &Key) -> Option<Value> {
        if key.scheme() != "https" {
            return None;
        }
        let (host, port) = (key.host().to_string(), key.port());
        // As a CONNECT has it.
        let host = host.trim_matches(['[', ']']);
        let TunnelSaid { intercepted, passed, why } = match &self.https {
            Some(https) => https.said(host, port),
            None => listed::said(&self.config.https.list, None, host, port, clock::wall()),
        };
        let (intercepted, passed, why) = match intercepted && !view.takes_https() {
            true => (false, Some(Passed::Nodes), OTHER_RULES.to_owned()),
            false => (intercepted, passed, why),
        };
        let refused = self.https.iter().flat_map(|https| https.refused_by(host, port));
        let refused: Vec<Value> = refused
            .map(|(address, left)| json!({"address": address.map(|a| a.to_canonical()), "seconds": left.as_secs()}))
            .collect();
        Some(
            json!({"intercepted": intercepted, "passed": passed.map(Passed::token), "why": why, "refused_by": refused}),
        )
    }

    async fn said_of(&self, node: &Node, key: &Key, fields: &[String]) -> Result<Map<String, Value>, Problem> {
        let failed = |why: String| Problem::new(StatusCode::BAD_GATEWAY, format!("node `{}`: {why}", node.id));
        let answer = self.cluster.explain(node, key, fields).await;
        match answer.map_err(|trouble| failed(trouble.to_string()))? {
            (StatusCode::OK, body) => serde_json::from_slice(&body).map_err(|e| failed(e.to_string())),
            (status, _) => Err(failed(format!("it answered with status {}", status.as_u16()))),
        }
    }
}

/// Why none is asked for the https of a listed host.
const OTHER_RULES: &str = "a node is of another version, with other rules for https URLs: https is tunnelled until all nodes and \
                           fronts have the same version";
/// Why no node has to do with an https URL.
const TUNNELLED: &str = "https is tunnelled through the proxy (CONNECT) and not cached, because a node is reached by TCP and has \
                         not been found to speak TLS: give all fronts and nodes the same [cluster] secret";

/// No node owns it.
fn tunnelled(key: &Key) -> Value {
    json!({
        "key": key.as_str(),
        "owner": null,
        "stored": [],
        "answer": {"does": "tunnel", "why": TUNNELLED},
        "detail": TUNNELLED,
    })
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
