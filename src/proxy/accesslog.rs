//! One line a request on standard output, through [`crate::lines`]: a slow terminal stops no worker.

use crate::clock;
use crate::config::{self, AccessLog};
use crate::lines::{Lines, Logged};
use crate::proxy::outcome::{End, Outcome, Source};
use crate::wire::date;
use crate::wire::fault::Whose;
use serde::Serialize;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// Where a worker puts its lines.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Lines,
    format: AccessLog,
    queries: bool,
}

/// What the log says of a request beside its outcome.
#[derive(Debug)]
pub struct Line {
    pub client: Option<SocketAddr>,
    pub method: http::Method,
    pub target: String,
    pub version: http::Version,
    pub began: clock::Tick,
    pub node: Option<String>,
    pub cache_status: Option<String>,
}

impl Log {
    /// On these lines; `None` when it is off.
    pub fn new(config: &config::Log, lines: Lines) -> Option<Log> {
        (config.access != AccessLog::Off).then_some(Log { lines, format: config.access, queries: config.queries })
    }

    /// The URL as the log shows it.
    pub fn target(&self, mut text: String) -> String {
        if let Some(at) = text.find('?').filter(|_| !self.queries) {
            text.truncate(at);
        }
        text
    }

    pub fn write(&self, line: &Line, outcome: &Outcome) -> Logged {
        let text = match self.format {
            AccessLog::Json => json_line(line, outcome),
            _ => text_line(line, outcome),
        };
        self.lines.put(text.into_bytes())
    }
}

/// `time client "GET http://a/ HTTP/1.1" 200 1024 3ms complete n1 "hit; ttl=3"`
fn text_line(line: &Line, outcome: &Outcome) -> String {
    let time = date::format(clock::wall());
    format!(
        "[{}] {} \"{} {} {:?}\" {} {} {}ms {} {} \"{}\"\n",
        String::from_utf8_lossy(&time),
        line.client.map_or_else(|| "unix".to_owned(), |c| c.ip().to_canonical().to_string()),
        escaped(line.method.as_str()),
        escaped(&line.target),
        line.version,
        outcome.verdict.status.as_u16(),
        outcome.sent,
        clock::tick().since(line.began).as_millis(),
        end(outcome.end),
        line.node.as_deref().unwrap_or("-"),
        escaped(&remark(line, outcome)),
    )
}

/// What the node says of its cache, else who made the answer; and what went wrong, with whose fault it was.
fn remark(line: &Line, outcome: &Outcome) -> String {
    let made_by = line.cache_status.as_deref().or(outcome.verdict.blame.is_none().then(|| source(outcome)));
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

fn json_line(line: &Line, outcome: &Outcome) -> String {
    let fields = Fields {
        bytes: outcome.sent,
        cache: line.cache_status.as_deref(),
        client: line.client.map(|client| client.ip().to_canonical()),
        end: end(outcome.end),
        fault: outcome.whose().map(Whose::token),
        method: line.method.as_str(),
        ms: u64::try_from(clock::tick().since(line.began).as_millis()).unwrap_or(u64::MAX),
        node: line.node.as_deref(),
        source: source(outcome),
        status: outcome.verdict.status.as_u16(),
        time: clock::wall().0,
        url: &line.target,
    };
    // Numbers and texts: it does not fail.
    serde_json::to_string(&fields).unwrap_or_default() + "\n"
}

/// What a line of JSON says, in its order.
#[derive(Serialize)]
struct Fields<'a> {
    bytes: u64,
    cache: Option<&'a str>,
    client: Option<IpAddr>,
    end: &'static str,
    fault: Option<&'static str>,
    method: &'a str,
    ms: u64,
    node: Option<&'a str>,
    source: &'static str,
    status: u16,
    time: u64,
    url: &'a str,
}

fn end(end: End) -> &'static str {
    match end {
        End::Complete => "complete",
        End::ClientLeft => "client-left",
        End::ClientSilent => "client-silent",
        End::Idle => "idle",
        End::Broke(blame) => match blame.whose {
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
        Source::Node => "node",
        Source::Hot => "hot",
        Source::Page => "page",
        Source::Tunnel => "tunnel",
        Source::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings_stay_out_unless_asked_for() {
        let (lines, _writer) = Lines::to(std::io::stdout(), "access log").unwrap();
        let uri: http::Uri = "http://a.example/p?token=secret".parse().unwrap();
        let mut log = Log { lines, format: AccessLog::Text, queries: false };
        assert_eq!(log.target(uri.to_string()), "http://a.example/p");
        log.queries = true;
        assert_eq!(log.target(uri.to_string()), "http://a.example/p?token=secret");
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
