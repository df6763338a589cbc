//! The front's side of the link (`docs/link.md`): an HTTP/1.1 client with one pool a worker and node.
//!
//! A request head is one buffer and one write; an answer head is read into a buffer that the whole worker shares and is
//! parsed once; a small body that came along is one `Bytes`, and the connection is back in its pool at once.

mod acquire;
mod body;
mod conn;
mod control;
mod encode;
mod exchange;
mod pipeline;
mod pool;
mod tie;

#[cfg(test)]
mod tests;

pub use acquire::Want;
pub use body::Body;
pub use conn::Conn;
pub use decode::Head;
pub use encode::{Request, Said};
pub use exchange::{Answer, Content, exchange};
pub use fields::verbatim;
pub use pipeline::held;
pub use pool::{InFlight, Pool, Swept};
pub use tie::{Tie, Ties};

use crate::config::{Cluster, Config, Limits, Timeouts};
use crate::net::descriptors::Relief;
use crate::net::http1;
use crate::proxy::metrics::Counters;
use crate::wire::answer::decode::Bounds;
use crate::wire::answer::{chunked, decode, fields};
use crate::wire::fault::{Blame, Kind, Whose};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// How often a worker looks at the connections that wait. Waits are counted in ticks of it, so that a request costs no
/// timer and no look at the clock.
pub const TICK: std::time::Duration = std::time::Duration::from_millis(100);

/// What all connections of a worker share.
pub struct Shared {
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Its secrets are proved on new connections.
    pub cluster: Cluster,
    pub counters: Arc<Counters>,
    /// Where we have no file left for a connection.
    pub relief: Relief,
    /// The member of `Via` that we add, by version of the message: `1.0 name` and `1.1 name`.
    pub via: [http::HeaderValue; 2],
    /// Of the head of an answer; the time is kept by the sweep.
    http: http1::Limits,
    /// Request heads are written here first. Never borrowed across an await.
    write: RefCell<Vec<u8>>,
}

impl Shared {
    pub fn new(config: &Config, counters: Arc<Counters>, via: [http::HeaderValue; 2]) -> Rc<Shared> {
        let bounds = Bounds { bytes: config.limits.head as usize + 4096, fields: config.limits.fields + 32 };
        let http = http1::Limits::of(bounds);
        let write = RefCell::new(Vec::with_capacity(2048));
        let (limits, timeouts, cluster) = (config.limits.clone(), config.timeouts.clone(), config.cluster.clone());
        Rc::new(Shared { limits, timeouts, cluster, counters, relief: Relief::default(), via, http, write })
    }
    /// The member of `Via` for a message of this version.
    pub fn via(&self, version: http::Version) -> &http::HeaderValue {
        &self.via[usize::from(version != http::Version::HTTP_10)]
    }
}

/// Why an exchange with a node came to nothing.
#[derive(Debug)]
pub enum Broken {
    /// No connection came about: refused, no socket, timed out.
    Unreachable(std::io::Error),
    /// The same, because we have no file, port or memory left for one: no node has anything to do with it.
    Lacking(std::io::Error),
    /// Closed or reset before the whole answer was there; `silent`: before any byte of it.
    Died { silent: bool, source: Option<std::io::Error> },
    /// A small body ended before its length, and the node did not say why; nothing of it has been passed on.
    Cut,
    /// The node was found silent or dead while the request waited.
    Abandoned,
    /// What came is not HTTP/1.1 as we can relay it.
    Protocol(&'static str),
    /// Every connection is busy and the queue is full, or the wait in it was too long.
    Full,
    /// The client's body broke off or was malformed.
    Client(String),
    /// The node says why there is no more of the body.
    Told(Blame),
}

impl Broken {
    /// The connection was lost, or what came over it makes no sense.
    pub fn is_of_connection(&self) -> bool {
        matches!(self, Broken::Died { .. } | Broken::Cut | Broken::Protocol(_))
    }

    pub fn blame(&self) -> Blame {
        match self {
            Broken::Unreachable(_) => Blame::new(Whose::Node, Kind::ConnectionRefused),
            Broken::Died { silent: true, .. } | Broken::Abandoned => {
                Blame::new(Whose::Node, Kind::ConnectionTerminated)
            }
            Broken::Died { .. } | Broken::Cut => Blame::new(Whose::Node, Kind::HttpResponseIncomplete),
            Broken::Protocol(_) => Blame::new(Whose::Node, Kind::HttpProtocolError),
            Broken::Full | Broken::Lacking(_) => Blame::new(Whose::Us, Kind::ConnectionLimitReached),
            Broken::Client(_) => Blame::new(Whose::Client, Kind::HttpRequestError),
            Broken::Told(blame) => *blame,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Unreachable(e) | Broken::Lacking(e) => write!(f, "could not connect: {e}"),
            Broken::Died { source: Some(e), .. } => write!(f, "broke off before an answer: {e}"),
            Broken::Died { .. } => f.write_str("closed before an answer"),
            Broken::Cut => f.write_str("broke off within the body"),
            Broken::Abandoned => f.write_str("went silent"),
            Broken::Protocol(what) => write!(f, "sent a malformed answer: {what}"),
            Broken::Full => f.write_str("is busy: all connections are in use"),
            Broken::Client(e) => write!(f, "the request body broke off: {e}"),
            Broken::Told(blame) => write!(f, "tells that its answer broke off: {blame}"),
        }
    }
}
