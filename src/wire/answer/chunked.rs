//! PURE. The chunked coding (RFC 9112 section 7.1), read incrementally from whatever pieces arrive.

use crate::wire::fault::Blame;
use crate::wire::{hop, link};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Longest line of a chunk size with its extensions.
const LINE: usize = 4096;

/// Where the decoder is.
#[derive(Debug)]
enum State {
    Size {
        value: u64,
        digits: u8,
    },
    /// White space behind a size, which only an extension may follow (RFC 9112 section 7.1.1).
    Blank,
    Extension,
    SizeLf {
        value: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailer,
    /// The line of [`link::broken`], which is gathered as trailers are.
    Broken,
    End,
}

/// See the module.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    size: u64,
    /// Bytes of the size line so far.
    line: usize,
    trailer: Vec<u8>,
    limit: usize,
    /// A node sends it, which may say in place of a chunk why there are no more.
    of_link: bool,
}

/// What the next piece of input came to.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// All input is used up.
    More,
    Data(Bytes),
    /// The body is over; the rest of the input is not part of it.
    End(Option<HeaderMap>),
    /// A node says why there is no more of it.
    Broken(Blame),
}

impl Chunked {
    /// `limit`: bytes of the trailer section.
    pub fn new(limit: usize) -> Chunked {
        let state = State::Size { value: 0, digits: 0 };
        Chunked { state, size: 0, line: 0, trailer: Vec::new(), limit, of_link: false }
    }

    /// The same for a body on the link (docs/link.md).
    pub fn of_link(limit: usize) -> Chunked {
        Chunked { of_link: true, ..Chunked::new(limit) }
    }

    /// Takes from the front of `input` up to the next piece of the body.
    pub fn step(&mut self, input: &mut Bytes) -> Result<Step, &'static str> {
        loop {
            if let State::Data { left } = self.state {
                if input.is_empty() {
                    return Ok(Step::More);
                }
                return Ok(Step::Data(self.data(left, input)));
            }
            if matches!(self.state, State::End) {
                return Ok(Step::End(None));
            }
            if !input.has_remaining() {
                return Ok(Step::More);
            }
            let byte = input.get_u8();
            if matches!(self.state, State::Broken) {
                if let Some(blame) = self.broken_byte(byte)? {
                    return Ok(Step::Broken(blame));
                }
            } else if matches!(self.state, State::Trailer) {
                if self.trailer_byte(byte)? {
                    self.state = State::End;
                    return Ok(Step::End(self.trailers()?));
                }
            } else {
                self.state = self.size_byte(byte)?;
            }
        }
    }

    fn data(&mut self, left: u64, input: &mut Bytes) -> Bytes {
        let take = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let left = left - take as u64;
        self.state = if left == 0 { State::DataCr } else { State::Data { left } };
        input.split_to(take)
    }

    /// A byte outside of data and trailers.
    fn size_byte(&mut self, byte: u8) -> Result<State, &'static str> {
        self.line += 1;
        if self.line > LINE {
            return Err("chunk size line too long");
        }
        Ok(match (&self.state, byte) {
            (&State::Size { value, digits }, b) if b.is_ascii_hexdigit() => {
                if digits == 16 {
                    return Err("chunk size too large");
                }
                let digit = (b as char).to_digit(16).unwrap_or(0);
                State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, link::BROKEN) if self.of_link => State::Broken,
            (State::Size { digits: 0, .. }, _) => return Err("chunk without size"),
            (&State::Size { value, .. }, b'\r') => State::SizeLf { value },
            (&State::Size { value, .. }, b';' | b' ' | b'\t') => {
                self.size = value;
                if byte == b';' { State::Extension } else { State::Blank }
            }
            (State::Blank, b' ' | b'\t') => State::Blank,
            (State::Blank, b';') => State::Extension,
            (State::Blank, b'\r') => State::SizeLf { value: self.size },
            (State::Extension, b'\r') => State::SizeLf { value: self.size },
            (State::Extension, b'\n') => return Err("bare LF in a chunk extension"),
            (State::Extension, b) if b == b'\t' || !b.is_ascii_control() => State::Extension,
            (&State::SizeLf { value }, b'\n') => {
                self.line = 0;
                if value == 0 { State::Trailer } else { State::Data { left: value } }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.line = 0;
                State::Size { value: 0, digits: 0 }
            }
            _ => return Err("malformed chunk"),
        })
    }

    /// What the line says, when it is complete.
    fn broken_byte(&mut self, byte: u8) -> Result<Option<Blame>, &'static str> {
        self.trailer.push(byte);
        if self.trailer.len() > LINE {
            return Err("chunk size line too long");
        }
        match self.trailer.strip_suffix(b"\r\n") {
            Some(line) => Blame::read(line).map(Some).ok_or("malformed chunk"),
            None => Ok(None),
        }
    }

    /// True when the trailer section is complete.
    fn trailer_byte(&mut self, byte: u8) -> Result<bool, &'static str> {
        // Two readers who take another end for that of the section would see two messages.
        if byte == b'\n' && self.trailer.last() != Some(&b'\r') {
            return Err("bare LF in the trailers");
        }
        self.trailer.push(byte);
        if self.trailer.len() > self.limit {
            return Err("trailers too long");
        }
        Ok(self.trailer == b"\r\n" || self.trailer.ends_with(b"\r\n\r\n"))
    }

    fn trailers(&mut self) -> Result<Option<HeaderMap>, &'static str> {
        let text = std::mem::take(&mut self.trailer);
        if text == b"\r\n" {
            return Ok(None);
        }
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let httparse::Status::Complete((_, parsed)) =
            httparse::parse_headers(&text, &mut slots).map_err(|_| "malformed trailers")?
        else {
            return Err("malformed trailers");
        };
        let mut map = HeaderMap::with_capacity(parsed.len());
        for field in parsed {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "malformed trailers")?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| "malformed trailers")?;
            map.append(name, value);
        }
        hop::strip_trailers(&mut map);
        Ok(Some(map).filter(|map| !map.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fault::{Kind, Whose};

    fn decode(text: &[u8], piece: usize) -> Result<(Vec<u8>, Option<HeaderMap>, usize), &'static str> {
        let mut decoder = Chunked::new(1024);
        let mut data = Vec::new();
        let mut used = 0;
        for part in text.chunks(piece) {
            let mut input = Bytes::copy_from_slice(part);
            loop {
                match decoder.step(&mut input)? {
                    Step::More => break,
                    Step::Data(bytes) => data.extend_from_slice(&bytes),
                    Step::End(trailers) => return Ok((data, trailers, used + part.len() - input.len())),
                    Step::Broken(_) => return Err("told"),
                }
            }
            used += part.len();
        }
        Err("incomplete")
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let text =
            b"4;ext=\"a;b\"\r\nWiki\r\n5\r\npedia\r\nE\r\n in\r\n\r\nchunks.\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\nGET";
        for piece in 1..text.len() {
            let (data, trailers, used) = decode(text, piece).unwrap();
            assert_eq!(data, b"Wikipedia in\r\n\r\nchunks.");
            assert_eq!(trailers.unwrap().get_all("x-sum").iter().count(), 2);
            assert_eq!(&text[used..], b"GET", "what follows is not part of the body");
        }
    }

    #[test]
    fn malformed_chunks_are_errors_and_never_panics() {
        for (text, why) in [
            (&b"\r\n"[..], "RFC 9112 7.1: a chunk needs a size"),
            (b"+4\r\nWiki\r\n", "1*HEXDIG has no sign"),
            (b"4\nWiki\r\n", "CRLF, not LF"),
            (b"4\r\nWikiX", "CRLF after the data"),
            (b"11111111111111111\r\n", "17 digits do not fit"),
            (b"4;a\nb\r\n", "no bare LF in an extension"),
            (b"0\r\nno colon\r\n\r\n", "trailers are field lines"),
            (b"-1\r\n", "no negative size"),
            (b"5 6\r\n", "only an extension follows white space"),
            (b"4;a\0b\r\n", "no control character in an extension"),
            (b"0\r\n\nGET / HTTP/1.1\r\n\r\n", "no bare LF ends the trailers"),
            (b"0\r\nA: b\n\nGET / HTTP/1.1\r\n\r\n", "nor a line of them"),
        ] {
            assert!(decode(text, 1).is_err_and(|e| e != "incomplete"), "{why}");
        }
    }

    #[test]
    fn only_a_node_can_say_whose_fault_it_was() {
        let blame = Blame::new(Whose::Origin, Kind::HttpResponseIncomplete);
        let text = format!("2\r\nab\r\n{}", link::broken(blame));
        assert!(decode(text.as_bytes(), 3).is_err_and(|e| e == "chunk without size"));
        for piece in 1..text.len() {
            let (mut decoder, mut told) = (Chunked::of_link(1024), None);
            for part in text.as_bytes().chunks(piece) {
                let mut input = Bytes::copy_from_slice(part);
                loop {
                    match decoder.step(&mut input).unwrap() {
                        Step::More => break,
                        Step::Data(_) => {}
                        other => {
                            told = Some(other);
                            break;
                        }
                    }
                }
            }
            assert_eq!(told, Some(Step::Broken(blame)), "{piece}");
        }
        let step = |text: &'static str| Chunked::of_link(1024).step(&mut Bytes::from_static(text.as_bytes()));
        assert!(step("!nonsense\r\n").is_err() && step("0\r\n!origin dns_error\r\n\r\n").is_err());
    }

    #[test]
    fn a_size_line_or_trailer_without_end_is_refused() {
        assert!(decode(&[b"4;".as_slice(), &[b'a'; 5000]].concat(), 100).is_err_and(|e| e != "incomplete"));
        assert!(decode(&[b"0\r\nA: ".as_slice(), &[b'a'; 5000]].concat(), 100).is_err_and(|e| e != "incomplete"));
        assert!(decode(b"ffffffffffffffff\r\nabc", 100).is_err_and(|e| e == "incomplete"));
    }
}
