//! The body of an answer that did not come along as a whole: streamed with back-pressure; it owns the connection.

use super::conn::{ByteStream, READ, room_for};
use super::pool::Lease;
use super::upload::Upload;
use crate::net::listen::Stream;
use crate::net::serve::BoxError;
use crate::wire::answer::content::{Bad, Content, Piece};
use crate::wire::answer::decode::Head;
use crate::wire::fault::{Blame, Kind, Whose};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// See the module. At its end the connection may serve the next request; dropped before, the connection is closed.
pub struct ResponseBody<S = Stream> {
    lease: Option<Lease<S>>,
    keep: bool,
    content: Content,
    /// Read, but not decoded.
    input: Bytes,
    buffer: BytesMut,
    /// A request body that is still on its way: who answers early may do so while it reads on.
    upload: Option<Box<Upload>>,
    /// Whoever polls it waits for the server.
    waits: bool,
    /// Who sends it.
    whose: Whose,
}

impl<S: ByteStream> ResponseBody<S> {
    pub(super) fn new(mut lease: Lease<S>, head: &Head, upload: Option<Box<Upload>>, whose: Whose) -> ResponseBody<S> {
        let (input, limits) = (std::mem::take(lease.conn.early()), &lease.limits().bounds);
        // What follows is another protocol: it is for who takes the connection.
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let keep = head.keep && !switches;
        let content = match whose {
            Whose::Origin => Content::new(head.ends, limits.bytes),
            _ => Content::of_link(head.ends, head.told_length, limits.bytes),
        };
        let buffer = BytesMut::new();
        let mut body = ResponseBody { lease: Some(lease), keep, content, input, buffer, upload, waits: false, whose };
        if !switches {
            body.heed_end();
        }
        body
    }

    /// The connection, where the server has switched protocols on it, and what it has said since.
    pub fn take_stream(&mut self) -> Option<(S, Bytes)> {
        Some((self.lease.take()?.conn.into_stream(), std::mem::take(&mut self.input)))
    }

    /// Reads more; false: the connection has ended.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BoxError>> {
        let Some(lease) = &mut self.lease else { return Poll::Ready(Ok(false)) };
        let (conn, limits) = lease.parts();
        if let Some(upload) = &mut self.upload {
            let before = upload.moves();
            let sent = conn.poll_upload(cx, upload);
            self.waits &= upload.moves() == before;
            if let Poll::Ready(sent) = sent {
                sent.map_err(|why| {
                    tracing::debug!("a request's body broke off: {why}");
                    Blame::new(Whose::Client, Kind::HttpRequestError)
                })?;
                self.keep &= upload.is_done();
                self.upload = None;
            }
        }
        let room = room_for(self.content.length(), READ);
        let Poll::Ready(read) = conn.poll_piece(cx, &mut self.buffer, room) else {
            if !std::mem::replace(&mut self.waits, true) {
                conn.moved();
            }
            // Who has begun to answer may wait for the rest of the request.
            let (limit, whose, kind) = match &self.upload {
                Some(upload) if upload.waits_for_source() => (limits.give, Whose::Client, Kind::HttpRequestError),
                Some(upload) if !upload.has_ended() => (limits.take, self.whose, Kind::ConnectionWriteTimeout),
                _ => (limits.silence, self.whose, Kind::ConnectionReadTimeout),
            };
            ready!(conn.poll_late(cx, limit));
            return Poll::Ready(Err(Blame::new(whose, kind).into()));
        };
        self.waits = false;
        self.input = self.buffer.split().freeze();
        Poll::Ready(Ok(read? > 0))
    }

    /// At the end of the body the connection goes back to its pool, unless something is left over on it.
    fn heed_end(&mut self) {
        if !self.content.is_over() {
            return;
        }
        let clean = self.keep && self.input.is_empty() && self.upload.is_none();
        self.upload = None;
        if let Some(lease) = self.lease.take().filter(|_| clean) {
            lease.give_back();
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BoxError>> {
        loop {
            let piece = self.content.step(&mut self.input)?;
            self.heed_end();
            return Poll::Ready(match piece {
                Piece::Data(data) => Ok(Some(Frame::data(data))),
                Piece::Trailers(trailers) => Ok(Some(Frame::trailers(trailers))),
                Piece::End => Ok(None),
                Piece::More if ready!(self.poll_more(cx))? => continue,
                Piece::More if matches!(self.content, Content::UntilClose) => {
                    self.content = Content::Over;
                    Ok(None)
                }
                Piece::More => Err("the connection was closed within the body".into()),
            });
        }
    }

    /// Whose fault it is that there is no more of it: the origin's where a node says so; of all else this one knows better.
    fn blame(&self, why: BoxError) -> Blame {
        tracing::debug!("an answer's body broke off: {why}");
        match (why.downcast_ref(), why.downcast_ref()) {
            (Some(blame), _) => *blame,
            (_, Some(Bad::Told(blame))) if blame.whose == Whose::Origin => *blame,
            // RFC 9209 section 2.3: what came cannot be decoded, so nobody knows whether more was to come.
            (_, Some(Bad::Malformed(_))) => Blame::new(self.whose, Kind::HttpResponseTransferCoding),
            _ => Blame::new(self.whose, Kind::HttpResponseIncomplete),
        }
    }
}

impl<S: ByteStream> http_body::Body for ResponseBody<S> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = ready!(this.poll_piece(cx)).map_err(|why| {
            (this.lease, this.content) = (None, Content::Over);
            this.blame(why).into()
        });
        Poll::Ready(frame.transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
