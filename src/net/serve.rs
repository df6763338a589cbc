//! The HTTP/1 server: one connection from its first byte to its last, with time limits, and an answer to whatever comes.

mod answer;
mod body;
mod conn;
mod connections;
mod forced;
mod head;
mod held;
mod interim;
mod io;
mod left;
mod manners;
mod out;
mod payload;
mod service;
mod state;
mod sweep;
#[cfg(test)]
mod tests;
mod words;

pub use body::{ClientBody, Counted, Told};
pub use conn::connection;
pub use connections::Connections;
pub use forced::allows_short;
#[cfg(test)]
pub use head::with_head;
pub use head::{Head, Noted, Refusal};
pub use held::{HEADS, by_kind as held};
pub use interim::Interim;
pub use io::Upgrade;
pub use out::room_for_message;
pub use payload::Payload;
pub use service::{Asked, ByRequest, Finish, Given, Service, Step};
pub use sweep::Sweeper;
pub use words::speak as refuse;

use crate::config::Config;
use crate::wire::fault::Fault;
use std::fmt;
use std::time::Duration;

/// Why a message broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a front may add to a head that it has accepted: `Via`, `Forwarded`-like and link fields.
const LINK_FIELDS: usize = 32;
const LINK_HEAD: usize = 4096;

/// What a peer may take of us. Kept to within one sweep (half a second, or a quarter of the shortest limit).
#[derive(Clone, Debug)]
pub struct Limits {
    /// A connection without a request is closed after this.
    pub idle: Duration,
    /// A request head that is not complete after this is answered with 408.
    pub header: Duration,
    /// A body, either way, that waits for the peer for so long is broken off. `None` on the link: the front keeps its
    /// clients to the limit, and must not be taken for slow when one of them is.
    pub stall: Option<Duration>,
    /// Bytes of a head.
    pub head: usize,
    /// Fields of a head.
    pub fields: usize,
    /// A peer that has closed its half behind a request still gets the answer (RFC 9112 section 9.6). Not a front: it closes
    /// when nobody waits any more.
    pub half_close: bool,
    /// Whether `Date` is added where the service sets none.
    pub date: bool,
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// By either side, between two messages.
    Closed,
    /// It lives on as a tunnel.
    Upgraded,
    /// In the middle of a message.
    Broken(BoxError),
    /// With an answer of ours to something that never became a request.
    Refused(Fault),
    IdleTooLong,
    /// The peer took or sent nothing for the whole of `Limits::stall`.
    Stalled,
}

impl Limits {
    /// For clients.
    pub fn of(config: &Config) -> Limits {
        Limits {
            idle: config.timeouts.idle,
            header: config.timeouts.header,
            stall: Some(config.timeouts.client_silence),
            head: config.limits.head.try_into().unwrap_or(usize::MAX),
            fields: config.limits.fields,
            half_close: true,
            date: true,
        }
    }
    /// For a front on the link.
    pub fn of_link(config: &Config) -> Limits {
        let limits = Limits::of(config);
        let (head, fields) = (limits.head.saturating_add(LINK_HEAD), limits.fields.saturating_add(LINK_FIELDS));
        Limits { stall: None, half_close: false, head, fields, ..limits }
    }
    fn sweep(&self) -> Duration {
        let shortest = self.idle.min(self.header).min(self.stall.unwrap_or(Duration::MAX));
        shortest / 4
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("closed"),
            End::Upgraded => f.write_str("upgraded"),
            End::Broken(e) => write!(f, "broken: {e}"),
            End::Refused(fault) => write!(f, "refused with {}: {fault}", fault.status.as_u16()),
            End::IdleTooLong => f.write_str("idle for too long"),
            End::Stalled => f.write_str("the peer stalled"),
        }
    }
}
