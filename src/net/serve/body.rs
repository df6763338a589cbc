//! The two bodies of an exchange, noting when they begin, wait, move and end.

use super::interim::Interim;
use super::state::{Half, State};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

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
            half.state().body_moved();
            half.state().body_given_up();
        }
    }
}

/// An answer's body; the exchange lasts until hyper drops it.
#[derive(Debug)]
pub(super) struct Reply<B> {
    pub(super) body: B,
    pub(super) _half: Half,
}

impl<B: Body + Unpin> Body for Reply<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
