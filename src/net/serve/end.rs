//! How a connection ends.

use crate::wire::fault::Fault;
use std::fmt;

/// Why a message broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
