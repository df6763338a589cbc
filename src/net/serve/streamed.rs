//! The content of a request on a stream of HTTP/2.

use super::end::BoxError;
use super::http2::inlet;
use crate::wire::hop;
use crate::wire::length::BodyLength;
use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::Frame;
use std::task::{Context, Poll, ready};

/// See the module. What it gives makes room for as much more: a client sends no more ahead than its windows say.
#[derive(Debug)]
pub(super) struct StreamContent {
    stream: RecvStream,
    length: Option<u64>,
    has_data: bool,
}

impl StreamContent {
    pub(super) fn new(stream: RecvStream) -> StreamContent {
        StreamContent { stream, length: None, has_data: true }
    }

    /// As its head says.
    pub(super) fn set_length(&mut self, said: BodyLength) {
        self.length = match said {
            BodyLength::Sized(length) => Some(length),
            BodyLength::None | BodyLength::Chunked | BodyLength::UntilClose => None,
        };
    }

    /// What is to come of it, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Nothing is to come.
    pub(super) fn is_over(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.has_data {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.stream.flow_control().release_capacity(data.len())?;
                    self.length = self.length.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(e)) => return Poll::Ready(Some(Err(e.into()))),
                None => self.has_data = false,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(Some(fields)) => Poll::Ready(trailers(fields)),
            Ok(None) => Poll::Ready(None),
            Err(e) => Poll::Ready(Some(Err(e.into()))),
        }
    }
}

fn trailers(fields: HeaderMap) -> Option<Result<Frame<Bytes>, BoxError>> {
    let Some(mut fields) = inlet::unmarked(fields) else { return Some(Err("its trailers are too long".into())) };
    hop::strip_trailers(&mut fields);
    Some(fields).filter(|fields| !fields.is_empty()).map(|fields| Ok(Frame::trailers(fields)))
}
