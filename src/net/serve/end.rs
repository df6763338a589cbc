//! How a connection ends.

use crate::wire::fault::Fault;
use std::fmt;

/// Why a message broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How a connection ended.
#[derive(Debug)]
pub enum ConnEnd {
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

impl fmt::Display for ConnEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnEnd::Closed => f.write_str("closed"),
            ConnEnd::Upgraded => f.write_str("upgraded"),
            ConnEnd::Broken(e) => write!(f, "broken: {e}"),
            ConnEnd::Refused(fault) => write!(f, "refused with {}: {fault}", fault.status.as_u16()),
            ConnEnd::IdleTooLong => f.write_str("idle for too long"),
            ConnEnd::Stalled => f.write_str("the peer stalled"),
        }
    }
}
