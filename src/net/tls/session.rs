//! One TLS connection over one socket.

use bytes::Bytes;
use rustls::{Connection, HandshakeKind};
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, BufRead, ErrorKind, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// As much is read from the socket at once: two records.
const READ: usize = 32 * 1024;

thread_local! {
    /// Where records are read first. Never borrowed across a poll.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// See the module. Dropped, it closes the socket without a word, so that what was sent looks cut off; in order it ends by
/// [`TlsSession::poll_shutdown`] or [`TlsSession::say_goodbye`].
pub struct TlsSession {
    socket: TcpStream,
    tls: Connection,
    /// Read from the socket and not taken by `tls` yet.
    ahead: Bytes,
    /// So many bytes of the write that is under way are in `tls`. They count as written once the socket has taken their
    /// records: whoever writes knows so how much its peer takes.
    taken: usize,
}

impl TlsSession {
    /// `tls` has said nothing yet. `ahead`: what was read from the socket already.
    pub(super) fn new(socket: TcpStream, tls: impl Into<Connection>, ahead: Bytes) -> TlsSession {
        TlsSession { socket, tls: tls.into(), ahead, taken: 0 }
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether it goes on with an earlier one: nobody had to show a certificate.
    pub fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Brings the handshake to its end. Takes as long as the peer does.
    pub(super) async fn shake_hands(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            loop {
                ready!(self.poll_records(cx))?;
                if !self.tls.is_handshaking() {
                    return Poll::Ready(Ok(()));
                }
                if !ready!(self.poll_more(cx))? {
                    return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
                }
            }
        })
        .await
    }

    /// Tells the peer that this is the end, as far as the socket takes that at once.
    pub fn say_goodbye(&mut self) {
        self.tls.send_close_notify();
        self.send_now();
    }

    /// Reads from the socket and has it processed; false: the socket has ended.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.ahead.is_empty() {
            let ahead = std::mem::take(&mut self.ahead);
            let used = self.process(&ahead)?;
            self.ahead = ahead.slice(used..);
            return Poll::Ready(Ok(true));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            let used = self.process(read.filled())?;
            self.ahead = Bytes::copy_from_slice(&read.filled()[used..]);
            Poll::Ready(Ok(!read.filled().is_empty()))
        })
    }

    /// Up to the first plaintext; how much of `input` that took. An empty input is the end of the socket.
    fn process(&mut self, input: &[u8]) -> io::Result<usize> {
        let mut left = input;
        loop {
            let taken = self.tls.read_tls(&mut left)?;
            let state = self.tls.process_new_packets().map_err(|error| {
                // The peer is told why.
                self.send_now();
                io::Error::new(ErrorKind::InvalidData, error)
            })?;
            // Behind its last word nothing is read.
            if taken == 0 {
                left = &[];
            }
            if left.is_empty() || state.plaintext_bytes_to_read() > 0 {
                break;
            }
        }
        // A key update is answered.
        self.send_now();
        Ok(input.len() - left.len())
    }

    /// Writes the records that wait, until the socket has them.
    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut TlsSocket(&self.socket)) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => ready!(self.socket.poll_write_ready(cx))?,
                Err(e) => return Poll::Ready(Err(self.reason().unwrap_or(e))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The same as far as that goes without waiting; what is left goes with the next write.
    fn send_now(&mut self) {
        while self.tls.wants_write() && self.tls.write_tls(&mut TlsSocket(&self.socket)).is_ok_and(|sent| sent > 0) {}
    }

    /// Why a peer takes no more: perhaps it has said so.
    fn reason(&mut self) -> Option<io::Error> {
        let mut last = [0; 1024];
        let read = self.socket.try_read(&mut last).ok()?;
        self.process(&last[..read]).err()
    }

    fn poll_write_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut rustls::Writer<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        // What has been pending is written again, with the same bytes (`AsyncWrite::poll_write`).
        if self.taken == 0 {
            ready!(self.poll_records(cx))?;
            self.taken = write(&mut self.tls.writer())?;
        }
        ready!(self.poll_records(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.taken)))
    }
}

impl AsyncRead for TlsSession {
    /// An end without the peer's word for it is an error (`UnexpectedEof`), after all that came before it.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let mut reader = this.tls.reader();
            match reader.fill_buf() {
                Ok(plain) => {
                    let length = plain.len().min(buf.remaining());
                    buf.put_slice(&plain[..length]);
                    reader.consume(length);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => _ = ready!(this.poll_more(cx))?,
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for TlsSession {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_by(cx, |writer| writer.write(buf))
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_by(cx, |writer| writer.write_vectored(bufs))
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_records(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.tls.send_close_notify();
        ready!(this.poll_records(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// A socket that never waits.
struct TlsSocket<'a>(&'a TcpStream);

impl Write for TlsSocket<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bufs)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
