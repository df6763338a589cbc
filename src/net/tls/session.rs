//! One TLS connection over one socket.

use super::held::HeldSession;
use crate::wire::client_hello::HTTP2;
use crate::wire::proof::Binding;
use bytes::Bytes;
use rustix::net::RecvFlags;
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
    _held: HeldSession,
}

impl TlsSession {
    /// `tls` has said nothing yet. `ahead`: what was read from the socket already.
    pub(super) fn new(socket: TcpStream, tls: impl Into<Connection>, ahead: Bytes) -> TlsSession {
        TlsSession { socket, tls: tls.into(), ahead, taken: 0, _held: HeldSession::new() }
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether it goes on with an earlier one: nobody had to show a certificate.
    pub fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub fn is_http2(&self) -> bool {
        self.tls.alpn_protocol() == Some(HTTP2)
    }

    /// What its two ends know and nobody between them has on both sides ("tls-exporter", RFC 9266). Hands are shaken.
    pub fn binding(&self) -> io::Result<Binding> {
        let exported = self.tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]));
        exported.map_err(io::Error::other)
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
        self.waiting()?;
        if !self.ahead.is_empty() {
            return Poll::Ready(self.process_ahead().map(|()| true));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            let used = self.process(read.filled())?;
            self.ahead = Bytes::copy_from_slice(&read.filled()[used..]);
            Poll::Ready(Ok(!read.filled().is_empty()))
        })
    }

    fn process_ahead(&mut self) -> io::Result<()> {
        let ahead = std::mem::take(&mut self.ahead);
        let used = self.process(&ahead)?;
        self.ahead = ahead.slice(used..);
        Ok(())
    }

    /// Up to the first plaintext; how much of `input` that took. An empty input is the end of the socket.
    fn process(&mut self, input: &[u8]) -> io::Result<usize> {
        let mut left = input;
        loop {
            let taken = self.tls.read_tls(&mut left)?;
            match self.waiting() {
                // Behind its last word nothing is read.
                Ok(0) if taken == 0 => left = &[],
                Ok(0) => {}
                Ok(_) => break,
                Err(broken) => {
                    // The peer is told why.
                    self.send_now();
                    // What came before it is read first.
                    return if self.has_plaintext() { Ok(input.len()) } else { Err(broken) };
                }
            }
            if left.is_empty() {
                break;
            }
        }
        // A key update is answered.
        self.send_now();
        Ok(input.len() - left.len())
    }

    /// So much plaintext is in what was taken; or by what the connection has failed, then and ever after.
    fn waiting(&mut self) -> io::Result<usize> {
        let processed = self.tls.process_new_packets();
        processed.map(|state| state.plaintext_bytes_to_read()).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))
    }

    fn has_plaintext(&mut self) -> bool {
        self.tls.reader().fill_buf().is_ok_and(|plain| !plain.is_empty())
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

    /// Why a peer takes no more: perhaps it has said so. What it said before that stays to be read; where that is the
    /// application's, whoever reads it finds the reason behind it.
    fn reason(&mut self) -> Option<io::Error> {
        while !self.has_plaintext() {
            if let Err(broken) = self.waiting() {
                return Some(broken);
            }
            if self.ahead.is_empty() {
                self.ahead = self.read_now()?;
            }
            // What it fails by is found above.
            self.process_ahead().ok();
        }
        None
    }

    /// What the socket has at once. Asked of the system: tokio may not know yet that there is something.
    fn read_now(&self) -> Option<Bytes> {
        BUFFER.with_borrow_mut(|buffer| {
            let (read, _) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT).ok()?;
            (read > 0).then(|| Bytes::copy_from_slice(&buffer[..read]))
        })
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

#[cfg(test)]
mod tests {
    use super::super::anyone::Anyone;
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::StreamOwned;
    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
    use std::io::Read;
    use std::sync::Arc;
    use std::thread;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    type Peer = StreamOwned<ClientConnection, std::net::TcpStream>;

    /// A session with a client, which does this once hands are shaken.
    async fn with_client(then: impl FnOnce(Peer) + Send + 'static) -> (TlsSession, thread::JoinHandle<()>) {
        let provider = rustls::crypto::ring::default_provider;
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(provider())).with_safe_default_protocol_versions();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = builder.unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.send_tls13_tickets = 0;
        let builder = ClientConfig::builder_with_provider(Arc::new(provider())).with_safe_default_protocol_versions();
        let anyone = Arc::new(Anyone(provider().signature_verification_algorithms));
        let builder = builder.unwrap().dangerous();
        let believes = builder.with_custom_certificate_verifier(anyone).with_no_client_auth();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (go, may_go) = std::sync::mpsc::channel();
        let client = thread::spawn(move || {
            let mut socket = std::net::TcpStream::connect(address).unwrap();
            let name = ServerName::try_from("a.example").unwrap();
            let mut tls = ClientConnection::new(Arc::new(believes), name).unwrap();
            while tls.is_handshaking() || tls.wants_write() {
                tls.complete_io(&mut socket).unwrap();
            }
            // What came with the end of the handshake is the handshake's.
            may_go.recv().unwrap();
            then(StreamOwned::new(tls, socket));
        });
        let (socket, _) = listener.accept().await.unwrap();
        let tls = ServerConnection::new(Arc::new(config)).unwrap();
        let mut session = TlsSession::new(socket, tls, Bytes::new());
        session.shake_hands().await.unwrap();
        go.send(()).unwrap();
        (session, client)
    }

    /// Writes until that fails, which it does as soon as the peer's socket is seen to be gone.
    async fn write_until_refused(session: &mut TlsSession) -> io::Error {
        loop {
            if let Err(e) = session.write_all(&[7; 16 * 1024]).await {
                return e;
            }
        }
    }

    /// Has the peer say that what it was sent is no TLS.
    fn alert(peer: &mut Peer) {
        let mut nonsense: &[u8] =
            &[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];
        peer.conn.read_tls(&mut nonsense).unwrap();
        peer.conn.process_new_packets().unwrap_err();
        peer.conn.write_tls(&mut peer.sock).unwrap();
    }

    fn is_alert(error: &io::Error) -> bool {
        let error = error.get_ref().and_then(|error| error.downcast_ref());
        matches!(error, Some(rustls::Error::AlertReceived(_)))
    }

    /// Leaves with something unread, so that the other end is told at once that nobody is there.
    fn leave(peer: &mut Peer) {
        peer.sock.read_exact(&mut [0; 1]).unwrap();
    }

    #[tokio::test]
    async fn what_a_peer_has_said_before_it_left_is_read_whole_although_a_write_failed() {
        let said: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let says = said.clone();
        let (mut session, client) = with_client(move |mut peer| {
            peer.write_all(&says).unwrap();
            alert(&mut peer);
            leave(&mut peer);
        })
        .await;
        let mut read = vec![0; 1];
        session.read_exact(&mut read).await.unwrap();
        let broken = write_until_refused(&mut session).await;
        assert!(matches!(broken.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{broken}");
        let end = session.read_to_end(&mut read).await.unwrap_err();
        assert!(read == said, "{} bytes of {}, and then {end}", read.len(), said.len());
        assert!(is_alert(&end), "{end}");
        client.join().unwrap();
    }

    #[tokio::test]
    async fn a_write_fails_with_the_reason_that_the_peer_has_given() {
        let (mut session, client) = with_client(|mut peer| {
            alert(&mut peer);
            leave(&mut peer);
        })
        .await;
        let broken = write_until_refused(&mut session).await;
        assert!(is_alert(&broken), "{broken}");
        let again = session.write_all(b"more").await.unwrap_err();
        assert!(is_alert(&again), "{again}");
        client.join().unwrap();
    }
}
