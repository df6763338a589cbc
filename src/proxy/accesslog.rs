//! One line a request on standard output, through [`crate::lines`]: a slow terminal stops no worker.

use crate::clock;
use crate::config::{self, AccessLog};
use crate::lines::Lines;
use crate::proxy::outcome::{AnswerEnd, AnswerSource, Outcome};
use crate::wire::date;
use crate::wire::fault::Whose;
use crate::wire::target;
use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

/// Where a worker puts its lines.
#[derive(Clone, Debug)]
pub struct LogSink {
    lines: Lines,
    format: AccessLog,
    queries: bool,
    /// Written, with the room that they have.
    #[expect(clippy::vec_box, reason = "they go from here to their requests and back, and nobody moves their bytes")]
    spare: RefCell<Vec<Box<LogLine>>>,
}

/// So many are kept.
const SPARE: usize = 64;
/// With no more room than this.
const ROOM: usize = 1024;

/// What the log says of a request beside its outcome.
#[derive(Clone, Debug, Default)]
pub struct LogLine {
    /// Its address, as the log shows it; none of a Unix socket.
    pub client: Option<Arc<str>>,
    pub method: http::Method,
    target: Vec<u8>,
    /// What is in it; perhaps more than that.
    kinds: u8,
    pub version: http::Version,
    pub began: u64,
    /// Empty: none has answered.
    pub node: Vec<u8>,
    /// What that said of its cache.
    pub cache: Vec<u8>,
    /// What became of the TLS to a listed host; empty: it is about none.
    pub tls: &'static str,
}

impl LogSink {
    /// On these lines; `None` when it is off.
    pub fn new(config: &config::LogConfig, lines: Lines) -> Option<LogSink> {
        let log = LogSink { lines, format: config.access, queries: config.queries, spare: RefCell::default() };
        (config.access != AccessLog::Off).then_some(log)
    }

    /// The address of a client as the log shows it.
    pub fn client(address: IpAddr) -> Arc<str> {
        address.to_canonical().to_string().into()
    }

    /// A line of a request that begins now.
    pub fn line(
        &self,
        client: Option<&Arc<str>>,
        method: &http::Method,
        version: http::Version,
        target: &[u8],
    ) -> Box<LogLine> {
        let mut line = self.spare.borrow_mut().pop().unwrap_or_default();
        (line.client, line.method, line.version) = (client.cloned(), method.clone(), version);
        (line.began, line.tls) = (clock::tick().0, "");
        line.kinds = show(target, &mut line.target);
        if !self.queries && line.kinds & QUERY != 0 {
            let path = line.target.split(|byte| *byte == b'?').next().map_or(0, <[u8]>::len);
            line.target.truncate(path);
        }
        line
    }

    pub fn write(&self, mut line: Box<LogLine>, outcome: &Outcome) {
        thread_local! {
            static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        TEXT.with_borrow_mut(|text| {
            text.clear();
            match self.format {
                AccessLog::Json => json_line(&line, outcome, text),
                _ => text_line(&line, outcome, text),
            }
            text.push(b'\n');
            // Counted where it is lost.
            let _ = self.lines.put(text);
        });
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE && line.target.capacity() <= ROOM {
            [&mut line.target, &mut line.node, &mut line.cache].into_iter().for_each(Vec::clear);
            spare.push(line);
        }
    }
}

/// What is in a text, as a bit set: [`ODD`], [`ESCAPED`], [`QUERY`], [`SLASH`].
fn kinds(text: &[u8]) -> u8 {
    // Without a branch for each byte.
    text.iter().fold(0, |kinds, byte| kinds | KINDS[usize::from(*byte)])
}

/// What stands in no target as it is shown.
const ODD: u8 = 1;
/// What a text in JSON does not have as it is, and what is not ASCII.
const ESCAPED: u8 = 1 << 1;
const QUERY: u8 = 1 << 2;
const SLASH: u8 = 1 << 3;

static KINDS: [u8; 256] = {
    let (mut kinds, mut at) = ([0; 256], 0);
    while at < kinds.len() {
        let byte = at as u8;
        if !byte.is_ascii_graphic() || byte == b'#' || target::is_unwise(byte) {
            kinds[at] |= ODD;
        }
        if !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\') {
            kinds[at] |= ESCAPED;
        }
        match byte {
            b'?' => kinds[at] |= QUERY,
            b'/' => kinds[at] |= SLASH,
            _ => {}
        }
        at += 1;
    }
    kinds
};

/// Appends a request target as the log shows it: without what is no part of a URI; one without a path has `/`. Gives its
/// [`kinds`].
fn show(target: &[u8], out: &mut Vec<u8>) -> u8 {
    let after_scheme = target.strip_prefix(b"http://").map_or(0, kinds);
    if after_scheme & (ODD | SLASH) == SLASH {
        out.extend_from_slice(target);
        return after_scheme;
    }
    let target = target::escaped(target);
    match http::Uri::try_from(&*target) {
        // Writing to memory does not fail.
        Ok(uri) => _ = write!(out, "{uri}"),
        Err(_) => out.extend_from_slice(String::from_utf8_lossy(&target).as_bytes()),
    }
    kinds(out)
}

/// `time client "GET http://a/ HTTP/1.1" 200 1024 3ms complete n1 "hit; ttl=3"`
fn text_line(line: &LogLine, outcome: &Outcome, out: &mut Vec<u8>) {
    let time = date::format(clock::wall());
    let node = String::from_utf8_lossy(&line.node);
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "[{}] {} \"{} {} {:?}\" {} {} {}ms {} {} \"{}\"",
        String::from_utf8_lossy(&time),
        line.client.as_deref().unwrap_or("unix"),
        escaped(line.method.as_str()),
        escaped(&String::from_utf8_lossy(&line.target)),
        line.version,
        outcome.verdict.status.as_u16(),
        outcome.sent,
        took(line),
        end(outcome.end),
        if node.is_empty() { "-" } else { &node },
        escaped(&remark(line, outcome)),
    );
    if !line.tls.is_empty() {
        let _ = write!(out, " tls={}", line.tls);
    }
}

/// Milliseconds.
fn took(line: &LogLine) -> u64 {
    clock::tick().0.saturating_sub(line.began)
}

/// What the node says of its cache, else who made the answer; and what went wrong, with whose fault it was.
fn remark(line: &LogLine, outcome: &Outcome) -> String {
    let said = String::from_utf8_lossy(&line.cache);
    let made_by = Some(&*said).filter(|said| !said.is_empty());
    let made_by = made_by.or(outcome.verdict.blame.is_none().then(|| source(outcome)));
    let error = outcome.blame().map(|blame| format!("error={}", blame.kind.token()));
    let fault = outcome.whose().map(|whose| format!("fault={}", whose.token()));
    let parts: Vec<&str> = made_by.into_iter().chain(error.as_deref()).chain(fault.as_deref()).collect();
    parts.join("; ")
}

/// So that nobody can end a quoted text or a line, or write to the terminal of who reads it: what is not printable ASCII as
/// `\u{85}`.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_plain(c) {
            true => out.push(c),
            false if c == '"' || c == '\\' => out.extend(['\\', c]),
            false => out.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(out)
}

/// What is always there comes in one piece with what stands around it: this is half of what a line costs.
fn json_line(line: &LogLine, outcome: &Outcome, out: &mut Vec<u8>) {
    number(out, b"{\"bytes\":", outcome.sent);
    text(out, b",\"cache\":", &line.cache, kinds(&line.cache));
    out.extend_from_slice(b",\"client\":");
    token(out, line.client.as_deref());
    out.extend_from_slice(b",\"end\":\"");
    out.extend_from_slice(end(outcome.end).as_bytes());
    match outcome.whose() {
        None => out.extend_from_slice(b"\",\"fault\":null,\"method\":\""),
        whose => {
            out.extend_from_slice(b"\",\"fault\":");
            token(out, whose.map(Whose::token));
            out.extend_from_slice(b",\"method\":\"");
        }
    }
    out.extend_from_slice(line.method.as_str().as_bytes());
    number(out, b"\",\"ms\":", took(line));
    text(out, b",\"node\":", &line.node, kinds(&line.node));
    out.extend_from_slice(b",\"source\":\"");
    out.extend_from_slice(source(outcome).as_bytes());
    number(out, b"\",\"status\":", outcome.verdict.status.as_u16().into());
    number(out, b",\"time\":", clock::wall().0);
    if !line.tls.is_empty() {
        out.extend_from_slice(b",\"tls\":");
        token(out, Some(line.tls));
    }
    text(out, b",\"url\":", &line.target, line.kinds);
    out.push(b'}');
}

fn number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    out.extend_from_slice(name);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// In which nothing has to be escaped.
fn token(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => quoted(out, value.as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
}

/// An empty one is none. `kinds`: at least what is in it.
fn text(out: &mut Vec<u8>, name: &[u8], value: &[u8], kinds: u8) {
    out.extend_from_slice(name);
    match value {
        [] => token(out, None),
        _ if kinds & ESCAPED == 0 => quoted(out, value),
        // A text, to memory: it does not fail.
        _ => _ = serde_json::to_writer(out, &String::from_utf8_lossy(value)),
    }
}

fn quoted(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(value);
    out.push(b'"');
}

fn end(end: AnswerEnd) -> &'static str {
    match end {
        AnswerEnd::Complete => "complete",
        AnswerEnd::ClientLeft => "client-left",
        AnswerEnd::ClientSilent => "client-silent",
        AnswerEnd::Idle => "idle",
        AnswerEnd::Broke(blame) => match blame.whose {
            Whose::Client => "client-broke",
            Whose::Node => "node-broke",
            Whose::Peer => "peer-broke",
            Whose::Origin => "origin-broke",
            Whose::Us => "we-broke",
        },
    }
}

/// Who made the answer, or what went wrong.
fn source(outcome: &Outcome) -> &'static str {
    if let Some(blame) = outcome.blame() {
        return blame.kind.token();
    }
    match outcome.verdict.source {
        AnswerSource::Node => "node",
        AnswerSource::Hot => "hot",
        AnswerSource::Page => "page",
        AnswerSource::Tunnel => "tunnel",
        AnswerSource::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::outcome::{CacheResult, Verdict};
    use crate::wire::fault::{Blame, Kind};
    use http::StatusCode;

    #[test]
    fn query_strings_stay_out_unless_asked_for() {
        let (lines, _writer) = Lines::to(std::io::stdout(), "access log", crate::lines::GATHER).unwrap();
        let mut log = LogSink { lines, format: AccessLog::Text, queries: false, spare: RefCell::default() };
        let line =
            |log: &LogSink| log.line(None, &http::Method::GET, http::Version::HTTP_11, b"http://a.example/p?token=1");
        assert_eq!(line(&log).target, b"http://a.example/p");
        log.queries = true;
        assert_eq!(line(&log).target, b"http://a.example/p?token=1");
    }

    #[test]
    fn a_target_is_shown_as_a_uri_and_one_that_is_none_as_it_is() {
        for (target, expected) in [
            (&b"http://a/b?c=%22"[..], "http://a/b?c=%22"),
            (b"http://a", "http://a/"),
            (b"http://a/b#c", "http://a/b"),
            (b"http://a/{b}", "http://a/%7Bb%7D"),
            (b"http://a/\"", "http://a/%22"),
            (b"a:443", "a:443"),
            (b"/b", "/b"),
            (b"http:// \xff", "http:// \u{fffd}"),
        ] {
            let mut shown = Vec::new();
            show(target, &mut shown);
            assert_eq!(String::from_utf8_lossy(&shown), expected, "{target:?}");
        }
    }

    #[test]
    fn a_line_of_json_says_what_was_seen_whatever_is_in_it() {
        let blame = Blame::new(Whose::Origin, Kind::ConnectionRefused);
        let verdict = |source, blame| Verdict { status: StatusCode::OK, source, cache: CacheResult::Unknown, blame };
        for (client, target, node, cache, source, blame) in [
            (Some("10.0.0.1"), &b"http://a/b"[..], &b"n1"[..], &b"hit; ttl=3"[..], AnswerSource::Node, None),
            (None, b"http://a/\"\\\x1b", b"", b"", AnswerSource::Error, Some(blame)),
            (None, b"http://a/\xff\xc3\xa9", b"n\"1", b"hit; detail=\"\\\"", AnswerSource::Page, None),
        ] {
            let (client, method, version) = (client.map(Arc::from), http::Method::GET, http::Version::HTTP_11);
            let (target, node, cache) = (target.to_vec(), node.to_vec(), cache.to_vec());
            let kinds = kinds(&target);
            let line = LogLine { client, method, target, kinds, version, began: clock::tick().0, node, cache, tls: "" };
            let outcome = Outcome { verdict: verdict(source, blame), sent: 7, end: AnswerEnd::Complete };
            let mut text = Vec::new();
            json_line(&line, &outcome, &mut text);
            let said: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let or_null = |text: &[u8]| match text {
                b"" => serde_json::Value::Null,
                text => String::from_utf8_lossy(text).into(),
            };
            let expected = serde_json::json!({
                "bytes": 7, "cache": or_null(&line.cache), "client": line.client.as_deref(), "end": "complete",
                "fault": blame.map(|blame| blame.whose.token()), "method": "GET", "ms": said["ms"].as_u64().unwrap(),
                "node": or_null(&line.node), "source": self::source(&outcome), "status": 200,
                "time": said["time"].as_u64().unwrap(), "url": String::from_utf8_lossy(&line.target),
            });
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn what_a_client_wrote_stays_between_its_quotes_and_on_its_line() {
        for (text, expected) in [
            ("/a?b=%22", "/a?b=%22"),
            ("/\"x\\", "/\\\"x\\\\"),
            ("/\u{85}\u{2028}\u{1b}[m\n", "/\\u{85}\\u{2028}\\u{1b}[m\\u{a}"),
            ("/\u{e9}", "/\\u{e9}"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
