//! Where a body ends (RFC 9112 section 6.3), for the client and the origin alike.

use super::head::{Head, cut, invalid, latin1, read_fields, read_line};
use std::io::{self, BufRead};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Empty,
    Sized(u64),
    Chunked,
    ToTheEnd,
}

pub type Trailers = Vec<(String, Vec<u8>)>;

impl Framing {
    pub fn of_request(head: &Head) -> Framing {
        coded(head).unwrap_or(Framing::Empty)
    }

    pub fn of_response(method: &str, status: u16, head: &Head) -> Framing {
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Framing::Empty;
        }
        coded(head).unwrap_or(Framing::ToTheEnd)
    }

    /// Reads the body piece by piece. A body that ends too early is an error, never a success.
    pub fn read(self, from: &mut impl BufRead, mut sink: impl FnMut(&[u8])) -> io::Result<Trailers> {
        match self {
            Framing::Empty => {}
            Framing::Sized(n) => read_exactly(from, n, &mut sink)?,
            Framing::Chunked => return read_chunks(from, &mut sink),
            Framing::ToTheEnd => while read_piece(from, u64::MAX, &mut sink)? > 0 {},
        }
        Ok(Trailers::new())
    }
}

fn coded(head: &Head) -> Option<Framing> {
    if head.lists("transfer-encoding", "chunked") {
        return Some(Framing::Chunked);
    }
    head.get("content-length").map(|n| Framing::Sized(n.parse().expect("content-length is a number")))
}

fn read_piece(from: &mut impl BufRead, most: u64, sink: &mut impl FnMut(&[u8])) -> io::Result<usize> {
    let piece = from.fill_buf()?;
    let n = piece.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    if n > 0 {
        sink(&piece[..n]);
    }
    from.consume(n);
    Ok(n)
}

fn read_exactly(from: &mut impl BufRead, mut left: u64, sink: &mut impl FnMut(&[u8])) -> io::Result<()> {
    while left > 0 {
        match read_piece(from, left, sink)? {
            0 => return Err(cut()),
            n => left -= n as u64,
        }
    }
    Ok(())
}

fn read_chunks(from: &mut impl BufRead, sink: &mut impl FnMut(&[u8])) -> io::Result<Trailers> {
    loop {
        let line = latin1(&read_line(from)?.ok_or_else(cut)?);
        let digits = line.split(';').next().unwrap_or("").trim();
        let size = u64::from_str_radix(digits, 16).map_err(|_| invalid("a chunk size that is no number"))?;
        if size == 0 {
            return read_fields(from);
        }
        read_exactly(from, size, sink)?;
        if read_line(from)?.ok_or_else(cut)? != b"" {
            return Err(invalid("a chunk longer than its size"));
        }
    }
}
