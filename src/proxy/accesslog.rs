//! One line a request on standard output, written by a thread of its own: a slow terminal stops no worker.

use crate::clock;
use crate::config::{self, AccessLog};
use crate::proxy::outcome::{End, Outcome, Source};
use crate::wire::date;
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

/// Lines that wait to be written; what does not fit is dropped and counted.
const QUEUE: usize = 16 * 1024;

/// Where a worker puts its lines.
#[derive(Clone, Debug)]
pub struct Log {
    lines: SyncSender<String>,
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

/// Whether a line could be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    Yes,
    Dropped,
}

impl Log {
    /// `None` when it is off. The thread ends when the last clone of the log is gone.
    pub fn start(config: &config::Log) -> std::io::Result<Option<(Log, JoinHandle<()>)>> {
        if config.access == AccessLog::Off {
            return Ok(None);
        }
        let (lines, queue) = sync_channel(QUEUE);
        let writer = thread::Builder::new().name("access-log".into()).spawn(move || write(&queue))?;
        Ok(Some((Log { lines, format: config.access, queries: config.queries }, writer)))
    }

    /// The URL as the log shows it.
    pub fn target(&self, uri: &http::Uri) -> String {
        let text = uri.to_string();
        match text.find('?') {
            Some(at) if !self.queries => text[..at].to_owned(),
            _ => text,
        }
    }

    pub fn write(&self, line: &Line, outcome: &Outcome) -> Logged {
        let text = match self.format {
            AccessLog::Json => json_line(line, outcome),
            _ => text_line(line, outcome),
        };
        if self.lines.try_send(text).is_ok() { Logged::Yes } else { Logged::Dropped }
    }
}

/// `time client "GET http://a/ HTTP/1.1" 200 1024 3ms complete n1 "n1; hit"`
fn text_line(line: &Line, outcome: &Outcome) -> String {
    let time = date::format(clock::now());
    format!(
        "[{}] {} \"{} {} {:?}\" {} {} {}ms {} {} {:?}\n",
        String::from_utf8_lossy(&time),
        line.client.map_or_else(|| "unix".to_owned(), |c| c.ip().to_canonical().to_string()),
        line.method,
        line.target,
        line.version,
        outcome.verdict.status.as_u16(),
        outcome.sent,
        clock::tick().since(line.began).as_millis(),
        end(outcome.end),
        line.node.as_deref().unwrap_or("-"),
        line.cache_status.as_deref().unwrap_or_else(|| source(outcome)),
    )
}

fn json_line(line: &Line, outcome: &Outcome) -> String {
    let fields = json!({
        "time": clock::now().0,
        "client": line.client.map(|c| c.ip().to_canonical().to_string()),
        "method": line.method.as_str(),
        "url": line.target,
        "status": outcome.verdict.status.as_u16(),
        "bytes": outcome.sent,
        "ms": u64::try_from(clock::tick().since(line.began).as_millis()).unwrap_or(u64::MAX),
        "end": end(outcome.end),
        "node": line.node,
        "cache": line.cache_status,
        "source": source(outcome),
    });
    format!("{fields}\n")
}

fn end(end: End) -> &'static str {
    match end {
        End::Complete => "complete",
        End::ClientLeft => "client-left",
        End::NodeBroke => "node-broke",
    }
}

fn source(outcome: &Outcome) -> &'static str {
    match outcome.verdict.source {
        Source::Node => "node",
        Source::Hot => "hot",
        Source::Page => "page",
        Source::Tunnel => "tunnel",
        Source::Error(kind) => kind.token(),
    }
}

fn write(queue: &Receiver<String>) {
    let mut out = std::io::BufWriter::with_capacity(64 * 1024, std::io::stdout());
    let mut next = queue.recv().ok();
    while let Some(line) = next {
        let _ = out.write_all(line.as_bytes());
        next = match queue.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                let _ = out.flush();
                queue.recv().ok()
            }
        };
    }
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::outcome::{Cache, Verdict};

    #[test]
    fn query_strings_stay_out_unless_asked_for() {
        let (lines, _queue) = sync_channel(1);
        let uri: http::Uri = "http://a.example/p?token=secret".parse().unwrap();
        let mut log = Log { lines, format: AccessLog::Text, queries: false };
        assert_eq!(log.target(&uri), "http://a.example/p");
        log.queries = true;
        assert_eq!(log.target(&uri), "http://a.example/p?token=secret");
    }

    #[test]
    fn a_full_queue_drops_lines_and_says_so() {
        let (lines, _queue) = sync_channel(1);
        let log = Log { lines, format: AccessLog::Json, queries: false };
        let line = Line {
            client: None,
            method: http::Method::GET,
            target: "http://a/".into(),
            version: http::Version::HTTP_11,
            began: clock::tick(),
            node: None,
            cache_status: None,
        };
        let verdict = Verdict { status: http::StatusCode::OK, source: Source::Node, cache: Cache::Hit };
        let outcome = Outcome { verdict, sent: 1, end: End::Complete };
        assert_eq!((log.write(&line, &outcome), log.write(&line, &outcome)), (Logged::Yes, Logged::Dropped));
    }
}
