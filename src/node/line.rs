//! The connections to one other node, and one exchange on one of them.

use super::last_words::{LastWords, Spoken};
use super::peer::{Limits, Peer};
use crate::clock::{Tick, tick};
use crate::config::Address;
use crate::net::descriptors;
use crate::net::listen::Stream;
use crate::net::prove;
use crate::net::serve::BoxError as BodyError;
use crate::wire::fault::{Blame, Kind, Whose};
use crate::wire::link;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Empty;
use hyper::client::conn::http1::{self, SendRequest};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::net::UnixStream;
use tokio::time::Sleep;

/// Idle connections that are kept.
const IDLE: usize = 64;

type Sender = SendRequest<Empty<Bytes>>;

/// A connection that no request is on.
struct Idle {
    sender: Sender,
    words: LastWords,
    since: Tick,
}

pub struct Line {
    peer: Peer,
    limits: Rc<Limits>,
    idle: RefCell<Vec<Idle>>,
    busy: Cell<usize>,
    backoff: Cell<Backoff>,
    /// We had no file for a connection, which says nothing of the node.
    lacking: Cell<bool>,
}

/// For how long a node that did not answer is left alone: briefly at first, which a moment of much work costs little, and
/// ever longer, up to a second, while it goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Backoff {
    until: u64,
    failures: u32,
}

const FIRST: u64 = 50;
const LONGEST: u64 = 1000;

impl Backoff {
    /// What fails while it is left alone was asked before, and fails for the same reason.
    fn failed(self, now: Tick) -> Backoff {
        if self.lasts(now) {
            return self;
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        Backoff { until: now.0.saturating_add(pause), failures: self.failures.saturating_add(1) }
    }

    fn lasts(self, now: Tick) -> bool {
        now.0 < self.until
    }
}

/// A connection in use.
struct Lease {
    line: Rc<Line>,
    sender: Sender,
    words: LastWords,
    _busy: Busy,
}

/// Counts it.
struct Busy(Rc<Line>);

impl Line {
    pub fn new(peer: Peer, limits: Rc<Limits>) -> Line {
        let (idle, busy, backoff, lacking) = Default::default();
        Line { peer, limits, idle, busy, backoff, lacking }
    }

    pub fn is_left_alone(&self, now: Tick) -> bool {
        self.backoff.get().lasts(now)
    }

    /// It was refused, or silent for too long.
    pub fn failed(&self, now: Tick) {
        if self.lacking.take() {
            return;
        }
        self.backoff.set(self.backoff.get().failed(now));
        self.idle.borrow_mut().clear();
    }

    /// It answered.
    pub fn answered(&self) {
        self.backoff.take();
    }

    /// Closes what was idle for too long; whether there is a reason to remember this node.
    pub fn sweep(&self, now: Tick) -> bool {
        self.idle.borrow_mut().retain(|idle| !idle.sender.is_closed() && now.since(idle.since) < self.limits.idle);
        !self.idle.borrow().is_empty() || self.busy.get() > 0 || self.is_left_alone(now)
    }

    /// Sends a request (absolute-form, without a body) and waits for the head of the answer: on a kept connection, and if
    /// that proves dead, on a new one. Takes as long as it takes; dropping it closes the connection.
    pub async fn exchange(
        self: &Rc<Line>,
        request: impl Fn() -> Request<Empty<Bytes>>,
    ) -> Result<Response<PeerBody>, Box<dyn Error + Send + Sync>> {
        if let Some(kept) = self.kept().await
            && let Ok(response) = kept.send(request()).await
        {
            return Ok(response);
        }
        Ok(self.open().await?.send(request()).await?)
    }

    async fn kept(self: &Rc<Line>) -> Option<Lease> {
        loop {
            let Idle { mut sender, words, .. } = self.idle.borrow_mut().pop()?;
            let busy = Busy::new(self);
            if sender.ready().await.is_ok() {
                return Some(Lease { line: self.clone(), sender, words, _busy: busy });
            }
        }
    }

    async fn open(self: &Rc<Line>) -> Result<Lease, Box<dyn Error + Send + Sync>> {
        if self.busy.get() >= self.limits.connections {
            return Err("all connections to it are in use".into());
        }
        let busy = Busy::new(self);
        let stream = self.connect().await.inspect_err(|e| self.lacking.set(descriptors::is_our_lack(e)))?;
        let mut builder = http1::Builder::new();
        // With room for what a node adds, as in the front.
        builder.max_headers(self.limits.fields + 32).max_buf_size(self.limits.head.max(8192) + 4096);
        let words = LastWords::default();
        let (sender, connection) = builder.handshake(Spoken::new(stream, words.clone())).await?;
        tokio::task::spawn_local(async move {
            // Its errors come back through the sender.
            let _ = connection.await;
        });
        Ok(Lease { line: self.clone(), sender, words, _busy: busy })
    }
}

impl Line {
    async fn connect(&self) -> std::io::Result<Stream> {
        Ok(match &self.peer.address {
            Address::Tcp(address) => Stream::Tcp(prove::connect(address, &self.peer.id, &self.limits.cluster).await?),
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
        })
    }
}

impl Lease {
    async fn send(mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<PeerBody>> {
        let response = self.sender.send_request(request).await?;
        let stall = self.line.limits.silence;
        let mut response = response;
        let left = told_length(response.headers_mut());
        Ok(response.map(|incoming| {
            let words = self.words.clone();
            let mut body = PeerBody { incoming, lease: Some(self), words, left, stall, sleep: None };
            if body.incoming.is_end_stream() {
                body.give_back();
            }
            body
        }))
    }

    fn give_back(self) {
        let mut idle = self.line.idle.borrow_mut();
        if idle.len() < IDLE && !self.sender.is_closed() && !self.line.is_left_alone(tick()) {
            idle.push(Idle { sender: self.sender, words: self.words, since: tick() });
        }
    }
}

/// The length of a body that comes in chunks, as the other node has told it: then it is one of a known length.
fn told_length(headers: &mut HeaderMap) -> Option<u64> {
    let length: u64 = headers.get(link::LENGTH)?.to_str().ok()?.parse().ok()?;
    headers.remove(TRANSFER_ENCODING)?;
    headers.insert(CONTENT_LENGTH, length.into());
    Some(length)
}

impl Busy {
    fn new(line: &Rc<Line>) -> Busy {
        line.busy.set(line.busy.get() + 1);
        Busy(line.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}

/// The body of another node's answer. Gives its connection back when it has been read to the end; ends with an error when
/// the node stalls.
pub struct PeerBody {
    incoming: hyper::body::Incoming,
    lease: Option<Lease>,
    words: LastWords,
    /// Where the other node has told how long it is.
    left: Option<u64>,
    stall: std::time::Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl PeerBody {
    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    /// False: it is longer than it was said to be.
    fn count(&mut self, frame: &Frame<Bytes>) -> bool {
        let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) else { return true };
        left.checked_sub(data.len() as u64).map(|rest| *left = rest).is_some()
    }

    /// The origin's fault where the other node says so; of all else it says this one knows better.
    fn blame(&self) -> Blame {
        let said = self.words.blame().filter(|blame| blame.whose == Whose::Origin);
        said.unwrap_or(Blame::new(Whose::Peer, Kind::HttpResponseIncomplete))
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stall = self.stall;
        self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall))).as_mut().poll(cx)
    }
}

impl Body for PeerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            if this.poll_stalled(cx).is_ready() {
                this.lease = None;
                return Poll::Ready(Some(Err(Blame::new(Whose::Peer, Kind::ConnectionReadTimeout).into())));
            }
            return Poll::Pending;
        };
        this.sleep = None;
        let broken = match &frame {
            Some(Ok(frame)) => !this.count(frame),
            Some(Err(_)) => true,
            None => this.left.is_some_and(|left| left > 0),
        };
        if broken {
            this.lease = None;
            return Poll::Ready(Some(Err(this.blame().into())));
        }
        if frame.is_none() || this.incoming.is_end_stream() {
            this.give_back();
        }
        Poll::Ready(frame.map(|result| result.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(|| self.incoming.size_hint(), SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_goes_on_failing_is_left_alone_for_ever_longer_up_to_a_second() {
        let mut backoff = Backoff::default();
        let mut now = 7;
        for pause in [50, 100, 200, 400, 800, 1000, 1000] {
            assert!(!backoff.lasts(Tick(now)));
            backoff = backoff.failed(Tick(now));
            // A second question that was under way as well.
            backoff = backoff.failed(Tick(now + 1));
            assert!(backoff.lasts(Tick(now + pause - 1)) && !backoff.lasts(Tick(now + pause)), "{pause}");
            now += pause;
        }
    }
}
