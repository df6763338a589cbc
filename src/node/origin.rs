//! Connections to origins: a bounded pool for each authority, and one exchange on one of them: by hyper, or, for what is
//! passed on from bytes to bytes ([`super::pass`]), by a lean client of our own ([`lean`]).

mod body;
mod heads;
mod lean;
mod pins;

pub use body::OriginBody;
pub use lean::{Heard, Message, Question, Told, url};
pub use pins::Pins;

use heads::{Awaited, Heads, Unread};

use super::counters::{Counters, add};
use super::upload::{Owes, Progress, Upload};
use crate::clock::{Tick, tick};
use crate::config::Config;
use crate::net::descriptors;
use crate::net::dial::{Dialed, Dialer};
use crate::net::rules::Reach;
use crate::wire::fault::{Fault, Kind, Whose};
use crate::wire::field::FieldId;
use crate::wire::target::{Host, Key};
use crate::wire::{connection_auth, list};
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::client::conn::http1::{self, SendRequest};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The task of a connection has ended without a word.
const GONE: &str = "the connection to the origin failed within the proxy; try again, and report it where it goes on";
/// So much later than a front.
const LATER: Duration = Duration::from_secs(1);
/// Idle connections of either client kept to one origin.
const IDLE_PER_ORIGIN: usize = 64;

/// All origins of a node.
pub struct Origins {
    dialer: Dialer,
    table: Rc<Table>,
    limits: Limits,
    counters: Rc<Counters>,
}

/// The pools, and what is idle in all of them.
struct Table {
    pools: RefCell<HashMap<Box<str>, Rc<Pool>>>,
    idle: Cell<usize>,
    /// So many at most: origins come and go, and each leaves one.
    most: usize,
}

struct Limits {
    connections: usize,
    queue: usize,
    head: usize,
    fields: usize,
    queue_time: Duration,
    connect: Duration,
    first_byte: Duration,
    origin_silence: Duration,
    client_silence: Duration,
    idle: Duration,
}

/// Connections to one origin. A permit is held by each that is in use; one that is idle needs none, because a new one is opened
/// only when none is idle.
pub struct Pool {
    authority: Box<str>,
    idle: RefCell<Vec<Idle>>,
    /// Those of the lean client.
    spare: RefCell<Vec<lean::Link>>,
    permits: Arc<Semaphore>,
    waiting: Cell<usize>,
    table: Weak<Table>,
}

struct Idle {
    sender: SendRequest<Upload>,
    awaited: Awaited,
    reach: Reach,
    since: Tick,
}

/// The origin's connection ends with this answer.
#[derive(Clone, Copy, Debug)]
pub struct EndsConnection;

/// A connection in use.
struct Lease {
    pool: Rc<Pool>,
    sender: SendRequest<Upload>,
    awaited: Awaited,
    reach: Reach,
    reused: bool,
    /// Whom it belongs to, where it is one client's alone.
    pins: Option<Rc<Pins>>,
    /// Nobody is to have it after this answer.
    used_up: bool,
    _permit: OwnedSemaphorePermit,
}

/// An answer of an origin.
pub struct Reply {
    pub response: Response<OriginBody>,
    /// Who may see what came from there.
    pub reach: Reach,
}

impl Origins {
    pub fn new(config: &Config, counters: Rc<Counters>) -> Origins {
        let limits = Limits {
            connections: config.limits.origin_connections,
            queue: config.limits.queue,
            head: usize::try_from(config.limits.head).unwrap_or(usize::MAX),
            fields: config.limits.fields,
            queue_time: config.timeouts.queue,
            connect: config.timeouts.connect,
            first_byte: config.timeouts.first_byte,
            origin_silence: config.timeouts.origin_silence,
            client_silence: config.timeouts.client_silence,
            idle: config.timeouts.idle,
        };
        let table = Table { pools: RefCell::default(), idle: Cell::new(0), most: descriptors::for_idle() };
        let (dialer, table) = (Dialer::new(config), Rc::new(table));
        let idle = Rc::downgrade(&table);
        dialer.relief().set(move || idle.upgrade().is_some_and(|table| table.close_longest_idle(1)));
        Origins { dialer, table, limits, counters }
    }

    /// Sends a request (origin-form, `Host` set) and waits for the head of the answer. A kept connection that proves dead is
    /// replaced by a new one, once, when the request may be repeated (no body, safe or idempotent method).
    pub async fn exchange(
        &self,
        key: &Key,
        same_machine: bool,
        request: Request<Upload>,
        progress: &Progress,
        pins: Option<&Rc<Pins>>,
    ) -> Result<Reply, Fault> {
        let spare = repeatable(&request).then(|| head_of(&request));
        let lease = self.lease(key, same_machine, false, pins).await?;
        let reused = lease.reused;
        match (self.send(lease, request, progress).await, spare) {
            (Err(fault), Some(spare)) if reused && fault.kind == Kind::ConnectionTerminated => {
                let lease = self.lease(key, same_machine, true, pins).await?;
                progress.moved();
                self.send(lease, spare, progress).await
            }
            (result, _) => result,
        }
    }

    /// Closes connections that have been idle for too long, and forgets origins without any.
    pub fn sweep(&self) {
        let (now, mut left) = (tick(), 0);
        self.table.pools.borrow_mut().retain(|_, pool| {
            let (mut idle, mut spare) = (pool.idle.borrow_mut(), pool.spare.borrow_mut());
            idle.retain(|c| !c.sender.is_closed() && now.since(c.since) < self.limits.idle);
            spare.retain_mut(|link| link.is_quiet() && now.since(link.since()) < self.limits.idle);
            left += idle.len() + spare.len();
            Rc::strong_count(pool) > 1 || !idle.is_empty() || !spare.is_empty()
        });
        self.table.idle.set(left);
    }

    /// For others who need its file. False: none is idle.
    pub fn close_longest_idle(&self) -> bool {
        self.table.close_longest_idle(1)
    }

    /// `pins`: only a connection of theirs will do, or a new one.
    async fn lease(&self, key: &Key, same_machine: bool, new: bool, pins: Option<&Rc<Pins>>) -> Result<Lease, Fault> {
        let pool = self.pool(key);
        let permit = self.permit(&pool).await?;
        let allowed = |reach| self.dialer.allowed(reach, same_machine);
        let idle = || match pins {
            Some(pins) => pins.take(key.authority(), allowed),
            None => pool.take(allowed),
        };
        let (mut used, mut found) = (None, None);
        while !new && let Some(mut next) = idle() {
            // The body of its last answer has been read, so it is ready at once, or closed.
            if timeout(self.limits.connect, next.sender.ready()).await.is_ok_and(|ready| ready.is_ok()) {
                used = Some(next);
                break;
            }
        }
        if used.is_none() {
            found = Some(self.connect(key, same_machine).await?);
        }
        let reused = used.is_some();
        let Some(Idle { sender, awaited, reach, .. }) = used.or(found) else {
            return Err(self.blame(Kind::ConnectionTerminated));
        };
        Ok(Lease { pool, sender, awaited, reach, reused, pins: pins.cloned(), used_up: false, _permit: permit })
    }

    fn pool(&self, key: &Key) -> Rc<Pool> {
        let mut pools = self.table.pools.borrow_mut();
        if let Some(pool) = pools.get(key.authority()) {
            return pool.clone();
        }
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let (idle, spare) = Default::default();
        let authority = key.authority().into();
        let table = Rc::downgrade(&self.table);
        let pool = Rc::new(Pool { authority, idle, spare, permits, waiting: Cell::new(0), table });
        pools.insert(key.authority().into(), pool.clone());
        pool
    }

    async fn permit(&self, pool: &Pool) -> Result<OwnedSemaphorePermit, Fault> {
        if let Ok(permit) = pool.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let full =
            || Fault::origin(Kind::ConnectionLimitReached, "too many requests wait for this origin; try again later");
        if pool.waiting.get() >= self.limits.queue {
            return Err(full());
        }
        let _waiting = Waiting::new(&pool.waiting);
        match timeout(self.limits.queue_time, pool.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(full()),
        }
    }

    async fn dial(&self, key: &Key, same_machine: bool) -> Result<Dialed, Fault> {
        let host = match key.host() {
            Host::Name(name) => name.to_owned(),
            Host::Ip(ip) => ip.to_string(),
        };
        let dialed = self.dialer.dial(&host, key.port(), same_machine).await?;
        add(&self.counters.origin_connections, 1);
        Ok(dialed)
    }

    async fn connect(&self, key: &Key, same_machine: bool) -> Result<Idle, Fault> {
        let dialed = self.dial(key, same_machine).await?;
        let mut builder = http1::Builder::new();
        // hyper has room for as many without an allocation, as long as nobody says so.
        if self.limits.fields != 100 {
            builder.max_headers(self.limits.fields);
        }
        let awaited = Awaited::default();
        let stream = Heads::new(dialed.stream, awaited.clone(), self.bounds());
        let (sender, connection) =
            builder.max_buf_size(self.limits.head.max(8192)).handshake(stream).await.map_err(|e| {
                Fault::origin(Kind::ConnectionTerminated, "the origin closed the connection at once").because(e)
            })?;
        tokio::task::spawn_local(async move {
            // Its errors come back through the sender.
            let _ = connection.with_upgrades().await;
        });
        Ok(Idle { sender, awaited, reach: dialed.reach, since: tick() })
    }

    async fn send(&self, mut lease: Lease, request: Request<Upload>, progress: &Progress) -> Result<Reply, Fault> {
        add(&self.counters.origin_requests, 1);
        let head_request = request.method() == http::Method::HEAD;
        lease.awaited.head(head_request);
        let answer = self.in_time(lease.sender.send_request(request), progress).await;
        let mut response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.failed(error, progress, lease.awaited.has_heard())),
            Err(Owes::Client) => return Err(paused()),
            Err(Owes::Origin) => return Err(self.blame(Kind::ConnectionWriteTimeout)),
            Err(Owes::Answer) => return Err(self.blame(Kind::HttpResponseTimeout)),
        };
        if !self.allows(response.headers()) {
            add(&self.counters.origin_failures, 1);
            return Err(too_long());
        }
        let reach = lease.reach;
        if lease.pins.is_none() {
            // It asks who is at the other end of it: that is nobody else from now on.
            lease.used_up = connection_auth::is_in_answer(response.headers());
        } else if ends(&response, head_request) {
            response.extensions_mut().insert(EndsConnection);
        }
        let response = response.map(|incoming| OriginBody::by_hyper(self, incoming, lease, head_request));
        Ok(Reply { response, reach })
    }

    /// Whether the front will take a head with these fields, however they came about: else it would blame the node.
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        // A line has a colon, a space and a line end; the status line is short, and what we add has room of its own.
        let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        headers.len() <= self.limits.fields && length <= self.limits.head
    }

    /// The error says whose silence was too long: the origin's, which has all of the request, says nothing for
    /// `first_byte` after its end or the last interim response; who has taken nothing of its body, or sent nothing, for
    /// `origin_silence` or `client_silence`.
    async fn in_time<T>(&self, answer: impl Future<Output = T>, progress: &Progress) -> Result<T, Owes> {
        let mut answer = std::pin::pin!(answer);
        let mut wait = self.limits.first_byte;
        loop {
            if let Ok(answer) = timeout(wait, answer.as_mut()).await {
                return Ok(answer);
            }
            let (owes, since) = progress.owes();
            let limit = match owes {
                Owes::Answer => self.limits.first_byte,
                Owes::Origin => self.limits.origin_silence.max(self.limits.first_byte),
                // A front keeps its clients to the limit, and is to be the first.
                Owes::Client => self.limits.client_silence + LATER,
            };
            wait = limit.checked_sub(since).filter(|left| !left.is_zero()).ok_or(owes)?;
            // Who owes may change before that is over.
            wait = wait.min(self.limits.first_byte);
        }
    }

    /// `heard`: some of its answer had come.
    fn failed(&self, error: hyper::Error, progress: &Progress, heard: bool) -> Fault {
        if progress.has_broken() {
            return Fault {
                whose: Whose::Client,
                kind: Kind::HttpRequestError,
                status: StatusCode::BAD_REQUEST,
                detail: "the request's body broke off".into(),
                source: Some(error.into()),
            };
        }
        if error.is_user() {
            // Nothing else that hyper calls so can come of a request of ours: its task is gone, by a panic.
            return Fault::us(StatusCode::INTERNAL_SERVER_ERROR, Kind::ProxyInternalError, GONE).because(error);
        }
        if let Some(Unread(why)) = Unread::cause(&error) {
            return self.unread(why);
        }
        if error.is_parse_too_large() {
            add(&self.counters.origin_failures, 1);
            return too_long().because(error);
        }
        let kind = match () {
            () if error.is_parse() => Kind::HttpProtocolError,
            () if error.is_timeout() => Kind::HttpResponseTimeout,
            () if heard => Kind::HttpResponseIncomplete,
            () => Kind::ConnectionTerminated,
        };
        self.blame(kind).because(error)
    }

    /// The origin failed before it had answered.
    fn blame(&self, kind: Kind) -> Fault {
        add(&self.counters.origin_failures, 1);
        let detail = match kind {
            Kind::HttpProtocolError => "the origin's answer is not HTTP",
            Kind::HttpResponseTimeout => return too_late(self.limits.first_byte),
            Kind::ConnectionWriteTimeout => return took_nothing(self.limits.origin_silence),
            Kind::HttpResponseIncomplete => "the origin closed the connection within the head of its answer",
            _ => "the origin closed the connection before it answered",
        };
        Fault::origin(kind, detail)
    }
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

impl Pool {
    /// Whether it is that of the origin with this authority.
    pub fn is_of(&self, authority: &[u8]) -> bool {
        self.authority.as_bytes() == authority
    }

    fn take(&self, allowed: impl Fn(Reach) -> bool) -> Option<Idle> {
        let mut idle = self.idle.borrow_mut();
        let at = idle.iter().rposition(|c| allowed(c.reach))?;
        self.now_idle(-1);
        Some(idle.swap_remove(at))
    }

    /// One more connection is idle, or one less. Not while the pool's own lists are borrowed, for one more.
    fn now_idle(&self, change: isize) {
        let Some(table) = self.table.upgrade() else { return };
        table.idle.set(table.idle.get().saturating_add_signed(change));
        if table.idle.get() > table.most {
            table.close_longest_idle(table.most / 8 + 1);
        }
    }

    /// When each idle one was used last.
    fn ages(&self) -> impl Iterator<Item = Tick> {
        let by_hyper: Vec<_> = self.idle.borrow().iter().map(|c| c.since).collect();
        let lean: Vec<_> = self.spare.borrow().iter().map(lean::Link::since).collect();
        by_hyper.into_iter().chain(lean)
    }

    /// Closes those that were used last then or before; how many.
    fn close(&self, until: Tick) -> usize {
        let (mut idle, mut spare) = (self.idle.borrow_mut(), self.spare.borrow_mut());
        let before = idle.len() + spare.len();
        idle.retain(|c| c.since.0 > until.0);
        spare.retain(|link| link.since().0 > until.0);
        before - idle.len() - spare.len()
    }
}

impl Table {
    /// Closes so many at least, where there are so many; a few at a time, because all pools are looked at for it. Forgets
    /// the pools that have none left and are not in use.
    fn close_longest_idle(&self, least: usize) -> bool {
        let mut pools = self.pools.borrow_mut();
        let mut ages: Vec<u64> = pools.values().flat_map(|pool| pool.ages()).map(|age| age.0).collect();
        let Some(last) = ages.len().min(least).checked_sub(1) else { return false };
        let (_, &mut until, _) = ages.select_nth_unstable(last);
        let mut closed = 0;
        pools.retain(|_, pool| {
            closed += pool.close(Tick(until));
            Rc::strong_count(pool) > 1 || !pool.idle.borrow().is_empty() || !pool.spare.borrow().is_empty()
        });
        self.idle.set(ages.len() - closed);
        closed > 0
    }
}

impl Lease {
    fn give_back(self) {
        let Lease { pool, sender, awaited, reach, pins, used_up, .. } = self;
        if used_up || sender.is_closed() {
            return;
        }
        let this = Idle { sender, awaited, reach, since: tick() };
        if let Some(pins) = pins {
            return pins.put(&pool.authority, this);
        }
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < IDLE_PER_ORIGIN {
            idle.push(this);
            drop(idle);
            pool.now_idle(1);
        }
    }
}

struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<usize>) -> Waiting<'a> {
        count.set(count.get() + 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Whether an answer is the last on its connection (RFC 9112 sections 6.3 and 9.3).
fn ends<B: http_body::Body>(response: &Response<B>, bodiless: bool) -> bool {
    let says = |option| list::has_token(response.headers(), FieldId::Connection, option);
    let until_close = !bodiless
        && response.body().size_hint().exact().is_none()
        && !response.headers().contains_key(TRANSFER_ENCODING);
    says("close") || until_close || (response.version() < http::Version::HTTP_11 && !says("keep-alive"))
}

fn repeatable(request: &Request<Upload>) -> bool {
    matches!(request.body(), Upload::None) && request.method().is_idempotent()
}

fn head_of(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::None);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Empty;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A connection whose task panics with the first request.
    struct Bug;

    impl hyper::rt::Read for Bug {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: hyper::rt::ReadBufCursor<'_>,
        ) -> Poll<std::io::Result<()>> {
            Poll::Pending
        }
    }

    impl hyper::rt::Write for Bug {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
            panic!("a bug")
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_bug_of_ours_is_ours_and_not_the_clients() {
        let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(Bug).await.unwrap();
        let task = tokio::spawn(connection);
        let error = sender.send_request(Request::new(Empty::new())).await.unwrap_err();
        assert!(task.await.unwrap_err().is_panic());
        let origins = Origins::new(&Config::default(), Rc::default());
        let fault = origins.failed(error, &Upload::new(None, None).1, false);
        assert_eq!((fault.whose, fault.kind), (Whose::Us, Kind::ProxyInternalError));
    }
}
