//! What became of a request: a [`Verdict`] when its head goes out, an [`Outcome`] when the last byte has. Counters and
//! the access log are written from the outcome alone, so they cannot disagree.

use super::accesslog::{Line, Log};
use super::link::Shared;
use crate::lines::Logged;
use crate::net::serve::Interim;
use crate::wire::fault::{Blame, Kind, Whose};
use crate::wire::status;
use http::{HeaderMap, StatusCode};
use std::rc::Rc;

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

/// Follows a request to its end, and writes down what it was when dropped.
pub struct Record {
    outcome: Outcome,
    shared: Rc<Shared>,
    line: Option<(Rc<Log>, Box<Line>)>,
    /// Knows how its connection ended.
    client: Option<Interim>,
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

impl Record {
    pub fn new(shared: Rc<Shared>, line: Option<(Rc<Log>, Box<Line>)>) -> Record {
        // Until there is an answer: the client did not stay for it.
        let verdict = Verdict {
            status: StatusCode::BAD_REQUEST,
            source: Source::Error,
            cache: Cache::Unknown,
            blame: Some(Blame::new(Whose::Client, Kind::HttpRequestError)),
        };
        Record { outcome: Outcome { verdict, sent: 0, end: End::ClientLeft }, shared, line, client: None }
    }
    /// Whose connection says, at the end, why the answer did not come to its own.
    pub fn of_client(mut self, client: Interim) -> Record {
        self.client = Some(client);
        self
    }
    /// The head goes out. What is not ended by then was left by the client.
    pub fn decide(&mut self, verdict: Verdict) {
        self.outcome.verdict = verdict;
    }
    pub fn sent(&mut self, bytes: usize) {
        self.outcome.sent += bytes as u64;
    }
    pub fn end(&mut self, end: End) {
        self.outcome.end = end;
    }
    /// Who answered, for the log, and what that said of its cache.
    pub fn note<'a>(&mut self, node: &str, said: impl FnOnce() -> Option<&'a [u8]>) {
        if let Some(line) = &mut self.line {
            line.1.node.clear();
            line.1.node.extend_from_slice(node.as_bytes());
            line.1.cache.clear();
            line.1.cache.extend_from_slice(said().unwrap_or_default());
        }
    }

    fn count(&self) {
        let Outcome { verdict, sent, end } = self.outcome;
        let counters = &self.shared.counters;
        let class = usize::from(verdict.status.as_u16() / 100);
        counters.answers[if class < 6 { class } else { 0 }].add(1);
        (if verdict.source == Source::Tunnel { &counters.tunnel_bytes } else { &counters.body_bytes }).add(sent);
        match (verdict.source, verdict.cache) {
            (Source::Node, Cache::Hit) => counters.hits.add(1),
            (Source::Hot, _) => {
                counters.hits.add(1);
                counters.hot_hits.add(1);
            }
            (Source::Node, Cache::Miss) => counters.misses.add(1),
            (Source::Page, _) => counters.own.add(1),
            (Source::Error, _) => counters.errors.add(1),
            (Source::Node, Cache::Unknown) | (Source::Tunnel, _) => {}
        }
        match end {
            End::Complete | End::Idle => {}
            End::ClientLeft | End::ClientSilent => counters.cut[Whose::Client as usize].add(1),
            End::Broke(blame) => counters.cut[blame.whose as usize].add(1),
        }
        if let Some(Blame { whose, kind }) = self.outcome.blame() {
            counters.faults[whose as usize][kind as usize].add(1);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.outcome.end == End::ClientLeft && self.client.as_ref().is_some_and(Interim::has_stalled) {
            self.outcome.end = End::ClientSilent;
        }
        self.count();
        if let Some((log, line)) = self.line.take()
            && log.write(line, &self.outcome) == Logged::Dropped
        {
            self.shared.counters.log_lines_lost.add(1);
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
