//! Asks by HTTP/2: the fields of the table's text, without those that HTTP/2 has other means for.

use super::asking::Fill;
use super::case::{Ask, Content, End};
use super::play::Round;
use super::seen::{self, Line};
use crate::support::Http2;
use crate::support::client::status_of;
use crate::support::framing::Trailers;
use crate::support::http2::{Http2Answer, Http2Stream};

/// A request's head (RFC 9113 section 8.3.1).
struct Asked {
    url: String,
    fields: Vec<(String, String)>,
}

impl Asked {
    /// `Connection` is left out: where it says no more than that the connection stays, or of which hop `TE` is, this version
    /// says it without. Cases that are about it cannot be.
    fn of(ask: &Ask, fill: &Fill) -> Asked {
        let text = fill.text(ask.line) + &fill.text(ask.fields);
        let (line, rest) = text.split_once("\r\n").expect("a line");
        let target = line.split(' ').next().unwrap_or("");
        let mut fields: Vec<(String, String)> = rest
            .split_terminator("\r\n")
            .map(|line| line.split_once(':').expect("a field"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let host = fields.iter().position(|(name, _)| name == "host").expect("it names a host");
        let (_, host) = fields.remove(host);
        fields.retain(|(name, _)| name != "connection");
        let url = if target.starts_with('/') { format!("https://{host}{target}") } else { target.to_owned() };
        Asked { url, fields }
    }
}

pub fn converse(http2: &Http2, ask: &Ask, fill: &Fill) -> (Round, Vec<Line>) {
    let (mut round, mut lines) = (Round::default(), Vec::new());
    let end = exchange(http2, ask, fill, &mut round, &mut lines);
    assert_eq!(http2.end(), None, "what ends one stream leaves the others (RFC 9113 section 5.4.2)");
    lines.push(format!("end {end:?}"));
    round.end = Some(end);
    (round, lines)
}

fn exchange(http2: &Http2, ask: &Ask, fill: &Fill, round: &mut Round, lines: &mut Vec<Line>) -> End {
    let Asked { url, mut fields } = Asked::of(ask, fill);
    let length = match ask.content {
        Content::Sized(text) | Content::Awaited(text) => Some(text.len()),
        Content::None | Content::Chunked(..) => None,
    };
    fields.extend(length.map(|length| ("content-length".to_owned(), length.to_string())));
    if matches!(ask.content, Content::Awaited(_)) {
        fields.push(("expect".to_owned(), "100-continue".to_owned()));
    }
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let begun = http2.begin(ask.method, &url, &fields, ask.content == Content::None);
    let mut stream = begun.unwrap_or_else(|e| panic!("{} {url} {fields:?} cannot be sent: {e}", ask.method));
    let mut awaited = None;
    // It may be answered before all is sent.
    let _ = match ask.content {
        Content::None => Ok(()),
        Content::Sized(text) => stream.send(text.as_bytes(), true),
        Content::Awaited(text) => {
            awaited = Some(text);
            Ok(())
        }
        Content::Chunked(chunks, trailers) => send_pieces(&mut stream, chunks, trailers),
    };
    loop {
        let early = match stream.interim() {
            Ok(Some(early)) => early,
            Ok(None) => break,
            Err(_) => return End::Unanswered,
        };
        round.interim.push(status_of(&early));
        lines.push(format!("interim {} line {}", round.interim.len(), early.line));
        lines.extend(seen::fields(&format!("interim {} field", round.interim.len()), &early.fields));
        if status_of(&early) == 100 {
            // It may be answered all the same.
            let _ = awaited.take().map(|text| stream.send(text.as_bytes(), true));
        }
    }
    let Ok(mut answer) = stream.answer() else { return End::Unanswered };
    (round.status, round.fields) = (answer.status, answer.head.fields.clone());
    lines.push(format!("line {}", answer.head.line));
    lines.extend(seen::fields("field", &answer.head.fields));
    let trailers = content(&mut answer, &mut round.body);
    lines.push(format!("body {}", seen::body(&round.body)));
    match trailers {
        Ok(trailers) => {
            lines.extend(seen::fields("trailer", &trailers));
            End::Kept
        }
        Err(_) => End::Cut,
    }
}

fn send_pieces(stream: &mut Http2Stream, pieces: &[&str], trailers: &str) -> Result<(), h2::Error> {
    let trailers: Vec<(String, &str)> = trailers
        .split_terminator("\r\n")
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    for (i, piece) in pieces.iter().enumerate() {
        stream.send(piece.as_bytes(), trailers.is_empty() && i + 1 == pieces.len())?;
    }
    if !trailers.is_empty() {
        stream.send_trailers(&trailers.iter().map(|(name, value)| (&**name, *value)).collect::<Vec<_>>());
    }
    Ok(())
}

fn content(answer: &mut Http2Answer, body: &mut Vec<u8>) -> Result<Trailers, h2::Error> {
    while let Some(piece) = answer.piece()? {
        body.extend_from_slice(&piece);
    }
    answer.trailers()
}
