//! Requests for what a node very likely holds, one behind the other on one connection (RFC 9112 section 9.3.2).
//!
//! A hit is answered at once, so nobody waits for whoever is ahead; under load many requests share one write, and many
//! answers one read, on both sides of the link. Each request says `only-if-cached`: what the node does not hold fresh is
//! answered at once as well, and then asked for in the ordinary way. So is everything that is lost with the connection.

use super::acquire::{Want, acquire};
use super::broken::LinkError;
use super::conn::NodeConn;
use super::control::Phase;
use super::encode::Request;
use super::exchange::{NodeAnswer, NodeContent, SMALL, note_hit};
use super::pool::{InFlight, NodePool};
use super::queue::{Pipeline, PipelineOutcome, Place};
use crate::clock::Tick;
use crate::net::shares::ClientId;
use crate::proxy::outcome::CacheResult;
use crate::wire::answer::decode::{self, Head};
use crate::wire::length::BodyLength;
use bytes::{Bytes, BytesMut};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// A body up to so many bytes is copied when it is sent, so it need not be copied before: it lives on in what was read
/// together with it for no longer than that.
const COPIED_LATER: usize = 2048;

/// An answer that is waited for. `None`: the node does not hold it, or could not say so.
pub struct PipelinedAnswer {
    place: Rc<Place>,
    pool: Rc<NodePool>,
    asked: Option<Tick>,
    _load: InFlight,
}

/// Asks for what `pool`'s node very likely holds. `None`: there is no room.
pub fn held(pool: &Rc<NodePool>, request: &Request<'_>) -> Option<PipelinedAnswer> {
    let pipeline = &pool.pipeline;
    if pipeline.is_full() {
        return None;
    }
    request.encode(pool.shared.via(request.version), &mut pipeline.unsent.borrow_mut());
    let place = Rc::new(Place::default());
    pipeline.places.borrow_mut().push_back(place.clone());
    wake(pool);
    Some(PipelinedAnswer { place, pool: pool.clone(), asked: pool.sample(), _load: InFlight::new(pool) })
}

impl Future for PipelinedAnswer {
    type Output = Option<NodeAnswer>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<NodeAnswer>> {
        match self.place.outcome.take() {
            PipelineOutcome::Awaited => {
                self.place.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
            PipelineOutcome::Missed => Poll::Ready(None),
            PipelineOutcome::Answered(answer) => {
                let (head, body) = *answer;
                self.pool.node.note_answer();
                if let Some(asked) = self.asked {
                    note_hit(&self.pool, &head, asked);
                }
                self.pool.shared.counters.link_reused.add(1);
                Poll::Ready(Some(NodeAnswer { head, content: NodeContent::Full(body) }))
            }
        }
    }
}

fn wake(pool: &Rc<NodePool>) {
    let pipeline = &pool.pipeline;
    if !pipeline.driven.replace(true) {
        tokio::task::spawn_local(drive(Driven(pool.clone())));
    } else if let Some(driver) = pipeline.driver.take() {
        driver.wake();
    }
}

/// Whoever waits when nobody drives the connection any more, for whatever reason, asks in the ordinary way.
struct Driven(Rc<NodePool>);

impl Drop for Driven {
    fn drop(&mut self) {
        let pipeline = &self.0.pipeline;
        pipeline.driven.set(false);
        pipeline.unsent.borrow_mut().clear();
        let places = std::mem::take(&mut *pipeline.places.borrow_mut());
        places.iter().for_each(|place| place.settle(PipelineOutcome::Missed));
    }
}

/// Takes a connection, for as long as somebody waits.
async fn drive(driven: Driven) {
    let pool = &driven.0;
    if let Ok(conn) = acquire(pool, Want::Any, ClientId::OURS).await {
        conn.link.control.enter(Phase::Head { movable: true });
        let mut flow = Flow { conn };
        match poll_fn(|cx| flow.poll(cx)).await {
            Ok(()) => flow.conn.give_back(),
            Err(broken) => tracing::debug!(node = %pool.node.id, "requests for what it holds: the node {broken}"),
        }
    }
}

/// What goes over the connection.
struct Flow {
    conn: NodeConn,
}

impl Flow {
    /// Ready when nobody waits any more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let pool = self.conn.slot.pool().clone();
        loop {
            self.poll_send(&pool.pipeline, cx)?;
            self.hand_out(&pool)?;
            if pool.pipeline.is_empty() {
                let is_clean = self.conn.link.http.early().is_empty() && pool.pipeline.unsent.borrow().is_empty();
                return Poll::Ready(if is_clean {
                    Ok(())
                } else {
                    Err(LinkError::Protocol("more than was asked for"))
                });
            }
            pool.pipeline.driver.set(Some(cx.waker().clone()));
            ready!(self.poll_read(cx))?;
        }
    }

    /// Sends what the node takes.
    fn poll_send(&mut self, pipeline: &Pipeline, cx: &mut Context<'_>) -> Result<(), LinkError> {
        let mut unsent = pipeline.unsent.borrow_mut();
        let mut sent = 0;
        while sent < unsent.len() {
            match Pin::new(self.conn.link.http.stream()).poll_write(cx, &unsent[sent..]) {
                Poll::Ready(Ok(0)) => return Err(self.conn.died(None, true)),
                Poll::Ready(Ok(n)) => sent += n,
                Poll::Ready(Err(e)) => return Err(self.conn.died(Some(e), true)),
                Poll::Pending => break,
            }
        }
        unsent.drain(..sent);
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match self.conn.link.http.poll_fill(cx) {
            Poll::Ready(Ok(true)) => {
                self.conn.link.control.touch();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(false)) => Poll::Ready(Err(self.conn.died(None, true))),
            Poll::Ready(Err(e)) => Poll::Ready(Err(self.conn.died(Some(e), true))),
            Poll::Pending => self.conn.pending(cx),
        }
    }

    /// Gives each whole answer to whom it is for.
    fn hand_out(&mut self, pool: &NodePool) -> Result<(), LinkError> {
        while !self.conn.link.http.early().is_empty() {
            let Some(answer) = self.next(pool)? else { break };
            let place = pool.pipeline.places.borrow_mut().pop_front();
            let place = place.ok_or(LinkError::Protocol("more than was asked for"))?;
            let keep = answer.0.keep;
            place.settle(match CacheResult::said(answer.0.fields.verdict()) {
                CacheResult::Hit => PipelineOutcome::Answered(Box::new(answer)),
                CacheResult::Miss | CacheResult::Unknown => PipelineOutcome::Missed,
            });
            if !keep {
                return Err(LinkError::Protocol("the end of the connection"));
            }
        }
        Ok(())
    }

    /// The next answer, when all of it is there. What is not small, or of unknown length, keeps nobody waiting: the
    /// connection is given up for it.
    fn next(&mut self, pool: &NodePool) -> Result<Option<(Head, Bytes)>, LinkError> {
        let read = self.conn.link.http.early();
        let head = decode::head(read, pool.shared.http.bounds, false).map_err(LinkError::Protocol)?;
        let Some((head, length)) = head else { return Ok(None) };
        let size = size(&head)?;
        if read.len() < length + size {
            return Ok(None);
        }
        let mut body = read.slice(length..length + size);
        if size > COPIED_LATER {
            body = BytesMut::from(&body[..]).freeze();
        }
        drop(read.split_to(length + size));
        Ok(Some((head, body)))
    }
}

fn size(head: &Head) -> Result<usize, LinkError> {
    match head.ends {
        _ if head.is_interim() => Err(LinkError::Protocol("an interim response")),
        BodyLength::None => Ok(0),
        BodyLength::Sized(size) if size <= SMALL => Ok(size as usize),
        BodyLength::Sized(_) | BodyLength::Chunked | BodyLength::UntilClose => {
            Err(LinkError::Protocol("not a small answer"))
        }
    }
}
