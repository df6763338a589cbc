//! The two bodies of an exchange, noting when they begin, wait, move and end.

use super::BoxError;
use super::interim::Interim;
use super::state::{Half, State};
use crate::wire::fault::Blame;
use crate::wire::link;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A request body as the service gets it.
#[derive(Debug)]
pub struct ClientBody {
    /// `None`: a request without content that hyper has not seen.
    body: Option<Incoming>,
    /// `None` once it has come to its end.
    half: Option<Half>,
    interim: Interim,
}

/// Of the exchange that is about to begin.
impl ClientBody {
    pub(super) fn new(body: Incoming, state: &Arc<State>) -> ClientBody {
        let half = (!body.is_end_stream()).then(|| Half::begin(state));
        state.set_uploading(half.is_some());
        state.set_uploads(half.is_some());
        ClientBody { body: Some(body), half, interim: Interim::of_next(state) }
    }

    pub(super) fn none(state: &Arc<State>) -> ClientBody {
        ClientBody { body: None, half: None, interim: Interim::of_next(state) }
    }

    /// What sends interim responses to this request.
    pub fn interim(&self) -> Interim {
        self.interim.clone()
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let ended = body.is_end_stream();
        let Some(half) = &self.half else { return polled };
        match &polled {
            Poll::Pending => half.state().body_pending(),
            Poll::Ready(frame) => {
                half.state().body_moved();
                if matches!(frame, None | Some(Ok(_)) if ended || frame.is_none()) {
                    half.state().set_uploading(false);
                }
                if frame.is_none() || ended {
                    half.state().set_uploads(false);
                    self.half = None;
                }
            }
        }
        polled
    }
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }
    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Some(half) = &self.half {
            half.state().set_uploads(false);
            half.state().body_moved();
            half.state().body_given_up();
        }
    }
}

/// A body's error that the chunks themselves are to tell, in a line in place of the next one ([`link::broken`]).
#[derive(Debug)]
pub struct Told(pub Blame);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Told {}

/// That line, where an error is one or comes of one.
pub(super) fn told(error: &(dyn Error + 'static)) -> Option<String> {
    let told = error.downcast_ref::<Told>().or_else(|| error.source()?.downcast_ref());
    told.map(|Told(blame)| link::broken(*blame))
}

/// An answer's body; the exchange lasts until hyper drops it.
#[derive(Debug)]
pub(super) struct Reply<B> {
    pub(super) body: B,
    half: Half,
    /// hyper drops what it has not written yet when a body fails, so it hears of that when everything is written.
    broken: Option<BoxError>,
}

impl<B> Reply<B> {
    pub(super) fn new(body: B, half: Half) -> Reply<B> {
        Reply { body, half, broken: None }
    }
}

impl<B: Body + Unpin> Body for Reply<B>
where
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    /// For hyper.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        if self.broken.is_none() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Err(broken)) => {
                    self.half.state().want_written(cx.waker());
                    self.broken = Some(broken.into());
                }
                Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
                None => return Poll::Ready(None),
            }
        }
        if self.half.state().wants_written() {
            return Poll::Pending;
        }
        Poll::Ready(self.broken.take().map(Err))
    }
    fn is_end_stream(&self) -> bool {
        self.broken.is_none() && self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
