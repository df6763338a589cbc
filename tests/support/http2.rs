//! A client of HTTP/2 on a connection with TLS: its requests and answers, and, where a test wants them, its frames.

use super::client::{Connection, Response, status_of};
use super::framing::{Framing, Trailers};
use super::head::Head;
use super::wire::Wire;
use super::{PATIENCE, until};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use rustls::ClientConnection;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::thread;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// See the module. Its connection is driven on a thread of its own, so that it answers pings and takes what comes whether or
/// not the test asks.
pub struct Http2 {
    runtime: Handle,
    send: SendRequest<Bytes>,
    ended: Arc<Mutex<Option<String>>>,
    _stop: oneshot::Sender<()>,
}

/// A request that was sent, and its answer as far as it was read.
pub struct Http2Stream {
    runtime: Handle,
    upload: SendStream<Bytes>,
    answer: h2::client::ResponseFuture,
}

/// An answer whose content is read piece by piece.
pub struct Http2Answer {
    runtime: Handle,
    pub head: Head,
    pub status: u16,
    pub interim: Vec<u16>,
    content: RecvStream,
}

impl Http2 {
    /// On a connection on which TLS has agreed on it.
    pub fn over(connection: Connection) -> Http2 {
        Http2::with(connection, |_| {})
    }

    /// The same with settings and windows of its own.
    pub fn with(connection: Connection, change: impl FnOnce(&mut Builder)) -> Http2 {
        let (tls, socket) = connection.into_tls();
        assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]), "they have agreed on HTTP/2");
        socket.set_nonblocking(true).unwrap();
        let mut builder = Builder::new();
        builder.initial_connection_window_size(16 << 20);
        change(&mut builder);
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = Arc::new(Mutex::new(None));
        let how = ended.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let socket = tokio::net::TcpStream::from_std(socket).unwrap();
                let (send, conn) =
                    builder.handshake::<_, Bytes>(AsyncTls { tls, socket, ahead: Vec::new() }).await.unwrap();
                tell.send((Handle::current(), send)).unwrap();
                tokio::select! {
                    end = conn => {
                        let end = end.map_or_else(|e| e.to_string(), |()| "in order".to_owned());
                        *how.lock().unwrap() = Some(end);
                    }
                    _ = stopped => {}
                }
            });
        });
        let (runtime, send) = told.recv_timeout(PATIENCE).expect("a connection of HTTP/2");
        Http2 { runtime, send, ended, _stop: stop }
    }

    /// Sends the head of a request; `ends`: it has no content.
    pub fn begin(
        &self,
        method: &str,
        url: &str,
        fields: &[(&str, &str)],
        ends: bool,
    ) -> Result<Http2Stream, h2::Error> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let send = self.send.clone();
        let (answer, upload) = wait(&self.runtime, async move {
            let mut send = send.ready().await?;
            send.send_request(request.body(()).unwrap(), ends)
        })?;
        Ok(Http2Stream { runtime: self.runtime.clone(), upload, answer })
    }

    /// Asks, and reads the whole answer.
    pub fn ask(&self, method: &str, url: &str, fields: &[(&str, &str)], body: &[u8]) -> Result<Response, h2::Error> {
        let mut stream = self.begin(method, url, fields, body.is_empty())?;
        if !body.is_empty() {
            stream.send(body, true)?;
        }
        stream.answer()?.whole()
    }

    pub fn get(&self, url: &str) -> Response {
        self.ask("GET", url, &[], b"").unwrap_or_else(|e| panic!("{url}: {e}; the connection: {:?}", self.end()))
    }

    /// How the connection has ended, if it has.
    pub fn end(&self) -> Option<String> {
        self.ended.lock().unwrap().clone()
    }

    pub fn until_ended(&self) -> String {
        until("the connection ends", PATIENCE, || self.end())
    }
}

impl Http2Stream {
    /// Sends some of the content, as far as the server's windows go.
    pub fn send(&mut self, data: &[u8], ends: bool) -> Result<(), h2::Error> {
        let (mut left, upload) = (Bytes::copy_from_slice(data), &mut self.upload);
        wait(&self.runtime, async {
            while !left.is_empty() {
                upload.reserve_capacity(left.len());
                while upload.capacity() == 0 {
                    match poll_fn(|cx| upload.poll_capacity(cx)).await {
                        Some(room) => _ = room?,
                        None => return Err(poll_fn(|cx| upload.poll_reset(cx)).await?.into()),
                    }
                }
                let part = left.split_to(upload.capacity().min(left.len()));
                upload.send_data(part, ends && left.is_empty())?;
            }
            if ends && data.is_empty() { upload.send_data(Bytes::new(), true) } else { Ok(()) }
        })
    }

    pub fn send_trailers(&mut self, fields: &[(&str, &str)]) {
        let mut trailers = HeaderMap::new();
        for (name, value) in fields {
            trailers.append(http::HeaderName::try_from(*name).unwrap(), http::HeaderValue::try_from(*value).unwrap());
        }
        self.upload.send_trailers(trailers).unwrap();
    }

    /// The client wants no more of it.
    pub fn reset(mut self) {
        self.upload.send_reset(Reason::CANCEL);
    }

    /// The next interim answer; `None`: the next is the answer itself.
    pub fn interim(&mut self) -> Result<Option<Head>, h2::Error> {
        let answer = &mut self.answer;
        let early = wait(&self.runtime, poll_fn(|cx| answer.poll_informational(cx))).transpose()?;
        Ok(early.map(|early| head_of(early.status(), early.headers())))
    }

    /// Waits for the head of the answer.
    pub fn answer(mut self) -> Result<Http2Answer, h2::Error> {
        let mut interim = Vec::new();
        while let Some(early) = self.interim()? {
            interim.push(status_of(&early));
        }
        let (parts, content) = wait(&self.runtime, self.answer)?.into_parts();
        let head = head_of(parts.status, &parts.headers);
        Ok(Http2Answer { runtime: self.runtime, head, status: parts.status.as_u16(), interim, content })
    }
}

fn head_of(status: StatusCode, fields: &HeaderMap) -> Head {
    Head { line: format!("HTTP/2 {}", status.as_u16()), fields: lines(fields) }
}

fn lines(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

impl Http2Answer {
    /// The next piece; `None` at the end. More may come for it.
    pub fn piece(&mut self) -> Result<Option<Bytes>, h2::Error> {
        let content = &mut self.content;
        wait(&self.runtime, async {
            let piece = content.data().await.transpose()?;
            if let Some(piece) = &piece {
                content.flow_control().release_capacity(piece.len())?;
            }
            Ok(piece)
        })
    }

    /// Those behind the last piece.
    pub fn trailers(&mut self) -> Result<Trailers, h2::Error> {
        let content = &mut self.content;
        Ok(wait(&self.runtime, content.trailers())?.as_ref().map(lines).unwrap_or_default())
    }

    pub fn whole(mut self) -> Result<Response, h2::Error> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece()? {
            body.extend_from_slice(&piece);
        }
        let trailers = self.trailers()?;
        let Http2Answer { head, status, interim, .. } = self;
        Ok(Response { status, head, body, trailers, framing: Framing::ToTheEnd, interim })
    }
}

fn wait<T>(runtime: &Handle, what: impl Future<Output = T>) -> T {
    let limited = async { tokio::time::timeout(2 * PATIENCE, what).await.expect("it comes in time") };
    runtime.block_on(limited)
}

/// TLS for a runtime.
struct AsyncTls {
    tls: ClientConnection,
    socket: tokio::net::TcpStream,
    /// Read, and not taken by `tls` yet.
    ahead: Vec<u8>,
}

impl AsyncTls {
    /// Up to the first plaintext.
    fn process(&mut self, ends: bool) -> io::Result<()> {
        let mut left = &self.ahead[..];
        while !left.is_empty() || ends {
            self.tls.read_tls(&mut left)?;
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            if ends || state.plaintext_bytes_to_read() > 0 {
                break;
            }
        }
        self.ahead = left.to_vec();
        Ok(())
    }

    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            ready!(self.socket.poll_write_ready(cx))?;
            match self.tls.write_tls(&mut Now(&self.socket)) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

struct Now<'a>(&'a tokio::net::TcpStream);

impl Write for Now<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for AsyncTls {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let mut plain = vec![0; buf.remaining().min(64 * 1024)];
            match this.tls.reader().read(&mut plain) {
                Ok(read) => {
                    buf.put_slice(&plain[..read]);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
            if !this.ahead.is_empty() {
                this.process(false)?;
                if this.tls.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0) {
                    continue;
                }
            }
            let mut bytes = [0; 16 * 1024];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut read))?;
            this.ahead.extend_from_slice(read.filled());
            this.process(read.filled().is_empty())?;
        }
    }
}

impl AsyncWrite for AsyncTls {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_records(cx))?;
        let written = this.tls.writer().write(buf)?;
        let _ = this.poll_records(cx)?;
        Poll::Ready(Ok(written))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_records(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.tls.send_close_notify();
        this.poll_records(cx)
    }
}

/// The same by its frames, as they are (RFC 9113 section 4).
pub struct Frames {
    pub connection: Connection,
    /// Nothing came for as long as its reads wait.
    pub is_silent: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub content: Vec<u8>,
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 0x20;

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, content].concat()
}

/// Fields as literals that nobody indexes (RFC 7541 section 6.2.2).
pub fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let text = |text: &str, out: &mut Vec<u8>| {
        if text.len() < 127 {
            out.push(text.len() as u8);
        } else {
            out.push(127);
            let mut left = text.len() - 127;
            while left >= 128 {
                out.push((left % 128) as u8 | 128);
                left /= 128;
            }
            out.push(left as u8);
        }
        out.extend_from_slice(text.as_bytes());
    };
    for (name, value) in fields {
        out.push(0);
        text(name, &mut out);
        text(value, &mut out);
    }
    out
}

impl Frames {
    /// With the client's preface and no settings.
    pub fn over(connection: Connection) -> Frames {
        let mut frames = Frames::silent(connection);
        frames.send(PREFACE);
        frames.send(frame(SETTINGS, 0, 0, &[]));
        frames
    }

    /// Without a word.
    pub fn silent(connection: Connection) -> Frames {
        Frames { connection, is_silent: false }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // Who is refused may hear of it by a broken pipe.
        _ = self.connection.send(bytes);
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.connection.send(bytes)
    }

    /// The next; `None`: the connection has ended.
    pub fn next(&mut self) -> Option<RawFrame> {
        let head = self.read(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let content = self.read(length)?;
        Some(RawFrame { kind: head[3], flags: head[4], stream, content })
    }

    fn read(&mut self, n: usize) -> Option<Vec<u8>> {
        let read = self.connection.read_exact(n);
        let is_silence = |e: &io::Error| matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        self.is_silent = read.as_ref().is_err_and(is_silence);
        read.ok()
    }

    /// The next that is one of these; what comes before is dropped.
    pub fn until(&mut self, is_it: impl Fn(&RawFrame) -> bool) -> Option<RawFrame> {
        loop {
            let frame = self.next()?;
            if is_it(&frame) {
                return Some(frame);
            }
        }
    }
}

impl RawFrame {
    /// Of RST_STREAM, or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.content[at..at + 4].try_into().unwrap())
    }
}
