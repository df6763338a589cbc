//! The body of an origin's answer.

use super::{Lease, Origins, lean};
use crate::net::serve::BoxError as BodyError;
use crate::node::counters::{Counters, add};
use crate::wire::fault::{Blame, Kind, Whose};
use crate::wire::hop;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// Gives its connection back when it has been read to the end; ends with an error when the origin stalls.
pub struct OriginBody {
    by: By,
    stall: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    counters: Rc<Counters>,
}

/// Who reads it.
enum By {
    Hyper(Incoming, Option<Lease>),
    Lean(Box<lean::Body>),
}

impl OriginBody {
    /// `bodiless`: the request was HEAD.
    pub(super) fn by_hyper(origins: &Origins, incoming: Incoming, lease: Lease, bodiless: bool) -> OriginBody {
        let ended = bodiless || incoming.is_end_stream();
        let mut body = OriginBody::new(origins, By::Hyper(incoming, Some(lease)));
        if ended {
            body.by.give_back();
        }
        body
    }

    pub(super) fn by_ourselves(origins: &Origins, body: lean::Body) -> OriginBody {
        OriginBody::new(origins, By::Lean(Box::new(body)))
    }

    fn new(origins: &Origins, by: By) -> OriginBody {
        OriginBody { by, stall: origins.limits.origin_silence, sleep: None, counters: origins.counters.clone() }
    }

    /// Whatever is wrong with it is the origin's fault.
    fn blame(&self, error: &BodyError) -> Blame {
        tracing::debug!("an origin's answer broke off: {error}");
        Blame::new(Whose::Origin, Kind::HttpResponseIncomplete)
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stall = self.stall;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        sleep.as_mut().poll(cx)
    }
}

/// The lean client does it where it reads them.
fn without_ours(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        hop::strip_trailers(trailers);
    }
    frame
}

impl By {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            By::Hyper(incoming, _) => Pin::new(incoming).poll_frame(cx).map_ok(without_ours).map_err(Into::into),
            By::Lean(body) => body.poll_frame(cx),
        }
    }

    fn give_back(&mut self) {
        match self {
            By::Hyper(_, lease) => {
                if let Some(lease) = lease.take() {
                    lease.give_back();
                }
            }
            // Does so itself.
            By::Lean(_) => {}
        }
    }

    /// Nothing more is wanted of the origin.
    fn give_up(&mut self) {
        match self {
            By::Hyper(_, lease) => *lease = None,
            By::Lean(body) => body.close(),
        }
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = this.by.poll_frame(cx) else {
            if this.poll_stalled(cx).is_ready() {
                this.by.give_up();
                add(&this.counters.origin_failures, 1);
                return Poll::Ready(Some(Err(Blame::new(Whose::Origin, Kind::ConnectionReadTimeout).into())));
            }
            return Poll::Pending;
        };
        this.sleep = None;
        match &frame {
            Some(Ok(frame)) => add(&this.counters.bytes_from_origin, frame.data_ref().map_or(0, |d| d.len() as u64)),
            Some(Err(_)) => {
                add(&this.counters.origin_failures, 1);
                this.by.give_up();
            }
            None => {}
        }
        if frame.is_none() || this.is_end_stream() {
            this.by.give_back();
        }
        Poll::Ready(frame.map(|result| result.map_err(|error| this.blame(&error).into())))
    }

    fn is_end_stream(&self) -> bool {
        match &self.by {
            By::Hyper(incoming, _) => incoming.is_end_stream(),
            By::Lean(body) => body.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.by {
            By::Hyper(incoming, _) => incoming.size_hint(),
            By::Lean(body) => body.length().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
