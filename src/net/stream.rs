//! A connection: TCP, Unix, or TLS on TCP.

use super::lasting::Lasting;
use super::pipe::{self, PassError, PassedOn};
use super::tls::TlsSession;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection of any kind. Implements tokio's AsyncRead and AsyncWrite (with real vectored writes).
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Boxed, so that the others are no larger for it.
    Tls(Box<TlsSession>),
}

/// A connection that belongs to no runtime, to be handed to another thread.
#[derive(Debug)]
pub enum Detached {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Stream {
    /// Takes it out of this thread's runtime.
    pub fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Stream::Tcp(s) => Detached::Tcp(s.into_std()?),
            Stream::Unix(s) => Detached::Unix(s.into_std()?),
            // What it has agreed on stays with the thread that it was agreed on.
            Stream::Tls(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
    /// The address at the other end; `None` on a Unix socket.
    pub fn peer(&self) -> Option<IpAddr> {
        self.tcp()?.peer_addr().ok().map(|peer| peer.ip())
    }
    /// Makes the end of this connection a reset, so that a peer that takes nothing holds no memory of the kernel's.
    pub fn reset_on_drop(&self) {
        if let Some(s) = self.tcp() {
            let _ = socket2::SockRef::from(s).set_linger(Some(Duration::ZERO));
        }
    }
    /// The socket under it, where that is TCP.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(s) => Some(s),
            Stream::Unix(_) => None,
            Stream::Tls(s) => Some(s.socket()),
        }
    }
    /// Says that this is the end where the protocol has a word for it (TLS, RFC 8446 section 6.1), as far as there is room.
    pub fn say_goodbye(&mut self) {
        if let Stream::Tls(s) = self {
            s.say_goodbye();
        }
    }
    /// Lets so many bytes wait in a Unix socket for the other end to read them, as far as the system lets it.
    pub fn hold_more(&self, bytes: usize) {
        if let Stream::Unix(s) = self {
            let _ = socket2::SockRef::from(s).set_send_buffer_size(bytes);
        }
    }
    /// Whether both ends have agreed on HTTP/2 (RFC 9113 section 3.2).
    pub fn is_http2(&self) -> bool {
        matches!(self, Stream::Tls(s) if s.is_http2())
    }
    /// What is said on it is heard by nobody else. Who is at the other end is another question.
    pub fn is_private(&self) -> bool {
        !matches!(self, Stream::Tcp(_))
    }
    /// Whether bytes can go into its socket as they are, or out of it: what [`Stream::poll_write_more`], [`Stream::poll_send`]
    /// and [`Stream::poll_pass`] need.
    pub fn is_plain(&self) -> bool {
        !matches!(self, Stream::Tls(_))
    }
    /// Writes as `poll_write` does, and lets the kernel wait for what is written next before it sends a packet that is
    /// not full.
    pub fn poll_write_more(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let flags = SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        self.poll_writing(cx, || Ok(rustix::net::send(self, buf, flags)?))
    }
    /// Writes as `poll_write_vectored` does; where `more` follows, the kernel may wait for that before it sends a packet that is
    /// not full, or for [`Stream::push`].
    pub fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        more: bool,
    ) -> Poll<io::Result<usize>> {
        if !more || !matches!(self, Stream::Tcp(_)) {
            return Pin::new(self).poll_write_vectored(cx, bufs);
        }
        let flags = SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let nothing_else = || SendAncillaryBuffer::default();
        self.poll_writing(cx, || Ok(rustix::net::sendmsg(self.as_fd(), bufs, &mut nothing_else(), flags)?))
    }
    /// Has the kernel send at once what waits for more.
    pub fn push(&self) {
        if let Stream::Tcp(s) = self {
            // It is set already; to set it sends what waits (tcp(7)).
            let _ = s.set_nodelay(true);
        }
    }
    /// Hands over what it takes of `bytes`, without a copy.
    pub fn poll_send(&self, cx: &mut Context<'_>, bytes: &Lasting) -> Poll<io::Result<usize>> {
        self.poll_writing(cx, || bytes.send(self))
    }
    /// Whether its kernel spreads what it sends over time (BBR): then what is handed over at once waits for timers, which cost more than
    /// a copy.
    pub fn is_paced(&self) -> bool {
        let control = self.tcp().map(|s| socket2::SockRef::from(s).tcp_congestion());
        control.is_some_and(|control| control.is_ok_and(|name| name.starts_with(b"bbr")))
    }
    /// Whether there may be room for what is written to it; else who calls is woken when there is.
    pub fn has_room(&self, cx: &mut Context<'_>) -> bool {
        match self {
            Stream::Tcp(s) => s.poll_write_ready(cx).is_ready(),
            Stream::Unix(s) => s.poll_write_ready(cx).is_ready(),
            Stream::Tls(_) => false,
        }
    }
    /// Moves what has come on it to another, `most` bytes of it at most, without a copy; see [`pipe::pass`].
    pub fn poll_pass(
        &self,
        cx: &mut Context<'_>,
        to: &Stream,
        most: usize,
        more: bool,
    ) -> Poll<Result<PassedOn, PassError>> {
        let pass = || pipe::pass(self, to, most, more);
        loop {
            let passed = match self {
                Stream::Tcp(s) => match ready!(s.poll_read_ready(cx)) {
                    Ok(()) => s.try_io(Interest::READABLE, pass),
                    Err(e) => Err(e),
                },
                Stream::Unix(s) => match ready!(s.poll_read_ready(cx)) {
                    Ok(()) => s.try_io(Interest::READABLE, pass),
                    Err(e) => Err(e),
                },
                Stream::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            };
            match passed {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                passed => return Poll::Ready(passed.unwrap_or(Err(PassError::Unread))),
            }
        }
    }
    /// Calls `write`, which never waits, as soon as there is room.
    fn poll_writing<T>(&self, cx: &mut Context<'_>, write: impl Fn() -> io::Result<T>) -> Poll<io::Result<T>> {
        loop {
            let written = match self {
                Stream::Tcp(s) => {
                    ready!(s.poll_write_ready(cx))?;
                    s.try_io(Interest::WRITABLE, &write)
                }
                Stream::Unix(s) => {
                    ready!(s.poll_write_ready(cx))?;
                    s.try_io(Interest::WRITABLE, &write)
                }
                Stream::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            };
            match written {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(s) => s.as_fd(),
            Stream::Unix(s) => s.as_fd(),
            Stream::Tls(s) => s.socket().as_fd(),
        }
    }
}

/// Bytes that were written to a socket and that its peer has not taken yet.
pub(super) fn untaken(socket: BorrowedFd<'_>) -> usize {
    // SIOCOUTQ, which is TIOCOUTQ.
    const OUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: this request writes one int.
    let queued = unsafe { rustix::ioctl::ioctl(socket, rustix::ioctl::Getter::<OUTQ, i32>::new()) };
    queued.unwrap_or(0).max(0) as usize
}

/// What a peer has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    Not,
    /// It sends no more; whether it still reads is not known.
    Half,
    /// It has reset the connection.
    All,
}

/// By one system call, which changes nothing.
pub(super) fn closed(socket: BorrowedFd<'_>) -> Closed {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut looked = [PollFd::new(&socket, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut looked, Some(&at_once)) {
        Ok(1) if looked[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) => Closed::All,
        Ok(1) => Closed::Half,
        _ => Closed::Not,
    }
}

impl Detached {
    /// Puts it into the runtime of the thread that calls.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            Detached::Tcp(s) => Stream::Tcp(TcpStream::from_std(s)?),
            Detached::Unix(s) => Stream::Unix(UnixStream::from_std(s)?),
        })
    }
}

/// The same call on whichever it is. A socket has nothing to flush.
macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, s => Pin::new(s).poll_write(cx, buf))
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, s => Pin::new(s).poll_write_vectored(cx, bufs))
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, s => Pin::new(s).poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, s => Pin::new(s).poll_shutdown(cx))
    }
}
