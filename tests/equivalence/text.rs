//! Asks by HTTP/1: what is sent is what the table says, and what is seen is what came.

use super::asking::Fill;
use super::case::{Ask, Content, End};
use super::column::{Column, Version, Way};
use super::play::Round;
use super::seen::{self, Line};
use crate::support::framing::{Framing, Trailers};
use crate::support::{Connection, Head, PATIENCE};

/// The parts of a request: all but an awaited body are sent at once.
pub fn encoded(ask: &Ask, url: &str, column: Column) -> [Vec<u8>; 2] {
    let fill = Fill::of(url, column);
    let mut head = format!("{} {}{}", ask.method, fill.text(ask.line), fill.text(ask.fields));
    if column.way == Way::Link {
        head += &format!("Via: {} ringhold\r\nRinghold-Client: local\r\n", column.version.number());
    }
    let (mut body, mut later) = (String::new(), String::new());
    match ask.content {
        Content::None => {}
        Content::Sized(text) => {
            head += &format!("Content-Length: {}\r\n", text.len());
            body += text;
        }
        Content::Awaited(text) => {
            head += &format!("Content-Length: {}\r\nExpect: 100-continue\r\n", text.len());
            let place = if column.version == Version::New { &mut later } else { &mut body };
            *place += text;
        }
        Content::Chunked(chunks, trailers) => {
            head += "Transfer-Encoding: chunked\r\n";
            body.extend(chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())));
            body += &format!("0\r\n{trailers}\r\n");
        }
    }
    [latin1(&format!("{head}\r\n{body}")), later.into_bytes()]
}

/// Texts of the table are bytes of the same number.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).expect("a byte")).collect()
}

/// Sends a request, unless that was done, and reads its answer.
pub fn converse(
    connection: &mut Connection,
    ask: &Ask,
    parts: &[Vec<u8>; 2],
    is_sent: bool,
    column: Column,
) -> (Round, Vec<Line>) {
    connection.patience(PATIENCE);
    let (mut round, mut lines) = (Round::default(), Vec::new());
    if !is_sent {
        let _ = connection.send(&parts[0]);
    }
    let mut later = &parts[1][..];
    let head = loop {
        let head = match connection.head() {
            Ok(head) => head,
            Err(e) => {
                assert!(!is_late(&e), "no answer in time");
                round.end = Some(End::Unanswered);
                lines.push("end Unanswered".to_owned());
                return (round, lines);
            }
        };
        let status = status(&head);
        if status == 100 {
            let _ = connection.send(std::mem::take(&mut later));
        }
        if !(100..200).contains(&status) || status == 101 {
            break head;
        }
        round.interim.push(status);
        lines.push(format!("interim {} line {}", round.interim.len(), head.line));
        lines.extend(seen::fields(&format!("interim {} field", round.interim.len()), &head.fields));
    };
    (round.status, round.fields) = (status(&head), head.fields.clone());
    lines.push(format!("line {}", head.line));
    lines.extend(seen::fields("field", &head.fields));
    let framing = Framing::of_response(ask.method, round.status, &head);
    let mut body = Vec::new();
    let read = connection.body(ask.method, &head, |piece| body.extend_from_slice(piece));
    lines.push(format!("body {}", seen::body(&body)));
    round.body = body;
    let end = match read {
        Ok((_, trailers)) => {
            lines.extend(trailer_lines(&trailers));
            ended(connection, &head, framing, !later.is_empty(), column)
        }
        Err(e) => {
            assert!(!is_late(&e), "the rest of the answer does not come in time");
            End::Cut
        }
    };
    lines.push(format!("end {end:?}"));
    round.end = Some(end);
    (round, lines)
}

fn trailer_lines(trailers: &Trailers) -> Vec<Line> {
    seen::fields("trailer", trailers)
}

/// Whether the connection goes on as the head says (RFC 9112 section 9.3). A request whose body was not sent leaves it in
/// nobody's hands.
fn ended(connection: &mut Connection, head: &Head, framing: Framing, unsent: bool, column: Column) -> End {
    let says = |option| head.lists("connection", option);
    let keeps = match column.version {
        Version::New => !says("close"),
        Version::Old => says("keep-alive"),
        Version::Two => unreachable!("it is no text"),
    };
    if keeps && !unsent && framing != Framing::ToTheEnd {
        return End::Kept;
    }
    assert!(connection.closes_within(PATIENCE), "a connection of which the last was said is closed: {head:?}");
    End::Closed
}

fn status(head: &Head) -> u16 {
    head.word(1).parse().unwrap_or_else(|_| panic!("no status line: {}", head.line))
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
