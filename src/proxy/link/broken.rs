//! Why an exchange with a node came to nothing, and whose fault that was.

use crate::net::descriptors::Lack;
use crate::net::prove::turns_away;
use crate::wire::fault::{Blame, Kind, Whose};
use std::fmt;
use std::io::ErrorKind;

/// Why an exchange with a node came to nothing.
#[derive(Debug)]
pub enum LinkError {
    /// No connection came about: refused, no socket, timed out.
    Unreachable(std::io::Error),
    /// The same, because we have none left of what one takes: no node has anything to do with it.
    Lacking(Lack),
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
    /// The node says why there is no more of the body, or would if its link was not full.
    Told(Blame),
    /// The client had logged in on a connection that has ended ([`super::tie`]).
    Parted,
}

impl LinkError {
    /// The connection was lost, or what came over it makes no sense.
    pub fn is_of_connection(&self) -> bool {
        matches!(self, LinkError::Died { .. } | LinkError::Cut | LinkError::Protocol(_))
    }

    /// A connection came about and was lost before both had proved who they are: not a byte of the request was sent, and the
    /// next one may well do.
    pub fn is_of_greeting(&self) -> bool {
        matches!(self, LinkError::Unreachable(e) if !turns_away(e) && e.kind() != ErrorKind::TimedOut)
    }

    pub fn blame(&self) -> Blame {
        match self {
            LinkError::Unreachable(_) => Blame::new(Whose::Node, Kind::ConnectionRefused),
            LinkError::Died { silent: true, .. } | LinkError::Abandoned => {
                Blame::new(Whose::Node, Kind::ConnectionTerminated)
            }
            LinkError::Died { .. } | LinkError::Cut => Blame::new(Whose::Node, Kind::HttpResponseIncomplete),
            LinkError::Protocol(_) => Blame::new(Whose::Node, Kind::HttpProtocolError),
            LinkError::Full | LinkError::Lacking(_) => Blame::new(Whose::Us, Kind::ConnectionLimitReached),
            LinkError::Client(_) => Blame::new(Whose::Client, Kind::HttpRequestError),
            LinkError::Told(blame) => *blame,
            LinkError::Parted => Blame::new(Whose::Origin, Kind::ConnectionTerminated),
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Unreachable(e) => write!(f, "could not connect: {e}"),
            LinkError::Lacking(lack) => write!(f, "could not be connected to: no {} is left", lack.what()),
            LinkError::Died { source: Some(e), .. } => write!(f, "broke off before an answer: {e}"),
            LinkError::Died { .. } => f.write_str("closed before an answer"),
            LinkError::Cut => f.write_str("broke off within the body"),
            LinkError::Abandoned => f.write_str("went silent"),
            LinkError::Protocol(what) => write!(f, "sent a malformed answer: {what}"),
            LinkError::Full => f.write_str("is busy: all connections are in use"),
            LinkError::Client(e) => write!(f, "the request body broke off: {e}"),
            LinkError::Told(blame) => write!(f, "tells that its answer broke off: {blame}"),
            LinkError::Parted => f.write_str("has lost the connection to the origin that the client had logged in on"),
        }
    }
}
