//! CONNECT to a listed host: answered in its name, or tunnelled on with every byte that the client has said.

use super::inside::Inside;
use super::interception::{Greeted, Interception, TunnelRequest};
use super::leaf::Leaf;
use super::passed::Passed;
use super::place::HandshakePlace;
use crate::clock::tick;
use crate::net::listen::Stream;
use crate::net::serve::Upgrade;
use crate::net::tls::Refused;
use crate::proxy::metrics::Handshake;
use crate::proxy::outcome::{AnswerEnd, AnswerSource, CacheResult, Verdict};
use crate::proxy::record::Record;
use crate::proxy::reply::{Reply, ReplyContent};
use crate::proxy::tunnel;
use crate::proxy::worker::Client;
use crate::wire::authority::without_root;
use crate::wire::client_hello::{self, ClientHello, HelloRead};
use crate::wire::fault::{Blame, Kind, Whose};
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// Who says nothing for so long waits for the other end to speak first.
const SILENCE: Duration = Duration::from_secs(3);

/// As much is read of a hello at once, at least and at most.
const READ: usize = 512;
const MOST_READ: usize = 4096;

/// What the client says first.
enum ClientSaid {
    Hello(ClientHello),
    Other(Passed),
    /// It has left, or takes too long, or says too much.
    Nothing,
}

/// A tunnel to a host that is answered for.
pub struct ListedTunnel {
    client: Rc<Client>,
    https: Arc<Interception>,
    asked: TunnelRequest,
    inside: Inside,
    place: HandshakePlace,
}

/// The same once it was agreed to.
struct Task {
    tunnel: ListedTunnel,
    record: Option<Record>,
}

/// Whether a tunnel is to one of the hosts that are answered for, or why it is none all the same. `None`: it is not listed.
pub fn listed(client: &Rc<Client>, host: &str, port: u16) -> Option<Result<ListedTunnel, Passed>> {
    let https = client.worker.https.as_ref()?;
    let address = client.peer.addr.map(|addr| addr.ip());
    let asked = TunnelRequest { address, host: without_root(host).to_ascii_lowercase().into(), port };
    let listed = https.before(&asked, client.worker.routing().view.takes_https())?;
    Some(listed.and_then(|()| {
        let inside = Inside::of(host, port).ok_or(Passed::Unsigned)?;
        let place = HandshakePlace::take(client.source).map_err(|_| Passed::Busy)?;
        Ok(ListedTunnel { client: client.clone(), https: https.clone(), asked, inside, place })
    }))
}

/// It is listed, and tunnelled all the same.
pub fn note(client: &Client, why: Passed, record: &mut Option<Record>) {
    client.worker.shared.counters.tls_passed[why as usize].add(1);
    if let Some(record) = record {
        record.tls(why.logged());
    }
}

impl ListedTunnel {
    /// 200 at once: whether the host can be reached is for whoever has to ask it. `serve`: what answers inside.
    pub fn take(
        self,
        upgrade: Upgrade,
        mut record: Option<Record>,
        serve: impl FnOnce(Stream, Rc<Client>) + 'static,
    ) -> Response<Reply> {
        if let Some(record) = &mut record {
            let (status, source, cache) = (StatusCode::OK, AnswerSource::Tunnel, CacheResult::Unknown);
            record.decide(Verdict { status, source, cache, blame: None });
        }
        let connections = self.client.worker.connections.clone();
        connections.spawn(Task { tunnel: self, record }.run(upgrade, serve));
        Response::new(Reply::new(ReplyContent::empty(), None))
    }

    /// The certificate to answer a hello with. A node may have joined since the tunnel was agreed to.
    fn certificate(&self, hello: &ClientHello) -> Result<Arc<Leaf>, Passed> {
        match self.client.worker.routing().view.takes_https() {
            true => self.https.certificate(&self.asked, hello),
            false => Err(Passed::Nodes),
        }
    }
}

impl Task {
    async fn run(mut self, upgrade: Upgrade, serve: impl FnOnce(Stream, Rc<Client>)) {
        let Some((mut near, ahead)) = upgrade.taken().await else { return };
        let limit = self.tunnel.client.worker.config.timeouts.header;
        let (said, bytes) = hear(&mut near, ahead, limit, &mut self.tunnel.place).await;
        let answered = match said {
            ClientSaid::Hello(hello) => self.tunnel.certificate(&hello).map(|leaf| (leaf, hello)),
            ClientSaid::Other(why) => Err(why),
            ClientSaid::Nothing => return self.failed(Handshake::Failed, "failed"),
        };
        match (answered, near) {
            (Ok((leaf, hello)), Stream::Tcp(socket)) => {
                let shaking = self.tunnel.https.server.accept(socket, &leaf.chain, bytes);
                match timeout(limit, shaking).await {
                    Ok(Ok(session)) => {
                        let greeted = self.tunnel.https.greeted(&self.tunnel.asked, &hello);
                        self.open(Stream::Tls(Box::new(session)), greeted, serve);
                    }
                    Ok(Err(refused)) => {
                        tracing::debug!("a handshake as {} failed: {refused}", self.tunnel.asked.host);
                        self.tunnel.https.refused(&self.tunnel.asked, &hello, &refused);
                        match refused {
                            Refused::Certificate(_) => self.failed(Handshake::Refused, "refused"),
                            Refused::Incompatible(_) | Refused::Otherwise(_) => {
                                self.failed(Handshake::Failed, "failed");
                            }
                        }
                    }
                    Err(_) => self.failed(Handshake::Failed, "failed"),
                }
            }
            (Ok(_), near) => self.pass(near, bytes, Passed::NotTls).await,
            (Err(why), near) => self.pass(near, bytes, why).await,
        }
    }

    /// Requests are answered inside from now on.
    fn open(mut self, stream: Stream, greeted: Greeted, serve: impl FnOnce(Stream, Rc<Client>)) {
        let resumed = matches!(&stream, Stream::Tls(session) if session.is_resumed());
        let how = if resumed { Handshake::Resumed } else { Handshake::Full };
        let counters = &self.tunnel.client.worker.shared.counters;
        counters.handshake(how);
        counters.tls_versions[usize::from(stream.is_http2())].add(1);
        if let Some(record) = &mut self.record {
            record.tls("hit");
            record.end(AnswerEnd::Complete);
        }
        serve(stream, Rc::new(Client::within(self.tunnel.client, self.tunnel.inside, greeted)));
    }

    async fn pass(mut self, near: Stream, said: Bytes, why: Passed) {
        let ListedTunnel { client, asked, place, .. } = self.tunnel;
        drop(place);
        note(&client, why, &mut self.record);
        tunnel::pass(&client, near, said, (&asked.host, asked.port), self.record).await;
    }

    fn failed(mut self, how: Handshake, logged: &'static str) {
        self.tunnel.client.worker.shared.counters.handshake(how);
        if let Some(record) = &mut self.record {
            record.tls(logged);
            record.end(AnswerEnd::Broke(Blame::new(Whose::Client, Kind::TlsProtocolError)));
        }
    }
}

/// The hello, and all that was read for it.
async fn hear(near: &mut Stream, ahead: Bytes, limit: Duration, place: &mut HandshakePlace) -> (ClientSaid, Bytes) {
    let (began, mut bytes, mut wanted) = (tick(), BytesMut::from(&ahead[..]), 0);
    let said = loop {
        if bytes.len() >= wanted {
            match client_hello::read(&bytes) {
                HelloRead::Hello(hello) => break ClientSaid::Hello(hello),
                HelloRead::Other => break ClientSaid::Other(Passed::NotTls),
                HelloRead::Partial(more) => wanted = bytes.len() + more,
            }
        }
        // No more than that for who says that much will come.
        bytes.reserve((wanted - bytes.len()).clamp(READ, MOST_READ));
        if wanted > client_hello::LONGEST || place.hears(bytes.capacity()).is_err() {
            break ClientSaid::Nothing;
        }
        let (is_silent, left) = (bytes.is_empty(), limit.saturating_sub(tick().since(began)));
        let wait = if is_silent { left.min(SILENCE) } else { left };
        match timeout(wait, near.read_buf(&mut bytes)).await {
            Ok(Ok(read)) if read > 0 => {}
            Err(_) if is_silent => break ClientSaid::Other(Passed::Silence),
            _ => break ClientSaid::Nothing,
        }
    };
    (said, bytes.freeze())
}
