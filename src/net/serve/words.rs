//! Last words: the answer to a head that cannot be read or came too slowly, and a close that lets it arrive.

use super::head::HeadRefusal;
use super::limits::ServerLimits;
use crate::clock;
use crate::net::listen::Stream;
use crate::net::stream::untaken;
use crate::wire::date;
use crate::wire::fault::{Fault, Kind};
use crate::wire::status::proxy_status;
use crate::wire::written::{field, status_line};
use http::StatusCode;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a peer has to take our last words.
const PATIENCE: Duration = Duration::from_secs(2);

/// A peer that goes on with an upload after its answer may pause for so long, or `timeouts.client_silence` where that is
/// less; altogether it is heard for `client_silence`.
const QUIET: Duration = Duration::from_secs(30);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// Answers with `fault` and closes.
pub async fn speak(mut stream: Stream, fault: &Fault) {
    let (head, text) = answer(fault);
    let answer = [head, text].concat();
    let _ = tokio::time::timeout(PATIENCE, async {
        if stream.write_all(&answer).await.is_ok() {
            drain(&mut stream, PATIENCE).await;
        }
    })
    .await;
}

/// Closes so that what was written arrives: a socket that is closed with bytes unread resets the connection, and the
/// answer is lost with it (RFC 9112 section 9.6).
pub(super) async fn linger(mut stream: Stream) {
    let _ = tokio::time::timeout(PATIENCE, drain(&mut stream, PATIENCE)).await;
}

/// The same in the middle of an upload. Many clients read no answer before they have sent all: what they send is read and
/// dropped, for as long as it keeps coming.
pub(super) async fn hear_out(mut stream: Stream, limits: &ServerLimits) {
    let quiet = limits.stall.map_or(PATIENCE, |stall| stall.min(QUIET));
    let most = limits.stall.map_or(PATIENCE, |stall| stall.max(quiet));
    let _ = tokio::time::timeout(most, drain(&mut stream, quiet)).await;
}

/// Resets the connection once the peer has what was written: an end in order would be taken for that of the answer.
pub(super) async fn cut_off(stream: Stream) {
    let _ = tokio::time::timeout(PATIENCE, async {
        // There is no event for that.
        while untaken(stream.as_fd()) > 0 {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
    stream.reset_on_drop();
}

/// Until it ends, or nothing comes for so long.
async fn drain(stream: &mut Stream, quiet: Duration) {
    let mut waste = vec![0; 16 * 1024];
    if stream.shutdown().await.is_ok() {
        while matches!(tokio::time::timeout(quiet, stream.read(&mut waste)).await, Ok(Ok(n)) if n > 0) {}
    }
}

/// The content of such an answer.
pub fn text(fault: &Fault) -> String {
    format!("{}\n", fault.detail)
}

/// The head of such an answer, and its content.
pub(super) fn answer(fault: &Fault) -> (Vec<u8>, Vec<u8>) {
    let status = fault.status;
    let (text, mut head) = (text(fault), Vec::with_capacity(512));
    status_line(&mut head, status, status.canonical_reason().is_none().then_some(b"Error"));
    field(&mut head, b"Connection", b"close");
    field(&mut head, b"Date", &date::format(clock::wall()));
    field(&mut head, b"Proxy-Status", proxy_status("ringhold", fault).as_bytes());
    field(&mut head, b"Content-Type", b"text/plain; charset=utf-8");
    field(&mut head, b"Content-Length", text.len().to_string().as_bytes());
    head.extend_from_slice(b"\r\n");
    (head, text.into())
}

/// What to answer to a head that did not come in time.
pub(super) fn too_slow(limits: &ServerLimits) -> Fault {
    let detail = format!("the head of the request was not complete within {:?}", limits.header);
    Fault::client(StatusCode::REQUEST_TIMEOUT, Kind::HttpRequestError, detail)
}

/// What to answer to a head that is refused. `unread`: what had come of it.
pub(super) fn refusal(why: HeadRefusal, unread: &[u8], limits: &ServerLimits) -> Fault {
    let is_target = || unread.get(..limits.head).is_some_and(|line| !line.contains(&b'\n'));
    let (status, detail) = match why {
        _ if speaks_other_version(unread) => {
            (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this port speaks HTTP/1.1 and HTTP/1.0 only".to_owned())
        }
        HeadRefusal::TargetTooLong => (StatusCode::URI_TOO_LONG, "the request target is too long".to_owned()),
        // One line without an end: it is the target that is too long (RFC 9110 section 15.5.15).
        HeadRefusal::TooLong if is_target() => {
            (StatusCode::URI_TOO_LONG, format!("the request line is longer than {} bytes", limits.head))
        }
        HeadRefusal::TooLong | HeadRefusal::TooManyFields => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("the head of the request has more than {} bytes or {} fields", limits.head, limits.fields),
        ),
        HeadRefusal::NoRoom => {
            let detail = "too many requests with long heads are under way; try again later";
            return Fault::us(StatusCode::SERVICE_UNAVAILABLE, Kind::ConnectionLimitReached, detail);
        }
        HeadRefusal::Malformed(why) => (StatusCode::BAD_REQUEST, malformed(why, unread)),
    };
    Fault::client(status, Kind::HttpRequestError, detail)
}

fn malformed(why: &str, unread: &[u8]) -> String {
    match unread {
        // A TLS record of a handshake.
        [0x16, 3, ..] => {
            "the client began a TLS handshake on a port that speaks plain HTTP: write the proxy's address with http://"
                .into()
        }
        [4 | 5, ..] => "the client speaks SOCKS to an HTTP proxy: write the proxy's address with http://".into(),
        _ => format!("the request is malformed: {why}"),
    }
}

/// Whether the request line ends in a version that is not HTTP/1 (the preface of HTTP/2 does).
fn speaks_other_version(unread: &[u8]) -> bool {
    let line = unread.split(|b| *b == b'\n').next().unwrap_or_default();
    let version = line.trim_ascii().rsplit(|b| *b == b' ').next().unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', ..] if *major != b'1')
}
