//! PURE. The content of a message, decoded from whatever pieces arrive (RFC 9112 section 6.3).

use super::chunked::{Chunked, Step};
use crate::wire::fault::Blame;
use crate::wire::length::BodyLength;
use bytes::Bytes;
use http::HeaderMap;
use std::fmt;

const OTHER_LENGTH: Bad = Bad::Malformed("a body that is not as long as it said");

/// What is left of it.
#[derive(Debug)]
pub enum Content {
    Left(u64),
    /// And how much, where a node has told that.
    Chunked(Box<Chunked>, Option<u64>),
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

/// Why there is no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    Malformed(&'static str),
    /// A node says so.
    Told(Blame),
}

impl Content {
    /// `trailers`: so many bytes of them are read.
    pub fn new(ends: BodyLength, trailers: usize) -> Content {
        Content::of(ends, || (Chunked::new(trailers), None))
    }

    /// What a node sends (docs/link.md), which may have told how long it is.
    pub fn of_link(ends: BodyLength, told: Option<u64>, trailers: usize) -> Content {
        Content::of(ends, || (Chunked::of_link(trailers), told))
    }

    fn of(ends: BodyLength, chunked: impl FnOnce() -> (Chunked, Option<u64>)) -> Content {
        match ends {
            BodyLength::None | BodyLength::Sized(0) => Content::Over,
            BodyLength::Sized(length) => Content::Left(length),
            BodyLength::Chunked => {
                let (chunked, told) = chunked();
                Content::Chunked(Box::new(chunked), told)
            }
            BodyLength::UntilClose => Content::UntilClose,
        }
    }

    /// Takes from the front of `input` up to the next piece.
    pub fn step(&mut self, input: &mut Bytes) -> Result<Piece, Bad> {
        match self {
            Content::Over => Ok(Piece::End),
            Content::Chunked(chunked, left) => Ok(match chunked.step(input).map_err(Bad::Malformed)? {
                Step::More => Piece::More,
                Step::Data(data) => {
                    if let Some(left) = left {
                        *left = left.checked_sub(data.len() as u64).ok_or(OTHER_LENGTH)?;
                        // Nobody may ask for the end of what is whole by its length.
                        if *left == 0 && matches!(chunked.step(input), Ok(Step::End(_))) {
                            *self = Content::Over;
                        }
                    }
                    Piece::Data(data)
                }
                Step::Broken(blame) => return Err(Bad::Told(blame)),
                Step::End(_) if left.is_some_and(|left| left > 0) => return Err(OTHER_LENGTH),
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

    /// How much is left of what nothing stands between.
    pub fn plain(&self) -> Option<u64> {
        match self {
            Content::Left(left) => Some(*left),
            _ => None,
        }
    }

    /// So much of what is [`Content::plain`] went by without being read here.
    pub fn went_by(&mut self, bytes: u64) {
        if let Content::Left(left) = self {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                *self = Content::Over;
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
            Content::Chunked(_, left) => *left,
            Content::UntilClose => None,
        }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bad::Malformed(why) => f.write_str(why),
            Bad::Told(blame) => blame.fmt(f),
        }
    }
}

impl std::error::Error for Bad {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fault::{Kind, Whose};

    /// The data, whether it came to its end, and what is left of the input.
    fn read(ends: BodyLength, text: &'static [u8], piece: usize) -> (Vec<u8>, bool, Vec<u8>) {
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
                (BodyLength::None, &b"next"[..], &b""[..], true, &b"next"[..]),
                (BodyLength::Sized(0), b"next", b"", true, b"next"),
                (BodyLength::Sized(4), b"bodynext", b"body", true, b"next"),
                (BodyLength::Sized(9), b"body", b"body", false, b""),
                (BodyLength::Chunked, b"4\r\nbody\r\n0\r\n\r\nnext", b"body", true, b"next"),
                (BodyLength::Chunked, b"4\r\nbody\r\n0\r\na: b\r\n\r\nnext", b"body", true, b"next"),
                (BodyLength::Chunked, b"4\r\nbody\r\n", b"body", false, b""),
                (BodyLength::UntilClose, b"body", b"body", false, b""),
            ] {
                let expected = (data.to_vec(), over, rest.to_vec());
                assert_eq!(read(ends, text, piece), expected, "{ends:?} {piece}");
            }
        }
    }

    #[test]
    fn what_goes_by_is_no_more_to_come() {
        let mut content = Content::new(BodyLength::Sized(9), 0);
        content.went_by(4);
        assert_eq!((content.plain(), content.length()), (Some(5), Some(5)));
        assert_eq!(content.step(&mut Bytes::from_static(b"12")), Ok(Piece::Data(Bytes::from_static(b"12"))));
        content.went_by(3);
        assert_eq!((content.plain(), content.length(), content.is_over()), (None, Some(0), true));
        for ends in [BodyLength::None, BodyLength::Chunked, BodyLength::UntilClose] {
            assert_eq!(Content::new(ends, 0).plain(), None, "{ends:?}");
        }
    }

    #[test]
    fn what_a_node_sends_is_as_long_as_it_told_or_says_why_not() {
        let other = || Err(OTHER_LENGTH);
        let told = Bad::Told(Blame::new(Whose::Origin, Kind::HttpResponseIncomplete));
        for (text, expected) in [
            ("4\r\nbody\r\n0\r\n\r\nnext", Ok((&b"body"[..], true))),
            ("4\r\nbody\r\n", Ok((b"body", false))),
            ("3\r\nbod\r\n0\r\n\r\n", other()),
            ("5\r\nbodyx\r\n0\r\n\r\n", other()),
            ("3\r\nbod\r\n!origin http_response_incomplete\r\n", Err(told)),
        ] {
            let mut content = Content::of_link(BodyLength::Chunked, Some(4), 1024);
            let (mut input, mut data) = (Bytes::from_static(text.as_bytes()), Vec::new());
            let mut read = || -> Result<(), Bad> {
                while let Piece::Data(piece) = content.step(&mut input)? {
                    data.extend_from_slice(&piece);
                }
                Ok(())
            };
            let got = read().map(|()| (&data[..], content.is_over()));
            assert_eq!(got, expected, "{text:?}");
        }
    }

    #[test]
    fn how_long_it_is_is_known_from_a_length_only() {
        let length = |ends| Content::new(ends, 0).length();
        assert_eq!(length(BodyLength::Sized(7)), Some(7));
        assert_eq!(length(BodyLength::None), Some(0));
        assert_eq!((length(BodyLength::Chunked), length(BodyLength::UntilClose)), (None, None));
    }
}
