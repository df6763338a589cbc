//! A probe: `GET /healthz` over a connection of its own that is kept.
//!
//! Written on the bare stream: the task that waits is the one that reads, so an answer that has arrived is seen before
//! any time limit, however late this thread gets to run.

use super::link::{self, Io, Trouble};
use crate::config::Address;
use serde::Deserialize;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: ringhold\r\n\r\n";
const MAX_ANSWER: usize = 8 * 1024;

#[derive(Deserialize)]
struct Health {
    boot: u64,
}

/// The connection for the probes of one node.
#[derive(Default)]
pub struct Line(Option<Box<dyn Io>>);

impl Line {
    /// Asks for the boot id. Waits as long as it takes; an abandoned question must be followed by [`Line::close`].
    pub async fn ask(&mut self, address: &Address) -> Result<u64, Trouble> {
        if let Some(mut kept) = self.0.take() {
            // A node may have closed a kept connection, or be gone: a new one will tell.
            if let Ok((boot, keep)) = exchange(&mut kept).await {
                self.0 = keep.then_some(kept);
                return Ok(boot);
            }
        }
        let mut stream = link::connect(address).await?;
        let (boot, keep) = exchange(&mut stream).await?;
        self.0 = keep.then_some(stream);
        Ok(boot)
    }
}

async fn exchange(stream: &mut Box<dyn Io>) -> Result<(u64, bool), Trouble> {
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::with_capacity(512);
    loop {
        if let Some(done) = parse(&answer)? {
            return Ok(done);
        }
        if answer.len() > MAX_ANSWER {
            return Err(Trouble::Odd("its answer to a probe is too long".into()));
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// The boot id and whether the connection may be kept; `None`: more is to come.
fn parse(answer: &[u8]) -> Result<Option<(u64, bool)>, Trouble> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let odd = |what: String| Trouble::Odd(format!("what listens there is not a ringhold node: {what}"));
    let start = match head.parse(answer).map_err(|e| odd(e.to_string()))? {
        httparse::Status::Complete(start) => start,
        httparse::Status::Partial => return Ok(None),
    };
    match head.code {
        Some(200) => {}
        Some(403) => return Err(Trouble::Odd("it does not trust this front (status 403)".into())),
        code => return Err(odd(format!("status {}", code.unwrap_or(0)))),
    }
    let field = |name: &str| {
        let found = head.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
        found.and_then(|h| std::str::from_utf8(h.value).ok()).map(str::trim)
    };
    let length: usize = field("content-length").and_then(|l| l.parse().ok()).ok_or_else(|| odd("no length".into()))?;
    let keep = !field("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
    let Some(body) = answer[start..].get(..length) else {
        return if length > MAX_ANSWER { Err(odd("a long answer".into())) } else { Ok(None) };
    };
    let health: Health = serde_json::from_slice(body).map_err(|e| odd(e.to_string()))?;
    Ok(Some((health.boot, keep)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"id\":\"n1\",\"boot\":123}";
        for end in 0..whole.len() {
            assert!(matches!(parse(&whole[..end]), Ok(None)), "{end}");
        }
        assert_eq!(parse(whole).unwrap(), Some((123, true)));
    }

    #[test]
    fn anything_but_a_node_is_odd() {
        for odd in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        ] {
            assert!(matches!(parse(odd), Err(Trouble::Odd(_))), "{}", String::from_utf8_lossy(odd));
        }
    }
}
