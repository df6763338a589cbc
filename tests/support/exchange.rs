//! One request at the origin, and everything that an answer can do.

use super::framing::{Framing, Trailers};
use super::head::Head;
use super::noise::{Digester, Noise};
use super::wire::Wire;
use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A request, and the connection to answer it on. A handler that returns an error closes the connection: usually the
/// proxy went away, which is no failure of the test by itself.
pub struct Exchange {
    pub head: Head,
    reader: BufReader<Wire>,
    body_read: bool,
    closing: bool,
    cut: bool,
}

impl Exchange {
    /// The next request of a connection; `None` when it ended.
    pub fn next(mut reader: BufReader<Wire>) -> io::Result<Option<Exchange>> {
        let head = Head::read(&mut reader)?;
        Ok(head.map(|head| Exchange { head, reader, body_read: false, closing: false, cut: false }))
    }

    /// The connection for its next request; `None` when it is to be closed.
    pub fn finish(mut self) -> io::Result<Option<BufReader<Wire>>> {
        let unsent = self.head.has("expect") && !self.body_read;
        if self.closing || unsent || self.head.lists("connection", "close") {
            if !self.cut {
                self.reader.get_mut().say_goodbye()?;
            }
            return Ok(None);
        }
        self.body(|_| {})?;
        Ok(Some(self.reader))
    }

    pub fn method(&self) -> &str {
        self.head.word(0)
    }

    pub fn target(&self) -> &str {
        self.head.word(1)
    }

    /// Reads the request body piece by piece.
    pub fn body(&mut self, sink: impl FnMut(&[u8])) -> io::Result<Trailers> {
        if std::mem::replace(&mut self.body_read, true) {
            return Ok(Trailers::new());
        }
        Framing::of_request(&self.head).read(&mut self.reader, sink)
    }

    pub fn whole_body(&mut self) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        self.body(|piece| whole.extend_from_slice(piece))?;
        Ok(whole)
    }

    /// Takes an upload and answers with `LENGTH SHA256`.
    pub fn digest(&mut self) -> io::Result<()> {
        let mut digest = Digester::default();
        self.body(|piece| digest.take(piece))?;
        let answer = format!("{} {}", digest.length, digest.hex());
        self.reply(200, "Content-Type: text/plain\r\n", answer)
    }

    /// The next bytes behind the head, whatever they are.
    pub fn read_exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        self.body_read = true;
        let mut bytes = vec![0; n];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())
    }

    /// A whole answer of known size. `fields` are lines that end with CRLF.
    pub fn reply(&mut self, status: u16, fields: &str, body: impl AsRef<[u8]>) -> io::Result<()> {
        let body = body.as_ref();
        let mut message = format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        if self.method() != "HEAD" {
            message.extend_from_slice(body);
        }
        self.raw(message)
    }

    /// An answer without a body and without a length: 204, 304 and the like.
    pub fn reply_empty(&mut self, status: u16, fields: &str) -> io::Result<()> {
        self.raw(format!("HTTP/1.1 {status} X\r\n{fields}\r\n"))
    }

    /// The head of an answer of `length` bytes, which the handler sends itself.
    pub fn begin_sized(&mut self, fields: &str, length: u64) -> io::Result<()> {
        self.raw(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n"))
    }

    /// The head of a chunked answer.
    pub fn begin_chunked(&mut self, fields: &str) -> io::Result<()> {
        self.raw(format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n"))
    }

    pub fn chunk(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.raw(chunk)
    }

    /// The last chunk, with trailers (lines that end with CRLF).
    pub fn end_chunked(&mut self, trailers: &str) -> io::Result<()> {
        self.raw(format!("0\r\n{trailers}\r\n"))
    }

    /// Sends `body` in equal pieces spread over `time`; the last piece goes out at its end.
    pub fn drip(&mut self, body: &[u8], pieces: u32, time: Duration) -> io::Result<()> {
        let begin = Instant::now();
        let size = body.len().div_ceil(pieces as usize).max(1);
        for (i, piece) in body.chunks(size).enumerate() {
            let due = begin + time * i as u32 / (pieces - 1).max(1);
            sleep(due.saturating_duration_since(Instant::now()));
            self.raw(piece)?;
        }
        Ok(())
    }

    /// Sends a pseudo-random body (the head must say its length).
    pub fn noise(&mut self, seed: u64, length: u64) -> io::Result<()> {
        let mut noise = Noise::new(seed, length);
        while let Some(block) = noise.next_block() {
            self.reader.get_mut().write_all(block)?;
        }
        Ok(())
    }

    /// Ends the connection after this answer.
    pub fn hang_up(&mut self) {
        self.closing = true;
    }

    /// Ends the connection after this answer, in TLS without a word of that, as who cuts it would.
    pub fn cut(&mut self) {
        (self.closing, self.cut) = (true, true);
    }

    /// Ends the connection by a reset, as a dying origin does.
    pub fn reset(&mut self) -> io::Result<()> {
        self.cut();
        socket2::SockRef::from(self.reader.get_ref().socket()).set_linger(Some(Duration::ZERO))
    }

    /// Waits until the proxy has closed the connection.
    pub fn until_closed(&mut self) -> io::Result<()> {
        self.closing = true;
        io::copy(&mut self.reader, &mut io::sink()).map(drop)
    }

    /// Sends everything back until the other end is done: what an upgraded protocol does here.
    pub fn echo(&mut self) -> io::Result<()> {
        self.closing = true;
        self.body_read = true;
        let mut buffer = [0; 4096];
        loop {
            match self.reader.read(&mut buffer)? {
                0 => return self.reader.get_ref().socket().shutdown(Shutdown::Write),
                n => self.reader.get_mut().write_all(&buffer[..n])?,
            }
        }
    }
}
