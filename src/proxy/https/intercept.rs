//! CONNECT to a listed host: answered in its name, or tunnelled on with every byte that the client has said.

use super::inside::Inside;
use super::interception::{Interception, TunnelRequest};
use super::passed::Passed;
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

/// What the client says first.
enum ClientSaid {
    Hello(ClientHello),
    Other(Passed),
    /// It has left, or takes too long, or says too much.
    Nothing,
}

/// A tunnel that was asked for.
struct Task {
    client: Rc<Client>,
    https: Arc<Interception>,
    asked: TunnelRequest,
    inside: Inside,
    record: Option<Record>,
}

/// Whether a tunnel is to one of the hosts that are answered for. `None`: it is not listed.
pub fn is_listed(client: &Client, host: &str, port: u16) -> Option<Result<(), Passed>> {
    let https = client.worker.https.as_ref()?;
    let listed = https.before(&asked(client, host, port), client.worker.routing().is_private())?;
    Some(listed.and_then(|()| Inside::of(host, port).map(drop).ok_or(Passed::Unsigned)))
}

/// It is listed, and tunnelled all the same.
pub fn note(client: &Client, why: Passed, record: &mut Option<Record>) {
    client.worker.shared.counters.tls_passed[why as usize].add(1);
    if let Some(record) = record {
        record.tls(why.logged());
    }
}

/// 200 at once: whether the host can be reached is for whoever has to ask it. `serve`: what answers inside.
pub fn take(
    client: &Rc<Client>,
    (host, port): (&str, u16),
    upgrade: Option<Upgrade>,
    record: &mut Option<Record>,
    serve: impl FnOnce(Stream, Rc<Client>) + 'static,
) -> Response<Reply> {
    if let (Some(upgrade), Some(https), Some(inside)) = (upgrade, client.worker.https.clone(), Inside::of(host, port)) {
        let (asked, mut record) = (asked(client, host, port), record.take());
        if let Some(record) = &mut record {
            let (status, source, cache) = (StatusCode::OK, AnswerSource::Tunnel, CacheResult::Unknown);
            record.decide(Verdict { status, source, cache, blame: None });
        }
        let task = Task { client: client.clone(), https, asked, inside, record };
        client.worker.connections.spawn(task.run(upgrade, serve));
    }
    Response::new(Reply::new(ReplyContent::empty(), None))
}

fn asked(client: &Client, host: &str, port: u16) -> TunnelRequest {
    let address = client.peer.addr.map(|addr| addr.ip());
    TunnelRequest { address, host: host.to_ascii_lowercase().into(), port }
}

impl Task {
    async fn run(self, upgrade: Upgrade, serve: impl FnOnce(Stream, Rc<Client>)) {
        let Some((mut near, ahead)) = upgrade.taken().await else { return };
        let limit = self.client.worker.config.timeouts.header;
        let (said, bytes) = hear(&mut near, ahead, limit).await;
        let answered = match said {
            ClientSaid::Hello(hello) => self.https.certificate(&self.asked, &hello).map(|leaf| (leaf, hello)),
            ClientSaid::Other(why) => Err(why),
            ClientSaid::Nothing => return self.failed(Handshake::Failed, "failed"),
        };
        match (answered, near) {
            (Ok((leaf, hello)), Stream::Tcp(socket)) => {
                let shaking = self.https.server.accept(socket, &leaf.chain, bytes);
                match timeout(limit, shaking).await {
                    Ok(Ok(session)) => self.open(Stream::Tls(Box::new(session)), serve),
                    Ok(Err(refused)) => {
                        tracing::debug!("a handshake as {} failed: {refused}", self.asked.host);
                        self.https.refused(&self.asked, &hello, &refused);
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
    fn open(mut self, stream: Stream, serve: impl FnOnce(Stream, Rc<Client>)) {
        let resumed = matches!(&stream, Stream::Tls(session) if session.is_resumed());
        let how = if resumed { Handshake::Resumed } else { Handshake::Full };
        self.client.worker.shared.counters.handshake(how);
        if let Some(record) = &mut self.record {
            record.tls("hit");
            record.end(AnswerEnd::Complete);
        }
        serve(stream, Rc::new(Client::within(self.client, self.inside)));
    }

    async fn pass(mut self, near: Stream, said: Bytes, why: Passed) {
        note(&self.client, why, &mut self.record);
        tunnel::pass(&self.client, near, said, (&self.asked.host, self.asked.port), self.record).await;
    }

    fn failed(mut self, how: Handshake, logged: &'static str) {
        self.client.worker.shared.counters.handshake(how);
        if let Some(record) = &mut self.record {
            record.tls(logged);
            record.end(AnswerEnd::Broke(Blame::new(Whose::Client, Kind::TlsProtocolError)));
        }
    }
}

/// The hello, and all that was read for it.
async fn hear(near: &mut Stream, ahead: Bytes, limit: Duration) -> (ClientSaid, Bytes) {
    let (began, mut bytes) = (tick(), BytesMut::from(&ahead[..]));
    let said = loop {
        match client_hello::read(&bytes) {
            HelloRead::Hello(hello) => break ClientSaid::Hello(hello),
            HelloRead::Other => break ClientSaid::Other(Passed::NotTls),
            HelloRead::Partial if bytes.len() >= client_hello::LONGEST => break ClientSaid::Nothing,
            HelloRead::Partial => {}
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
