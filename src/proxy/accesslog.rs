//! One line a request on standard output, through [`crate::lines`]: a slow terminal stops no worker.

use crate::clock;
use crate::config::{self, AccessLog};
use crate::lines::{Lines, Logged};
use crate::proxy::outcome::{End, Outcome, Source};
use crate::wire::date;
use crate::wire::fault::Whose;
use crate::wire::target;
use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Write;
use std::net::IpAddr;
use std::rc::Rc;

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
    /// Its address, as the log shows it; none of a Unix socket.
    pub client: Option<Rc<str>>,
    pub method: http::Method,
    pub target: Target,
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

    /// The address of a client as the log shows it.
    pub fn client(address: IpAddr) -> Rc<str> {
        address.to_canonical().to_string().into()
    }

    /// The URL of a request as the log shows it.
    pub fn target(&self, target: &[u8]) -> Target {
        let mut shown = Target::of(target);
        if let Some(at) = shown.text.find('?').filter(|_| !self.queries) {
            shown.text.truncate(at);
        }
        shown
    }

    pub fn write(&self, line: &Line, outcome: &Outcome) -> Logged {
        thread_local! {
            static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        TEXT.with_borrow_mut(|text| {
            text.clear();
            match self.format {
                AccessLog::Json => json_line(line, outcome, text),
                _ => text_line(line, outcome, text),
            }
            text.push(b'\n');
            self.lines.put(text)
        })
    }
}

/// A request target as the log shows it: without what is no part of a URI; one without a path has `/`.
#[derive(Debug)]
pub struct Target {
    text: String,
    /// There is nothing in it that has to be escaped.
    is_plain: bool,
}

impl Target {
    fn of(target: &[u8]) -> Target {
        const SCHEME: &[u8] = b"http://";
        let has_path = || target.strip_prefix(SCHEME).is_some_and(|rest| rest.contains(&b'/'));
        let is_plain = target.iter().all(|byte| PLAIN[usize::from(*byte)]) && has_path();
        let text = match std::str::from_utf8(target) {
            Ok(text) if is_plain => text.to_owned(),
            _ => {
                let target = target::escaped(target);
                let uri = http::Uri::try_from(&*target);
                uri.map_or_else(|_| String::from_utf8_lossy(&target).into_owned(), |uri| uri.to_string())
            }
        };
        Target { text, is_plain }
    }
}

/// What stands in a URI (RFC 3986 section 2) before any fragment, and what people write there all the same, but for quotes and
/// what ends a line.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
        byte += 1;
    }
    plain
};

/// `time client "GET http://a/ HTTP/1.1" 200 1024 3ms complete n1 "hit; ttl=3"`
fn text_line(line: &Line, outcome: &Outcome, out: &mut Vec<u8>) {
    let time = date::format(clock::wall());
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "[{}] {} \"{} {} {:?}\" {} {} {}ms {} {} \"{}\"",
        String::from_utf8_lossy(&time),
        line.client.as_deref().unwrap_or("unix"),
        escaped(line.method.as_str()),
        escaped(&line.target.text),
        line.version,
        outcome.verdict.status.as_u16(),
        outcome.sent,
        clock::tick().since(line.began).as_millis(),
        end(outcome.end),
        line.node.as_deref().unwrap_or("-"),
        escaped(&remark(line, outcome)),
    );
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

fn json_line(line: &Line, outcome: &Outcome, out: &mut Vec<u8>) {
    let ms = u64::try_from(clock::tick().since(line.began).as_millis()).unwrap_or(u64::MAX);
    let Target { text, is_plain } = &line.target;
    number(out, "{\"bytes\":", outcome.sent);
    self::text(out, ",\"cache\":", line.cache_status.as_deref());
    token(out, ",\"client\":", line.client.as_deref());
    token(out, ",\"end\":", Some(end(outcome.end)));
    token(out, ",\"fault\":", outcome.whose().map(Whose::token));
    token(out, ",\"method\":", Some(line.method.as_str()));
    number(out, ",\"ms\":", ms);
    self::text(out, ",\"node\":", line.node.as_deref());
    token(out, ",\"source\":", Some(source(outcome)));
    number(out, ",\"status\":", outcome.verdict.status.as_u16().into());
    number(out, ",\"time\":", clock::wall().0);
    (if *is_plain { token } else { self::text })(out, ",\"url\":", Some(text));
    out.push(b'}');
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// In which nothing has to be escaped.
fn token(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    out.extend_from_slice(name.as_bytes());
    match value {
        Some(value) => {
            out.push(b'"');
            out.extend_from_slice(value.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn text(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    out.extend_from_slice(name.as_bytes());
    // A text, to memory: it does not fail.
    let _ = serde_json::to_writer(out, &value);
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
        let mut log = Log { lines, format: AccessLog::Text, queries: false };
        assert_eq!(log.target(b"http://a.example/p?token=secret").text, "http://a.example/p");
        log.queries = true;
        assert_eq!(log.target(b"http://a.example/p?token=secret").text, "http://a.example/p?token=secret");
    }

    #[test]
    fn a_target_is_shown_as_a_uri_and_one_that_is_none_as_it_is() {
        for (target, expected) in [
            (&b"http://a/b?c=%22"[..], ("http://a/b?c=%22", true)),
            (b"http://a", ("http://a/", false)),
            (b"http://a/b#c", ("http://a/b", false)),
            (b"http://a/{b}", ("http://a/%7Bb%7D", false)),
            (b"http://a/\"", ("http://a/%22", false)),
            (b"a:443", ("a:443", false)),
            (b"/b", ("/b", false)),
            (b"http:// \xff", ("http:// \u{fffd}", false)),
        ] {
            let Target { text, is_plain } = Target::of(target);
            assert_eq!((&*text, is_plain), expected, "{target:?}");
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
