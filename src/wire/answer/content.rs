//! PURE. The content of a message, decoded from whatever pieces arrive (RFC 9112 section 6.3).

use super::chunked::{Chunked, Step};
use super::decode::Ends;
use bytes::Bytes;
use http::HeaderMap;

/// What is left of it.
#[derive(Debug)]
pub enum Content {
    Left(u64),
    Chunked(Box<Chunked>),
    /// All until the connection ends.
    UntilClose,
    Over,
}

/// What the next piece of input came to.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// All input is used up.
    More,
    Data(Bytes),
    Trailers(HeaderMap),
    /// What is left of the input is not part of it.
    End,
}

impl Content {
    /// `trailers`: so many bytes of them are read.
    pub fn new(ends: Ends, trailers: usize) -> Content {
        match ends {
            Ends::None | Ends::After(0) => Content::Over,
            Ends::After(length) => Content::Left(length),
            Ends::Chunked => Content::Chunked(Box::new(Chunked::new(trailers))),
            Ends::Closed => Content::UntilClose,
        }
    }

    /// Takes from the front of `input` up to the next piece.
    pub fn step(&mut self, input: &mut Bytes) -> Result<Piece, &'static str> {
        match self {
            Content::Over => Ok(Piece::End),
            Content::Chunked(chunked) => Ok(match chunked.step(input)? {
                Step::More => Piece::More,
                Step::Data(data) => Piece::Data(data),
                // Only nodes say so, and this is not read from one.
                Step::Broken(_) => return Err("malformed chunk"),
                Step::End(trailers) => {
                    *self = Content::Over;
                    trailers.map_or(Piece::End, Piece::Trailers)
                }
            }),
            _ if input.is_empty() => Ok(Piece::More),
            Content::UntilClose => Ok(Piece::Data(std::mem::take(input))),
            Content::Left(left) => {
                let take = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= take as u64;
                if *left == 0 {
                    *self = Content::Over;
                }
                Ok(Piece::Data(input.split_to(take)))
            }
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self, Content::Over)
    }

    /// What is left of it, where that is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Content::Left(left) => Some(*left),
            Content::Over => Some(0),
            Content::Chunked(_) | Content::UntilClose => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, whether it came to its end, and what is left of the input.
    fn read(ends: Ends, text: &'static [u8], piece: usize) -> (Vec<u8>, bool, Vec<u8>) {
        let (mut content, mut data, mut rest) = (Content::new(ends, 1024), Vec::new(), Vec::new());
        for part in text.chunks(piece) {
            let mut input = Bytes::from_static(part);
            loop {
                match content.step(&mut input).unwrap() {
                    Piece::More => break,
                    Piece::Data(bytes) => data.extend_from_slice(&bytes),
                    Piece::Trailers(trailers) => assert_eq!(trailers["a"], "b"),
                    Piece::End => {
                        rest.extend_from_slice(&input);
                        break;
                    }
                }
            }
        }
        (data, content.is_over(), rest)
    }

    #[test]
    fn content_ends_where_its_framing_says_and_not_later() {
        for piece in 1..20 {
            for (ends, text, data, over, rest) in [
                (Ends::None, &b"next"[..], &b""[..], true, &b"next"[..]),
                (Ends::After(0), b"next", b"", true, b"next"),
                (Ends::After(4), b"bodynext", b"body", true, b"next"),
                (Ends::After(9), b"body", b"body", false, b""),
                (Ends::Chunked, b"4\r\nbody\r\n0\r\n\r\nnext", b"body", true, b"next"),
                (Ends::Chunked, b"4\r\nbody\r\n0\r\na: b\r\n\r\nnext", b"body", true, b"next"),
                (Ends::Chunked, b"4\r\nbody\r\n", b"body", false, b""),
                (Ends::Closed, b"body", b"body", false, b""),
            ] {
                let expected = (data.to_vec(), over, rest.to_vec());
                assert_eq!(read(ends, text, piece), expected, "{ends:?} {piece}");
            }
        }
    }

    #[test]
    fn how_long_it_is_is_known_from_a_length_only() {
        let length = |ends| Content::new(ends, 0).length();
        assert_eq!(length(Ends::After(7)), Some(7));
        assert_eq!(length(Ends::None), Some(0));
        assert_eq!((length(Ends::Chunked), length(Ends::Closed)), (None, None));
    }
}
