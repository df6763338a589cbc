//! A connection to another node, of which the last bytes are kept: where a body breaks off they may say why (docs/link.md, How
//! a body tells that it breaks off), which hyper takes for a malformed chunk.

use crate::net::listen::Stream;
use crate::wire::fault::Blame;
use crate::wire::link;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::cell::RefCell;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// As much as is read at once.
const READ: usize = 16 * 1024;
/// Longer than any such line.
const KEPT: usize = 96;

/// What came last on a connection.
#[derive(Clone, Debug, Default)]
pub struct LastWords(Rc<RefCell<Vec<u8>>>);

impl LastWords {
    fn note(&self, bytes: &[u8]) {
        let mut kept = self.0.borrow_mut();
        kept.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT)..]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }

    /// Why the body broke off, where that was said.
    pub fn blame(&self) -> Option<Blame> {
        let kept = self.0.borrow();
        let line = kept.strip_suffix(b"\r\n")?;
        let at = line.iter().rposition(|byte| *byte == link::BROKEN)?;
        line[..at].ends_with(b"\r\n").then(|| Blame::read(&line[at + 1..]))?
    }
}

/// See the module.
pub struct Spoken {
    stream: Stream,
    words: LastWords,
}

impl Spoken {
    pub fn new(stream: Stream, words: LastWords) -> Spoken {
        Spoken { stream, words }
    }
}

impl Read for Spoken {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let mut piece = [0; READ];
        let room = buf.remaining().min(READ);
        let mut read = ReadBuf::new(&mut piece[..room]);
        ready!(AsyncRead::poll_read(Pin::new(&mut this.stream), cx, &mut read))?;
        this.words.note(read.filled());
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Spoken {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Write::poll_write(Pin::new(&mut self.get_mut().stream), cx, buf)
    }
    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        Write::poll_write_vectored(Pin::new(&mut self.get_mut().stream), cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        Write::is_write_vectored(&self.stream)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Write::poll_flush(Pin::new(&mut self.get_mut().stream), cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Write::poll_shutdown(Pin::new(&mut self.get_mut().stream), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fault::{Kind, Whose};

    #[test]
    fn why_a_body_broke_off_is_its_last_line_in_whatever_pieces_it_came() {
        let blame = Blame::new(Whose::Origin, Kind::HttpResponseIncomplete);
        let text = format!("5\r\nhello\r\n{}", link::broken(blame));
        for size in 1..text.len() {
            let words = LastWords::default();
            words.note(&[b'x'; 1000]);
            text.as_bytes().chunks(size).for_each(|piece| words.note(piece));
            assert_eq!(words.blame(), Some(blame), "{size}");
        }
        for other in ["", "\r\n", "!origin dns_error\r\n", "\r\n!origin dns_error", "\r\n!nobody x\r\n", "a!b\r\n"] {
            let words = LastWords::default();
            words.note(other.as_bytes());
            assert_eq!(words.blame(), None, "{other:?}");
        }
    }
}
