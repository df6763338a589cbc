//! `/v1/cluster`: who forms the cluster, as this front knows it.

use super::Admin;
use super::problem::{AdminReply, json};
use crate::cluster::membership::zk::{FrontPeer, Keeper, ZkLine};
use http::StatusCode;
use serde_json::{Value, json};

impl Admin {
    pub fn overview(&self) -> AdminReply {
        let body = match self.cluster.keeper() {
            None => self.alone(),
            Some(keeper) => self.together(keeper),
        };
        json(StatusCode::OK, &body)
    }

    /// In static mode, this front.
    fn alone(&self) -> Value {
        let (view, readiness) = (self.cluster.view(), self.cluster.readiness());
        let front = json!({"self": true, "proxy": self.config.proxy.listen, "admin": self.address});
        json!({
            "mode": "static",
            "fronts": [front],
            "epoch": view.epoch,
            "digest": format!("{:016x}", view.ring.digest()),
            "nodes": readiness.nodes,
            "up": readiness.up,
        })
    }

    fn together(&self, keeper: &Keeper) -> Value {
        let (view, readiness, peers) = (self.cluster.view(), self.cluster.readiness(), keeper.fronts());
        let leader = peers.iter().find(|peer| peer.record.leads).map(|peer| &peer.id);
        let members = self.cluster.list().into_iter().map(|node| {
            let registered = keeper.is_registered(&node.id);
            json!({
                "id": node.id,
                "address": node.address,
                "state": node.state.name(),
                "up": node.up,
                "registered": registered,
            })
        });
        json!({
            "mode": "zookeeper",
            "zookeeper": line(keeper),
            "leader": leader,
            "fronts": peers.iter().map(front).collect::<Vec<_>>(),
            "epoch": view.epoch,
            "digest": format!("{:016x}", view.ring.digest()),
            "nodes": readiness.nodes,
            "up": readiness.up,
            "members": members.collect::<Vec<_>>(),
        })
    }
}

fn line(keeper: &Keeper) -> Value {
    match keeper.line() {
        ZkLine::Up(session) => json!({"connect": keeper.settings.connect, "state": "connected", "session": session}),
        ZkLine::Down(why) => json!({"connect": keeper.settings.connect, "state": "disconnected", "reason": why}),
    }
}

fn front(peer: &FrontPeer) -> Value {
    let record = &peer.record;
    json!({
        "id": peer.id,
        "self": peer.own,
        "proxy": record.proxy,
        "admin": record.admin,
        "epoch": record.epoch,
        "leads": record.leads,
        "version": record.version,
    })
}
