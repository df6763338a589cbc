//! One brief request and its answer on a bare stream: probes and proofs.
//!
//! The task that waits is the one that reads, so an answer that has arrived is seen before any time limit, however late
//! this thread gets to run. Nothing is read ahead: the stream can be used for something else afterwards.

use std::io::{self, Error, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MAX_ANSWER: usize = 8 * 1024;

/// An answer, the whole of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// The connection may be used again.
    pub keep: bool,
}

/// Sends `request` as it is and reads the answer. What does not speak as a node does is `InvalidData`.
pub async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request).await?;
    let mut answer = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(done) = parse(&answer).map_err(|what| odd(&what))? {
            return Ok(done);
        }
        if answer.len() > MAX_ANSWER {
            return Err(odd("its answer is too long"));
        }
    }
}

/// What a node never says.
pub fn odd(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("what listens there is not a ringhold node: {what}"))
}

/// `None`: more is to come.
fn parse(answer: &[u8]) -> Result<Option<Answer>, String> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let start = match head.parse(answer).map_err(|e| e.to_string())? {
        httparse::Status::Complete(start) => start,
        httparse::Status::Partial => return Ok(None),
    };
    let field = |name: &str| {
        let found = head.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
        found.and_then(|h| std::str::from_utf8(h.value).ok()).map(str::trim)
    };
    let status = head.code.unwrap_or(0);
    let length: usize =
        field("content-length").and_then(|l| l.parse().ok()).ok_or(format!("status {status} without a length"))?;
    let keep = !field("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
    let there = answer.len() - start;
    if length > MAX_ANSWER || there > length {
        return Err(format!("status {status} with too much behind it"));
    }
    Ok((there == length).then(|| Answer { status, body: answer[start..].to_vec(), keep }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), Ok(None), "{end}");
        }
        assert_eq!(parse(whole), Ok(Some(Answer { status: 200, body: b"hello".to_vec(), keep: true })));
        let last = b"HTTP/1.1 403 Forbidden\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(parse(last), Ok(Some(Answer { status: 403, body: Vec::new(), keep: false })));
    }

    #[test]
    fn what_does_not_speak_as_a_node_does_is_odd() {
        for odd in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(parse(odd).is_err(), "{}", String::from_utf8_lossy(odd));
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_given_up() {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
        theirs.write_all(format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(1 << 16)).as_bytes()).await.unwrap();
        assert_eq!(ask(&mut ours, b"GET / HTTP/1.1\r\n\r\n").await.unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
