//! What became of a request: a [`Verdict`] when its head goes out, an [`Outcome`] when the last byte has.

use crate::wire::fault::{Blame, Whose};
use crate::wire::status;
use http::{HeaderMap, StatusCode};

/// Who made the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Node,
    /// The front's own copy of a node's answer.
    Hot,
    /// A page of our own.
    Page,
    /// The same that says what went wrong.
    Error,
    Tunnel,
}

/// What the last member of `Cache-Status` says, which is the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    Hit,
    Miss,
    Unknown,
}

/// Known when the head goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub status: StatusCode,
    pub source: Source,
    pub cache: Cache,
    /// What the answer says that went wrong, by whoever's fault.
    pub blame: Option<Blame>,
}

/// How the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Complete,
    ClientLeft,
    /// It took nothing, or sent nothing, for too long.
    ClientSilent,
    /// A tunnel in which nothing moved for `timeouts.tunnel_idle`, or while the process ends.
    Idle,
    /// Within the answer.
    Broke(Blame),
}

/// Known when the last byte has gone, or cannot go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    /// Bytes of the body.
    pub sent: u64,
    pub end: End,
}

impl Outcome {
    /// What went wrong, where anything did.
    pub fn blame(&self) -> Option<Blame> {
        match self.end {
            End::Broke(blame) => Some(blame),
            End::Complete | End::Idle | End::ClientLeft | End::ClientSilent => self.verdict.blame,
        }
    }

    /// Whose fault it was.
    pub fn whose(&self) -> Option<Whose> {
        match self.end {
            End::ClientLeft | End::ClientSilent => Some(Whose::Client),
            End::Complete | End::Idle | End::Broke(_) => self.blame().map(|blame| blame.whose),
        }
    }
}

impl Cache {
    pub fn of(headers: &HeaderMap) -> Cache {
        Cache::said(status::last_member(headers))
    }

    /// By the node's member of `Cache-Status`, without its name.
    pub fn said(member: Option<&[u8]>) -> Cache {
        match member {
            Some(member) if member.split(|b| *b == b';').next() == Some(b"hit") => Cache::Hit,
            Some(_) => Cache::Miss,
            None => Cache::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_member_of_cache_status_is_the_nodes() {
        for (lines, expected) in [
            (&["n1; hit; ttl=3"][..], Cache::Hit),
            (&["n1; fwd=uri-miss; stored"], Cache::Miss),
            (&["origin; hit", "n1; fwd=miss"], Cache::Miss),
            (&["origin; fwd=miss, n1;hit"], Cache::Hit),
            (&["n1; detail=\"; hit\"; fwd=miss"], Cache::Miss),
            (&[], Cache::Unknown),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("cache-status", line.parse().unwrap());
            }
            assert_eq!(Cache::of(&headers), expected, "{lines:?}");
        }
    }
}
