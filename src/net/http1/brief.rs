//! One brief request and its whole answer on a bare stream: probes, proofs and control.
//!
//! The task that waits is the one that reads, so an answer that has arrived is seen before any time limit, however late
//! this thread gets to run. Nothing is left over: the stream can be used for something else afterwards.

use super::conn::{ByteStream, ClientLimits, Conn, ExchangeError, NextRead, Question, READ, room_for};
use crate::net::rules::Reach;
use crate::wire::answer::content::{Content, Piece};
use crate::wire::answer::decode::Bounds;
use crate::wire::length::BodyLength;
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::io::{self, Error, ErrorKind};

/// The largest answer to a probe or a proof.
const MOST: usize = 8 * 1024;
const BOUNDS: Bounds = Bounds { bytes: MOST, fields: 100 };
/// Who asks keeps the time.
const LIMITS: ClientLimits = ClientLimits::of(BOUNDS);

/// An answer, the whole of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BriefAnswer {
    pub status: u16,
    pub body: Bytes,
    /// The connection may be used again.
    pub keep: bool,
}

/// Sends `request` as it is and reads the answer. What does not speak as a node does is `InvalidData`.
pub async fn ask(stream: &mut impl ByteStream, request: &[u8]) -> io::Result<BriefAnswer> {
    ask_for(stream, request, MOST).await
}

/// The same for a body of at most so many bytes.
pub async fn ask_for(stream: &mut impl ByteStream, request: &[u8], most: usize) -> io::Result<BriefAnswer> {
    let mut conn = Conn::new(stream, Reach::Anyone);
    let asked = poll_fn(|cx| {
        // Made anew for each poll: so nothing that belongs to one thread is kept meanwhile.
        let question = Question { head: request, bodiless: false, idempotent: false, interim: &|_| {}, message: None };
        conn.poll_exchange(cx, &question, &LIMITS, &mut None)
    });
    let NextRead::Head(head) = asked.await.map_err(failed)? else { return Err(odd("its answer has no head")) };
    let status = head.status.as_u16();
    if head.ends == BodyLength::UntilClose {
        return Err(odd(&format!("status {status} without a length")));
    }
    let mut content = Content::of_link(head.ends, head.told_length, MOST);
    let (mut input, mut buffer, mut body) = (std::mem::take(conn.early()), BytesMut::new(), BytesMut::new());
    loop {
        if body.len() > most || content.length().is_some_and(|left| left > most as u64) {
            return Err(odd(&format!("status {status} with too much behind it")));
        }
        match content.step(&mut input).map_err(|why| odd(&why.to_string()))? {
            Piece::Data(data) => body.extend_from_slice(&data),
            Piece::Trailers(_) => {}
            Piece::End => break,
            Piece::More
                if poll_fn(|cx| conn.poll_piece(cx, &mut buffer, room_for(content.length(), READ))).await? == 0 =>
            {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            Piece::More => input = buffer.split().freeze(),
        }
    }
    match input.is_empty() {
        true => Ok(BriefAnswer { status, body: body.freeze(), keep: head.keep }),
        false => Err(odd(&format!("status {status} with too much behind it"))),
    }
}

fn failed(broken: ExchangeError) -> Error {
    match broken {
        ExchangeError::Ended { source: Some(e), .. } => e,
        ExchangeError::Unread(why) => odd(why),
        _ => ErrorKind::UnexpectedEof.into(),
    }
}

/// What a node never says.
pub fn odd(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("what listens there is not a ringhold node: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// What comes of an answer in pieces of so many bytes, after which the connection ends.
    async fn asked(answer: &[u8], piece: usize) -> io::Result<BriefAnswer> {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
        let say = async move {
            for piece in answer.chunks(piece) {
                theirs.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(ask(&mut ours, b"GET / HTTP/1.1\r\n\r\n"), say).0
    }

    #[tokio::test]
    async fn an_answer_is_read_when_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for end in 1..=whole.len() {
            let expected = BriefAnswer { status: 200, body: "hello".into(), keep: true };
            assert_eq!(asked(whole, end).await.unwrap(), expected, "{end}");
            let part = asked(&whole[..end - 1], 100).await;
            assert_eq!(part.unwrap_err().kind(), ErrorKind::UnexpectedEof, "{end}");
        }
        let last = b"HTTP/1.1 403 Forbidden\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(asked(last, 100).await.unwrap(), BriefAnswer { status: 403, body: Bytes::new(), keep: false });
    }

    #[tokio::test]
    async fn what_does_not_speak_as_a_node_does_is_odd() {
        let without_end = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(1 << 16));
        for answer in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n",
            without_end.as_bytes(),
        ] {
            let error = asked(answer, 1 << 16).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{}", String::from_utf8_lossy(answer));
        }
    }
}
