//! PURE. The body of an answer, piece by piece, as it is written (RFC 9112 sections 6 and 7).

use super::body::told;
use super::end::BoxError;
use crate::wire::length::BodyLength;
use crate::wire::written::{LAST_END, chunk, last_chunk};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What of an answer's body has not been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    Bytes(u64),
    Chunks,
    UntilClose,
}

/// What a body gave.
pub(super) enum BodyPiece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    Broken(BoxError),
}

impl BodyPiece {
    /// The next that is not empty. Trailers are for those who ask for them (RFC 9110 section 6.5.1).
    pub(super) fn poll<B>(body: &mut B, trailers: bool, cx: &mut Context<'_>) -> Poll<BodyPiece>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        loop {
            let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => return Poll::Ready(BodyPiece::End),
                Some(Err(e)) => return Poll::Ready(BodyPiece::Broken(e.into())),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) if !data.is_empty() => return Poll::Ready(BodyPiece::Data(data)),
                Ok(_) => {}
                Err(frame) => match frame.into_trailers() {
                    Ok(fields) if trailers => return Poll::Ready(BodyPiece::Trailers(fields)),
                    _ => {}
                },
            }
        }
    }
}

impl Rest {
    pub(super) fn of(framing: BodyLength) -> Rest {
        match framing {
            BodyLength::None | BodyLength::Sized(0) => Rest::Nothing,
            BodyLength::Sized(length) => Rest::Bytes(length),
            BodyLength::Chunked => Rest::Chunks,
            BodyLength::UntilClose => Rest::UntilClose,
        }
    }

    /// What is to be written for `piece` (`None`: it is not there yet), after what is appended to `head`. An error: nothing
    /// but that, and then the end of the connection.
    pub(super) fn take(
        &mut self,
        piece: Option<BodyPiece>,
        is_last: bool,
        head: &mut Vec<u8>,
    ) -> Result<(Bytes, &'static [u8]), BoxError> {
        let (data, trailers) = match piece {
            None => return Ok((Bytes::new(), b"")),
            Some(BodyPiece::Data(data)) => (data, None),
            Some(BodyPiece::Trailers(trailers)) => (Bytes::new(), Some(trailers)),
            Some(BodyPiece::End) => (Bytes::new(), None),
            Some(BodyPiece::Broken(why)) => {
                if let Some(line) = told(&*why).filter(|_| *self == Rest::Chunks) {
                    head.extend_from_slice(line.as_bytes());
                }
                return Err(why);
            }
        };
        match *self {
            Rest::Nothing => Ok((Bytes::new(), b"")),
            Rest::UntilClose => {
                if data.is_empty() || is_last {
                    *self = Rest::Nothing;
                }
                Ok((data, b""))
            }
            Rest::Bytes(left) => {
                let after = left.checked_sub(data.len() as u64).filter(|after| *after == 0 || !data.is_empty());
                let after = after.ok_or("the answer is not as long as it said")?;
                *self = if after == 0 { Rest::Nothing } else { Rest::Bytes(after) };
                Ok((data, b""))
            }
            Rest::Chunks if data.is_empty() => {
                *self = Rest::Nothing;
                last_chunk(trailers.as_ref(), head);
                Ok((data, b""))
            }
            Rest::Chunks => {
                chunk(data.len(), head);
                if is_last {
                    *self = Rest::Nothing;
                    return Ok((data, LAST_END));
                }
                Ok((data, b"\r\n"))
            }
        }
    }
}
