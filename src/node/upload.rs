//! A request's body on its way to the origin.

use crate::clock::{Tick, tick};
use crate::net::serve::BoxError;
use crate::net::serve::ClientBody;
use crate::wire::hop;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// How far an exchange has come, for who keeps its time.
#[derive(Clone)]
pub struct Progress(Arc<Moves>);

struct Moves {
    /// When something last moved, by the steady clock.
    last: AtomicU64,
    owes: AtomicU8,
    /// The request's body failed: its sender went away.
    broke: AtomicBool,
}

/// Who is to move next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Owes {
    /// The origin has all of the request.
    Answer,
    /// The origin is to take the next piece of the request's body.
    Origin,
    /// The client is to send it.
    Client,
}

impl Progress {
    /// It begins now.
    fn new(owes: Owes) -> Progress {
        let (last, owes) = (AtomicU64::new(tick().0), AtomicU8::new(owes as u8));
        Progress(Arc::new(Moves { last, owes, broke: AtomicBool::new(false) }))
    }

    pub fn moved(&self) {
        self.0.last.store(tick().0, Relaxed);
    }

    fn set(&self, owes: Owes) {
        self.0.owes.store(owes as u8, Relaxed);
    }

    /// Whether the request's body came to no end, so that its sender is to blame.
    pub fn has_broken(&self) -> bool {
        self.0.broke.load(Relaxed)
    }

    /// Who, and for how long already.
    pub fn owes(&self) -> (Owes, Duration) {
        let all = [Owes::Answer, Owes::Origin, Owes::Client];
        let owes = all.into_iter().find(|owes| *owes as u8 == self.0.owes.load(Relaxed)).unwrap_or(Owes::Answer);
        (owes, tick().since(Tick(self.0.last.load(Relaxed))))
    }
}

/// The body of a request to an origin.
pub enum Upload {
    None,
    Body { body: ClientBody, progress: Progress, gate: Option<Gate> },
}

/// Holds a body back until the origin says `100 Continue`, or has been silent for a while (RFC 9110 section 10.1.1).
/// Until then the body is not polled, so our own `100 Continue` is not sent to whoever sends it.
pub struct Gate(Pin<Box<dyn Future<Output = ()>>>);

/// Opens a [`Gate`], once; may be called from anywhere.
#[derive(Clone)]
pub struct Opener(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Gate {
    pub fn new(wait: Duration) -> (Opener, Gate) {
        let (tx, rx) = oneshot::channel();
        // An opener that is gone has opened nothing: there is an answer, and the body was not asked for.
        let opened = async move {
            if rx.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let gate = Box::pin(async move { _ = tokio::time::timeout(wait, opened).await });
        (Opener(Arc::new(Mutex::new(Some(tx)))), Gate(gate))
    }
}

impl Opener {
    pub fn open(&self) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            let _ = sender.send(());
        }
    }
}

impl Upload {
    pub fn new(body: Option<ClientBody>, gate: Option<Gate>) -> (Upload, Progress) {
        let Some(body) = body else { return (Upload::None, Progress::new(Owes::Answer)) };
        let progress = Progress::new(Owes::Origin);
        (Upload::Body { body, progress: progress.clone(), gate }, progress)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Upload::Body { body, progress, gate } = self.get_mut() else { return Poll::Ready(None) };
        if let Some(closed) = gate {
            if closed.0.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            *gate = None;
        }
        let frame = Pin::new(&mut *body).poll_frame(cx).map_ok(|mut frame| {
            frame.trailers_mut().into_iter().for_each(hop::strip_trailers);
            frame
        });
        if frame.is_ready() {
            progress.moved();
        }
        if matches!(frame, Poll::Ready(Some(Err(_)))) {
            progress.0.broke.store(true, Relaxed);
        }
        progress.set(match &frame {
            Poll::Pending => Owes::Client,
            Poll::Ready(Some(Ok(_))) if !body.is_end_stream() => Owes::Origin,
            Poll::Ready(_) => Owes::Answer,
        });
        frame.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Upload::None => true,
            Upload::Body { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Upload::None => SizeHint::with_exact(0),
            Upload::Body { body, .. } => body.size_hint(),
        }
    }
}
