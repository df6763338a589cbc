//! A request followed to its end. Counters and the access log are written from its outcome alone, so they cannot disagree.

use super::accesslog::{LogLine, LogSink};
use super::link::Shared;
use super::outcome::{AnswerEnd, AnswerSource, CacheResult, Outcome, Verdict};
use super::worker::Client;
use crate::net::serve::{Interim, RequestHead};
use crate::wire::fault::{Blame, Kind, Whose};
use http::{Method, StatusCode, Version};
use std::any::Any;
use std::borrow::Cow;
use std::rc::Rc;

/// In place of the method and the target of what was no request.
const NONE: &[u8] = b"-";

/// Follows a request to its end, and writes down what it was when dropped.
pub struct Record {
    outcome: Outcome,
    shared: Rc<Shared>,
    line: Option<(Rc<LogSink>, Box<LogLine>)>,
    /// Knows how its connection ended.
    client: Option<Interim>,
    /// Ends with it.
    held: Option<Box<dyn Any>>,
}

impl Client {
    /// Follows a request from now on.
    pub fn record(&self, request: &http::request::Parts) -> Record {
        self.follow(&request.method, request.version, || Cow::Owned(request.uri.to_string().into_bytes()))
    }

    /// The same by its head.
    pub fn record_of(&self, request: &RequestHead<'_>) -> Record {
        self.follow(request.method(), request.version(), || Cow::Borrowed(request.target()))
    }

    /// The same of what was no request.
    pub fn record_of_none(&self) -> Record {
        let method = Method::from_bytes(NONE).unwrap_or_default();
        self.follow(&method, Version::default(), || Cow::Borrowed(NONE))
    }

    fn follow<'a>(&self, method: &Method, version: Version, target: impl FnOnce() -> Cow<'a, [u8]>) -> Record {
        let line = |log: &Rc<LogSink>| (log.clone(), log.line(self.shown.as_ref(), method, version, &target()));
        let mut record = Record::new(self.worker.shared.clone(), self.worker.log.as_ref().map(line));
        if self.inside.is_some() {
            record.tls("hit");
        }
        record
    }
}

impl Record {
    fn new(shared: Rc<Shared>, line: Option<(Rc<LogSink>, Box<LogLine>)>) -> Record {
        // Until there is an answer: the client did not stay for it.
        let verdict = Verdict {
            status: StatusCode::BAD_REQUEST,
            source: AnswerSource::Error,
            cache: CacheResult::Unknown,
            blame: Some(Blame::new(Whose::Client, Kind::HttpRequestError)),
        };
        Record {
            outcome: Outcome { verdict, sent: 0, end: AnswerEnd::ClientLeft },
            shared,
            line,
            client: None,
            held: None,
        }
    }
    /// Whose connection says, at the end, why the answer did not come to its own.
    pub fn of_client(mut self, client: Interim) -> Record {
        self.client = Some(client);
        self
    }
    /// To be dropped when the answer has ended.
    pub fn hold(&mut self, what: impl Any) {
        self.held = Some(Box::new(what));
    }
    /// The head goes out. What is not ended by then was left by the client.
    pub fn decide(&mut self, verdict: Verdict) {
        self.outcome.verdict = verdict;
    }
    pub fn sent(&mut self, bytes: usize) {
        self.outcome.sent += bytes as u64;
    }
    pub fn end(&mut self, end: AnswerEnd) {
        self.outcome.end = end;
    }
    /// What became of the TLS to a listed host, for the log.
    pub fn tls(&mut self, what: &'static str) {
        if let Some((_, line)) = &mut self.line {
            line.tls = what;
        }
    }
    /// Who answered, for the log, and what that said of its cache.
    pub fn note<'a>(&mut self, node: &str, said: impl FnOnce() -> Option<&'a [u8]>) {
        if let Some((_, line)) = &mut self.line {
            line.node.clear();
            line.node.extend_from_slice(node.as_bytes());
            line.cache.clear();
            line.cache.extend_from_slice(said().unwrap_or_default());
        }
    }

    fn count(&self) {
        let Outcome { verdict, sent, end } = self.outcome;
        let counters = &self.shared.counters;
        let class = usize::from(verdict.status.as_u16() / 100);
        counters.answers[if class < 6 { class } else { 0 }].add(1);
        (if verdict.source == AnswerSource::Tunnel { &counters.tunnel_bytes } else { &counters.body_bytes }).add(sent);
        match (verdict.source, verdict.cache) {
            (AnswerSource::Node, CacheResult::Hit) => counters.hits.add(1),
            (AnswerSource::Hot, _) => {
                counters.hits.add(1);
                counters.hot_hits.add(1);
            }
            (AnswerSource::Node, CacheResult::Miss) => counters.misses.add(1),
            (AnswerSource::Page, _) => counters.own.add(1),
            (AnswerSource::Error, _) => counters.errors.add(1),
            (AnswerSource::Node, CacheResult::Unknown) | (AnswerSource::Tunnel, _) => {}
        }
        match end {
            AnswerEnd::Complete | AnswerEnd::Idle => {}
            AnswerEnd::ClientLeft | AnswerEnd::ClientSilent => counters.cut[Whose::Client as usize].add(1),
            AnswerEnd::Broke(blame) => counters.cut[blame.whose as usize].add(1),
        }
        if let Some(Blame { whose, kind }) = self.outcome.blame() {
            counters.faults[whose as usize][kind as usize].add(1);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.outcome.end == AnswerEnd::ClientLeft && self.client.as_ref().is_some_and(Interim::has_stalled) {
            self.outcome.end = AnswerEnd::ClientSilent;
        }
        self.count();
        if let Some((log, line)) = self.line.take() {
            log.write(line, &self.outcome);
        }
    }
}
