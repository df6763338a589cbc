//! Connections to origins ([`crate::net::http1`]): what a request to one is, whose fault it is that it failed, and what its
//! answer is to others.

use super::counters::{NodeCounters, add};
use crate::clock;
use crate::config::Config;
use crate::net::descriptors;
use crate::net::dial::Dialer;
use crate::net::http1::{
    self, Answer, ClientLimits, Conn, ConnWant, ExchangeError, Exchanged, Owes, Pins, Pool, Pools, Question, Room,
    Upload,
};
use crate::net::listen::Stream;
use crate::net::rules::Reach;
use crate::net::serve::BoxError;
use crate::net::shares::ClientId;
use crate::net::tls::{self, Roots, TlsTrouble};
use crate::wire::answer::decode::{self, Bounds, Head};
use crate::wire::fault::{Fault, Kind, Whose};
use crate::wire::head_limits::HeadLimits;
use crate::wire::length::BodyLength;
use crate::wire::target::Key;
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Interim responses before one answer, and bytes of them.
const INTERIM: (usize, usize) = (256, 1024 * 1024);
/// So much later than a front.
const LATER: Duration = Duration::from_secs(1);

/// All origins of a node.
pub struct Origins {
    dialer: Dialer,
    tls: tls::LateTlsClient,
    pools: Rc<Pools>,
    /// Of the head of an answer.
    head: HeadLimits,
    first_byte: Duration,
    origin_silence: Duration,
    counters: Rc<NodeCounters>,
}

/// What an origin is asked, but for the body.
pub struct OriginRequest<'a> {
    pub key: &'a Key,
    pub method: &'a Method,
    /// `OPTIONS` for the server itself (RFC 9112 section 3.2.4).
    pub pathless: bool,
    pub headers: &'a HeaderMap,
    pub same_machine: bool,
    pub of: ClientId,
    /// On connections of one client alone.
    pub pins: Option<&'a Rc<Pins>>,
}

/// An answer of an origin.
pub struct OriginReply {
    pub response: Response<OriginBody>,
    pub ends: BodyLength,
    /// Who may see what came from there.
    pub reach: Reach,
}

impl Origins {
    pub fn new(config: &Config, counters: Rc<NodeCounters>) -> Origins {
        let (limits, timeouts) = (&config.limits, &config.timeouts);
        let head = limits.of_heads();
        let (first_byte, origin_silence) = (timeouts.first_byte, timeouts.origin_silence);
        let room = Room {
            connections: limits.origin_connections,
            queue: limits.queue,
            queue_time: timeouts.queue,
            idle: timeouts.idle,
            age: timeouts.origin_age,
        };
        let limits = ClientLimits {
            bounds: Bounds { bytes: head.bytes.max(8192), fields: head.fields },
            answer: first_byte,
            take: origin_silence.max(first_byte),
            // A front keeps its clients to the limit, and is to be the first.
            give: timeouts.client_silence + LATER,
            silence: origin_silence,
            interim: INTERIM,
        };
        let (dialer, pools) = (Dialer::new(config), Pools::new(descriptors::for_idle(), room, limits));
        let idle = Rc::downgrade(&pools);
        dialer.relief().set(move |_| idle.upgrade().is_some_and(|pools| pools.close_longest_idle(1)));
        let tls = tls::LateTlsClient::new(Roots::of(&config.https));
        Origins { dialer, tls, pools, head, first_byte, origin_silence, counters }
    }

    /// Sends a request and waits for the head of the answer.
    pub async fn exchange(
        &self,
        request: &OriginRequest<'_>,
        upload: Option<Box<Upload>>,
        interim: &dyn Fn(Head),
    ) -> Result<OriginReply, Fault> {
        let OriginRequest { key, method, pathless, headers, same_machine, of, pins } = *request;
        let target = if pathless { "*" } else { key.target() };
        let head = http1::head(method, target, headers, upload.as_deref());
        let question = Question {
            head: &head,
            bodiless: method == Method::HEAD,
            idempotent: method.is_idempotent(),
            interim,
            message: None,
        };
        let pool = self.pools.get(key.root());
        let want = ConnWant { pool: &pool, of, pins, same_machine };
        let dial = async |again| self.dial(key, (same_machine, of), again).await;
        let reply = match self.ask(&want, &question, upload, dial).await? {
            Exchanged::Answer(answer) => self.reply(*answer),
            Exchanged::Message(_) => return Err(self.blame(Kind::ConnectionTerminated)),
        };
        if !self.allows(reply.response.headers()) {
            add(&self.counters.origin_failures, 1);
            return Err(too_long());
        }
        Ok(reply)
    }

    /// The pool of an origin that was asked before, by scheme and authority as keys write them.
    pub fn known(&self, origin: &[u8]) -> Option<Rc<Pool>> {
        self.pools.known(origin)
    }

    /// The same for the head of a request as it is sent to the origin of `url`, the text of a key.
    pub async fn pass(
        &self,
        pool: &Rc<Pool>,
        url: &[u8],
        (same_machine, of): (bool, ClientId),
        question: &Question<'_>,
    ) -> Result<Exchanged, Fault> {
        let want = ConnWant { pool, of, pins: None, same_machine };
        let dial = async |again| {
            self.dial(&self::url(url).map_err(ExchangeError::Unconnected)?, (same_machine, of), again).await
        };
        self.ask(&want, question, None, dial).await
    }

    async fn ask(
        &self,
        want: &ConnWant<'_>,
        question: &Question<'_>,
        upload: Option<Box<Upload>>,
        dial: impl AsyncFn(bool) -> Result<Conn, ExchangeError>,
    ) -> Result<Exchanged, Fault> {
        add(&self.counters.origin_requests, 1);
        http1::ask(want, question, upload, dial).await.map_err(|broken| self.failed(broken))
    }

    /// `again`: in place of one on which the request has gone out already.
    async fn dial(&self, key: &Key, (same_machine, of): (bool, ClientId), again: bool) -> Result<Conn, ExchangeError> {
        let (host, port) = (key.host(), key.port());
        let dialed = match key.scheme() {
            "https" => self.dialer.dial_tls(host, port, (same_machine, of), self.tls()?).await,
            _ => self.dialer.dial(&host.to_string(), port, same_machine, of).await,
        };
        let dialed = dialed.map_err(ExchangeError::Unconnected)?;
        add(&self.counters.origin_connections, 1);
        add(&self.counters.origin_requests, u64::from(again));
        if let Stream::Tls(session) = &dialed.stream {
            add(&self.counters.origin_tls_handshakes, 1);
            add(&self.counters.origin_tls_resumed, u64::from(session.is_resumed()));
        }
        Ok(Conn::new(dialed.stream, dialed.reach))
    }

    fn tls(&self) -> Result<&tls::TlsClient, ExchangeError> {
        self.tls.get(clock::tick()).map_err(|why| {
            let detail = format!("the proxy cannot speak TLS to origins: {why}");
            ExchangeError::Unconnected(Fault::us(StatusCode::BAD_GATEWAY, Kind::ProxyInternalError, detail))
        })
    }

    /// Closes connections that have been idle for too long, and forgets origins without any.
    pub fn sweep(&self) {
        self.pools.sweep();
    }

    /// For others who need its file. False: none is idle.
    pub fn close_longest_idle(&self) -> bool {
        self.pools.close_longest_idle(1)
    }

    /// Whether the front will take a head with these fields, however they came about: else it would blame the node.
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        self.head.allow(headers)
    }

    /// The answer as others expect it.
    pub fn reply(&self, answer: Answer) -> OriginReply {
        let reach = answer.reach();
        let (response, ends) = answer.into_response(Whose::Origin);
        let response = response.map(|body| OriginBody { body, counters: self.counters.clone() });
        OriginReply { response, ends, reach }
    }

    fn failed(&self, broken: ExchangeError) -> Fault {
        match broken {
            ExchangeError::Full => {
                Fault::origin(Kind::ConnectionLimitReached, "too many requests wait for this origin; try again later")
            }
            ExchangeError::Unconnected(fault) => fault,
            ExchangeError::Upload(why) => Fault::bad_request("the request's body broke off").because(why),
            ExchangeError::Unread(why) => self.unread(why),
            ExchangeError::Late(Owes::Giving) => paused(),
            ExchangeError::Late(Owes::Taking) => self.blame(Kind::ConnectionWriteTimeout),
            ExchangeError::Late(Owes::Answer) => self.blame(Kind::HttpResponseTimeout),
            // It has ended TLS, and said why.
            ExchangeError::Ended { heard: false, source: Some(e) } if TlsTrouble::of(&e).is_some() => {
                add(&self.counters.origin_failures, 1);
                TlsTrouble::of(&e)
                    .map_or_else(|| self.blame(Kind::TlsProtocolError), |trouble| trouble.fault("the origin"))
            }
            ExchangeError::Ended { heard, source } => {
                let kind = if heard { Kind::HttpResponseIncomplete } else { Kind::ConnectionTerminated };
                source.into_iter().fold(self.blame(kind), Fault::because)
            }
        }
    }

    /// What was sent cannot be read.
    fn unread(&self, why: &'static str) -> Fault {
        if why == decode::OTHER_CODING {
            return Fault::origin(Kind::HttpProtocolError, "the origin used a transfer coding that nobody asked for");
        }
        if matches!(why, decode::TOO_LONG | decode::TOO_MANY) {
            add(&self.counters.origin_failures, 1);
            return too_long().because(why);
        }
        self.blame(Kind::HttpProtocolError).because(why)
    }

    /// The origin failed before it had answered.
    fn blame(&self, kind: Kind) -> Fault {
        add(&self.counters.origin_failures, 1);
        let detail = match kind {
            Kind::HttpProtocolError => "the origin's answer is not HTTP",
            Kind::HttpResponseTimeout => return too_late(self.first_byte),
            Kind::ConnectionWriteTimeout => return took_nothing(self.origin_silence),
            Kind::HttpResponseIncomplete => "the origin closed the connection within the head of its answer",
            _ => "the origin closed the connection before it answered",
        };
        Fault::origin(kind, detail)
    }
}

/// The key that a URL is the text of.
pub fn url(text: &[u8]) -> Result<Key, Fault> {
    Key::parse(std::str::from_utf8(text).unwrap_or_default())
}

fn paused() -> Fault {
    let detail = "the client sent nothing of its request's body for longer than timeouts.client_silence";
    Fault::client(StatusCode::REQUEST_TIMEOUT, Kind::HttpRequestError, detail)
}

fn too_late(limit: Duration) -> Fault {
    let detail = format!(
        "the origin did not begin to answer within {limit:?} (timeouts.first_byte): raise that where origins take longer"
    );
    Fault::origin(Kind::HttpResponseTimeout, detail)
}

fn took_nothing(limit: Duration) -> Fault {
    let detail = format!(
        "the origin took nothing of the request's body for {limit:?} (timeouts.origin_silence): raise that where origins pause"
    );
    Fault::origin(Kind::ConnectionWriteTimeout, detail)
}

fn too_long() -> Fault {
    Fault::origin(
        Kind::HttpResponseHeaderSectionSize,
        "the head of the origin's answer is longer, or has more fields, than limits.head and limits.fields allow",
    )
}

/// The body of an origin's answer, counted.
pub struct OriginBody {
    body: Box<http1::ResponseBody>,
    counters: Rc<NodeCounters>,
}

impl OriginBody {
    /// The connection, where the origin has switched protocols on it, and what it has said since.
    pub fn take_stream(&mut self) -> Option<(Stream, Bytes)> {
        self.body.take_stream()
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                add(&this.counters.bytes_from_origin, frame.data_ref().map_or(0, |data| data.len() as u64));
            }
            Poll::Ready(Some(Err(_))) => add(&this.counters.origin_failures, 1),
            Poll::Ready(None) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
