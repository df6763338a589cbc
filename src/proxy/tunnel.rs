//! Tunnels: CONNECT, and connections that a 101 has switched to another protocol.

use super::outcome::{AnswerEnd, AnswerSource, CacheResult, Verdict};
use super::record::Record;
use super::reply::{Reply, ReplyContent};
use super::worker::{Client, Worker};
use super::{link, own, pages};
use crate::config::Address;
use crate::net::listen::Stream;
use crate::net::serve::Upgrade;
use crate::net::splice::{self, TunnelSide, splice};
use crate::wire::fault::{Blame, Fault, Kind, Whose};
use bytes::Bytes;
use http::{Response, StatusCode};
use std::net::SocketAddr;
use std::rc::Rc;

/// What the client is connected to.
enum Far {
    Origin(Stream),
    Node(link::NodeConn),
}

/// A connection that nobody can take over.
pub fn cannot() -> Fault {
    let detail = "This connection cannot become a tunnel. This is a bug: please report it.";
    Fault::us(StatusCode::INTERNAL_SERVER_ERROR, Kind::ProxyInternalError, detail)
}

/// CONNECT, which the client may say: dials, answers 200, and copies both ways until both have ended.
pub async fn connect(
    client: &Rc<Client>,
    host: &str,
    port: u16,
    upgrade: Upgrade,
    record: &mut Option<Record>,
) -> Result<Response<Reply>, Fault> {
    let origin = dial(client, host, port).await?;
    decide(record, StatusCode::OK);
    start(client, Some(upgrade), Far::Origin(origin), Bytes::new(), record.take());
    Ok(Response::new(Reply::new(ReplyContent::empty(), None)))
}

/// The same for a client that has had its 200, and of which `said` was read since.
pub async fn pass(client: &Rc<Client>, near: Stream, said: Bytes, (host, port): (&str, u16), record: Option<Record>) {
    match dial(client, host, port).await {
        Ok(origin) => counted(&client.worker, (near, said), (Far::Origin(origin), Bytes::new()), record).await,
        Err(fault) => {
            tracing::debug!("no tunnel to {host}:{port}: {fault}");
            if let Some(mut record) = record {
                record.end(AnswerEnd::Broke(fault.blame()));
            }
        }
    }
}

async fn dial(client: &Client, host: &str, port: u16) -> Result<Stream, Fault> {
    let dialed = client.worker.dialer.dial(host, port, client.peer.same_machine, client.source).await?;
    refuse_ours(&client.worker, dialed.address, dialed.is_own)?;
    Ok(dialed.stream)
}

/// Nodes are controlled by fronts and the admin API by its users, neither through the proxy: a tunnel would say nothing of
/// having come through one. Whoever came out of a tunnel to the proxy itself would be a client on this machine, wherever he
/// is. Decided on the address that is really connected to; nothing has been sent yet.
fn refuse_ours(worker: &Worker, address: SocketAddr, is_own: bool) -> Result<(), Fault> {
    let admin = worker.front.admin;
    if is_own && address.port() == admin.port() {
        return Err(pages::use_noproxy(&admin.to_string()));
    }
    let leads_to =
        |listen: &SocketAddr| listen.port() == address.port() && own::leads_to(address.ip(), is_own, listen.ip());
    if is_own && worker.front.listen.iter().any(leads_to) {
        return Err(own::looped());
    }
    let is_node = |node: &Address| {
        node.port() == Some(address.port()) && (is_own || node.ip() == Some(address.ip().to_canonical()))
    };
    let view = &worker.routing().view;
    match view.nodes.iter().chain(&view.beside).any(|node| is_node(&node.address)) {
        true => Err(Fault::denied("A cache node listens there, which is for the fronts of its cluster alone.")),
        false => Ok(()),
    }
}

/// A node has answered 101: the same with its connection, of which `early` was read already.
pub fn switch(
    client: &Rc<Client>,
    upgrade: Option<Upgrade>,
    conn: link::NodeConn,
    early: Bytes,
    record: &mut Option<Record>,
) -> Reply {
    decide(record, StatusCode::SWITCHING_PROTOCOLS);
    start(client, upgrade, Far::Node(conn), early, record.take());
    Reply::new(ReplyContent::empty(), None)
}

fn decide(record: &mut Option<Record>, status: StatusCode) {
    if let Some(record) = record {
        record.decide(Verdict { status, source: AnswerSource::Tunnel, cache: CacheResult::Unknown, blame: None });
    }
}

fn start(client: &Rc<Client>, upgrade: Option<Upgrade>, far: Far, early: Bytes, record: Option<Record>) {
    let Some(upgrade) = upgrade else { return };
    let (client, worker) = (client.clone(), client.worker.clone());
    let connections = worker.connections.clone();
    connections.spawn(async move {
        let Some(near) = upgrade.taken().await else { return };
        counted(&worker, near, (far, early), record).await;
        drop(client);
    });
}

async fn counted(worker: &Worker, near: (Stream, Bytes), far: (Far, Bytes), record: Option<Record>) {
    worker.shared.counters.tunnels.add(1);
    worker.shared.counters.tunnels_open.add(1);
    run(worker, near, far, record).await;
    worker.shared.counters.tunnels_open.sub(1);
}

async fn run(
    worker: &Worker,
    (mut near, sent_ahead): (Stream, Bytes),
    (mut far, early): (Far, Bytes),
    mut record: Option<Record>,
) {
    let (far_stream, asked) = match &mut far {
        Far::Origin(stream) => (stream, None),
        Far::Node(conn) => {
            let pool = conn.slot.pool();
            let asked = (link::NodeProcess::of(&pool.node), pool.shared.clone());
            (conn.link.http.stream(), Some(asked))
        }
    };
    let limits = splice::TunnelLimits { idle: worker.config.timeouts.tunnel_idle, shutdown: worker.shutdown.clone() };
    let (moved, end) = splice(&mut near, sent_ahead, far_stream, early, limits).await;
    let node_has_gone = match (asked, end) {
        (Some((process, shared)), splice::TunnelEnd::Broken(TunnelSide::Second)) => process.has_gone(&shared).await,
        // A process that is gone looks on TCP like one that has said all.
        (Some((process, shared)), splice::TunnelEnd::Closed) if process.is_on_tcp() => process.has_gone(&shared).await,
        _ => false,
    };
    if let Some(record) = &mut record {
        record.sent(usize::try_from(moved.up + moved.down).unwrap_or(usize::MAX));
        record.end(match end {
            _ if node_has_gone => AnswerEnd::Broke(Blame::new(Whose::Node, Kind::ConnectionTerminated)),
            splice::TunnelEnd::Closed => AnswerEnd::Complete,
            splice::TunnelEnd::Idle => AnswerEnd::Idle,
            splice::TunnelEnd::Broken(TunnelSide::First) => AnswerEnd::ClientLeft,
            // Through a node as well, which breaks its side where the origin has broken the other.
            splice::TunnelEnd::Broken(TunnelSide::Second) => {
                AnswerEnd::Broke(Blame::new(Whose::Origin, Kind::ConnectionTerminated))
            }
        });
    }
}
