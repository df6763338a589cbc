//! What a peer may take of us.

use crate::config::Config;
use crate::wire::head_limits::HeadLimits;
use std::time::Duration;

/// A client that asks one thing after the other asks the next within this time.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a peer may take of us. Kept to within one sweep (half a second, or a quarter of the shortest limit).
#[derive(Clone, Debug)]
pub struct ServerLimits {
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
    /// Requests at once on a connection of HTTP/2.
    pub streams: usize,
    /// A peer that has closed its half behind a request still gets the answer (RFC 9112 section 9.6). Not a front: it closes
    /// when nobody waits any more.
    pub half_close: bool,
    /// So often the bytes of a head are held while its request waits for an answer.
    pub copies: usize,
    /// When the process ends, whoever has asked within this time may ask once more, and is told then that it was the last: a
    /// connection that is closed between two requests may lose the second.
    pub farewell: Duration,
    /// Whether `Date` is added where the service sets none.
    pub date: bool,
}

impl ServerLimits {
    /// For clients.
    pub fn of(config: &Config) -> ServerLimits {
        let HeadLimits { bytes: head, fields } = config.limits.of_heads();
        ServerLimits {
            idle: config.timeouts.idle,
            header: config.timeouts.header,
            stall: Some(config.timeouts.client_silence),
            head,
            fields,
            streams: config.limits.streams,
            half_close: true,
            copies: 2,
            farewell: FAREWELL,
            date: true,
        }
    }
    /// For a front on the link.
    pub fn of_link(config: &Config) -> ServerLimits {
        let limits = ServerLimits::of(config);
        let HeadLimits { bytes: head, fields } = config.limits.of_heads().on_link();
        ServerLimits { stall: None, half_close: false, copies: 3, farewell: Duration::ZERO, head, fields, ..limits }
    }
    pub(super) fn sweep(&self) -> Duration {
        let shortest = self.idle.min(self.header).min(self.stall.unwrap_or(Duration::MAX));
        shortest / 4
    }
}
