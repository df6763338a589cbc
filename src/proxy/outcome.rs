//! What became of a request: a [`Verdict`] when its head goes out, an [`Outcome`] when the last byte has.

use crate::wire::fault::{Blame, Whose};
use crate::wire::status;
use http::{HeaderMap, StatusCode};

/// Who made the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerSource {
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
pub enum CacheResult {
    Hit,
    Miss,
    Unknown,
}

/// Known when the head goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub status: StatusCode,
    pub source: AnswerSource,
    pub cache: CacheResult,
    /// What the answer says that went wrong, by whoever's fault.
    pub blame: Option<Blame>,
}

/// How the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerEnd {
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
    pub end: AnswerEnd,
}

impl Outcome {
    /// What went wrong, where anything did.
    pub fn blame(&self) -> Option<Blame> {
        match self.end {
            AnswerEnd::Broke(blame) => Some(blame),
            AnswerEnd::Complete | AnswerEnd::Idle | AnswerEnd::ClientLeft | AnswerEnd::ClientSilent => {
                self.verdict.blame
            }
        }
    }

    /// Whose fault it was.
    pub fn whose(&self) -> Option<Whose> {
        match self.end {
            AnswerEnd::ClientLeft | AnswerEnd::ClientSilent => Some(Whose::Client),
            AnswerEnd::Complete | AnswerEnd::Idle | AnswerEnd::Broke(_) => self.blame().map(|blame| blame.whose),
        }
    }
}

impl CacheResult {
    pub fn of(headers: &HeaderMap) -> CacheResult {
        CacheResult::said(status::last_member(headers))
    }

    /// By the node's member of `Cache-Status`, without its name.
    pub fn said(member: Option<&[u8]>) -> CacheResult {
        match member {
            Some(member) if member.split(|b| *b == b';').next() == Some(b"hit") => CacheResult::Hit,
            Some(_) => CacheResult::Miss,
            None => CacheResult::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_member_of_cache_status_is_the_nodes() {
        for (lines, expected) in [
            (&["n1; hit; ttl=3"][..], CacheResult::Hit),
            (&["n1; fwd=uri-miss; stored"], CacheResult::Miss),
            (&["origin; hit", "n1; fwd=miss"], CacheResult::Miss),
            (&["origin; fwd=miss, n1;hit"], CacheResult::Hit),
            (&["n1; detail=\"; hit\"; fwd=miss"], CacheResult::Miss),
            (&[], CacheResult::Unknown),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("cache-status", line.parse().unwrap());
            }
            assert_eq!(CacheResult::of(&headers), expected, "{lines:?}");
        }
    }
}
