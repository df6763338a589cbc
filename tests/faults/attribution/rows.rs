//! The ways in which an origin fails, as data, and what is right for each (docs/link.md, Whose fault it was).
//!
//! Cells that cannot exist: what happens in a body, for HEAD, whose answers have none; an upgrade that was not asked for
//! within a body, which is content there.

use crate::support::Exchange;
use std::io::Result;

pub struct Row {
    pub name: &'static str,
    pub act: fn(&mut Exchange) -> Result<()>,
    pub expect: Expect,
    /// Before the end of the head, so that a HEAD meets it as well.
    pub in_head: bool,
    /// So little was to come that the head waits for it.
    pub small: bool,
}

#[derive(Clone, Copy)]
pub enum Expect {
    /// An error of the node's: a status, and one of these errors.
    Error(u16, &'static [&'static str]),
    /// This and then a broken transfer; where nothing came of the body, 502 will do.
    Broken(fn() -> Vec<u8>, &'static [&'static str]),
}

impl Row {
    /// Its row in docs/link.md.
    pub fn when(&self) -> &'static str {
        match self.expect {
            Expect::Broken(_, ["connection_read_timeout"]) => "is silent within the body",
            Expect::Broken(_, ["http_response_transfer_coding"]) => "its chunks are nonsense",
            Expect::Broken(came, _) if came().is_empty() => "breaks off between head and body",
            Expect::Broken(..) => "breaks off within the body",
            Expect::Error(_, errors) => match errors[0] {
                "connection_terminated" => "closes before its head",
                "http_response_timeout" => "is silent before its head",
                "http_response_incomplete" => "breaks off within its head",
                "http_response_header_section_size" => "its head is beyond the limits",
                "http_upgrade_failed" => "switches protocols unasked",
                _ => "its head is nonsense",
            },
        }
    }

    pub fn exists(&self, method: &str) -> bool {
        method != "HEAD" || self.in_head
    }
}

const INCOMPLETE: &[&str] = &["http_response_incomplete"];
const NONSENSE: &[&str] = &["http_protocol_error"];

const fn in_head(
    name: &'static str,
    status: u16,
    errors: &'static [&'static str],
    act: fn(&mut Exchange) -> Result<()>,
) -> Row {
    Row { name, act, expect: Expect::Error(status, errors), in_head: true, small: false }
}

const fn in_body(name: &'static str, came: fn() -> Vec<u8>, act: fn(&mut Exchange) -> Result<()>) -> Row {
    Row { name, act, expect: Expect::Broken(came, INCOMPLETE), in_head: false, small: false }
}

/// Its chunks are none.
const fn in_chunks(name: &'static str, came: fn() -> Vec<u8>, act: fn(&mut Exchange) -> Result<()>) -> Row {
    Row { expect: Expect::Broken(came, &["http_response_transfer_coding"]), ..in_body(name, came, act) }
}

fn nothing() -> Vec<u8> {
    Vec::new()
}

fn then_reset(x: &mut Exchange, bytes: &[u8]) -> Result<()> {
    x.raw(bytes)?;
    x.reset()
}

fn some() -> Vec<u8> {
    vec![b'x'; 500]
}

fn much() -> Vec<u8> {
    vec![b'x'; 50_000]
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";

fn sized(length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn unstored(length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn chunks(body: &[u8], rest: &str) -> Vec<u8> {
    [CHUNKED.as_bytes(), format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n", rest.as_bytes()].concat()
}

pub const ROWS: &[Row] = &[
    in_head("it closes without a byte", 502, &["connection_terminated"], |_| Ok(())),
    in_head("it resets without a byte", 502, &["connection_terminated"], |x| x.reset()),
    in_head("it closes within the head", 502, INCOMPLETE, |x| x.raw("HTTP/1.1 200 OK\r\nContent-Le")),
    in_head("it resets within the head", 502, INCOMPLETE, |x| {
        then_reset(x, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n")
    }),
    in_head("it closes within the status line", 502, INCOMPLETE, |x| x.raw("HTTP/1.1 2")),
    in_head("it closes after an interim response", 502, INCOMPLETE, |x| x.raw("HTTP/1.1 100 Continue\r\n\r\n")),
    in_head("it closes after early hints", 502, INCOMPLETE, |x| x.raw("HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n")),
    in_head("its status line is none", 502, NONSENSE, |x| x.raw("HELLO world\r\n\r\n")),
    in_head("its status is none", 502, NONSENSE, |x| x.raw("HTTP/1.1 abc OK\r\n\r\n")),
    in_head("it speaks another version", 502, NONSENSE, |x| x.raw("HTTP/2.0 200 OK\r\n\r\n")),
    in_head("it speaks TLS", 502, NONSENSE, |x| x.raw(b"\x15\x03\x03\x00\x02\x02\x46")),
    in_head("it says two lengths", 502, NONSENSE, |x| {
        x.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
    }),
    in_head("its length is more than can be counted", 502, NONSENSE, |x| {
        x.raw("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nhello")
    }),
    in_head("its head is too long", 502, &["http_response_header_section_size"], |x| {
        let _ = x.raw(format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(300_000)));
        x.until_closed()
    }),
    in_head("it switches protocols unasked", 502, &["http_upgrade_failed"], |x| {
        x.raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\nnoise")
    }),
    in_head("it says nothing", 504, &["http_response_timeout"], |x| x.until_closed()),
    in_body("a length, and it closes", nothing, |x| x.raw(sized(50_000, b""))),
    in_body("a length, and it resets", nothing, |x| then_reset(x, &sized(50_000, b""))),
    in_chunks("chunks, and no size in the same packet", nothing, |x| x.raw(format!("{CHUNKED}X\r\n"))),
    in_chunks("chunks, and no size after it", nothing, |x| {
        x.raw(CHUNKED)?;
        std::thread::sleep(std::time::Duration::from_millis(20));
        x.raw("X\r\n")
    }),
    in_body("chunks, and it closes", nothing, |x| x.raw(CHUNKED)),
    in_body("chunks, and it resets", nothing, |x| then_reset(x, CHUNKED.as_bytes())),
    in_chunks("a chunk's size that does not fit", nothing, |x| x.raw(format!("{CHUNKED}fffffffffffffffff\r\nx"))),
    Row { small: true, ..in_body("half of a small body", some, |x| x.raw(sized(1000, &some()))) },
    Row { small: true, ..in_body("half of a small body that is not stored", some, |x| x.raw(unstored(1000, &some()))) },
    in_body("half of a large body", much, |x| x.raw(sized(100_000, &much()))),
    in_body("half of a large body that is not stored", much, |x| x.raw(unstored(100_000, &much()))),
    in_body("half of a large body, and it resets", much, |x| then_reset(x, &sized(100_000, &much()))),
    in_body("a chunk, and it closes", some, |x| x.raw(chunks(&some(), ""))),
    in_chunks("a chunk, and nonsense", some, |x| x.raw(chunks(&some(), "X\r\n"))),
    in_chunks("a large chunk, and nonsense", much, |x| x.raw(chunks(&much(), "-1\r\n"))),
    in_chunks(
        "a chunk that is longer than it said",
        || b"x".to_vec(),
        |x| x.raw(format!("{CHUNKED}1\r\nxxxx\r\n0\r\n\r\n")),
    ),
    Row {
        expect: Expect::Broken(much, &["connection_read_timeout"]),
        ..in_body("half of a large body, and silence", much, |x| {
            x.raw(sized(100_000, &much()))?;
            x.until_closed()
        })
    },
    Row {
        expect: Expect::Broken(nothing, &["connection_read_timeout"]),
        ..in_body("chunks, and silence", nothing, |x| {
            x.raw(CHUNKED)?;
            x.until_closed()
        })
    },
];
