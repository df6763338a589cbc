//! How an answer is written: its head, and its body as it comes.

use super::ServerConn;
use crate::net::serve::answer::{BodyPiece, Rest};
use crate::net::serve::body::{AnswerBody, Passing, ServerReply};
use crate::net::serve::end::BoxError;
use crate::net::serve::left::Left;
use crate::net::serve::payload::Payload;
use crate::net::serve::says::Says;
use crate::net::serve::service::{Offer, Service};
use crate::net::serve::written::{self, Shape};
use crate::net::serve::{manners, out};
use bytes::Bytes;
use http::{Response, response};
use http_body::Body;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

impl<S: Service> ServerConn<'_, S> {
    /// Whether its connection ends with it.
    pub(super) async fn send(
        &mut self,
        response: Response<ServerReply<S::Body>>,
        says: &Says,
        offer: Option<Offer>,
    ) -> Result<bool, Left> {
        let (answer, body) = response.into_parts();
        let state = self.watch.state();
        let shape = manners::settle(&answer, &body.body.size_hint(), says, self.standing());
        if shape.lingers {
            state.said_last();
        }
        self.write(&answer, body, shape, says).await?;
        if let (true, Some(offer)) = (shape.hands_over, offer) {
            self.watch.state().flushed();
            return Err(Left::Taken(offer));
        }
        Ok(shape.close)
    }

    pub(super) async fn send_bytes(&mut self, head: &mut Vec<u8>, mut body: Payload) -> Result<(), Left> {
        let mut fresh = true;
        poll_fn(|cx| {
            self.heed(cx)?;
            let io = &mut *self.io.borrow_mut();
            ready!(self.out.poll_before(io, cx)).map_err(|e| Left::Broken(e.into()))?;
            if !std::mem::take(&mut fresh) {
                return Poll::Ready(Ok(()));
            }
            self.out.write_all(io, cx, head, std::mem::take(&mut body)).map_err(|e| Left::Broken(e.into()))
        })
        .await
    }

    /// Writes an answer, with as much of its body as is there in the same call.
    async fn write(
        &mut self,
        answer: &response::Parts,
        mut body: ServerReply<S::Body>,
        shape: Shape,
        says: &Says,
    ) -> Result<(), Left> {
        let mut left = Rest::of(shape.framing);
        let mut fresh = true;
        // Why there is no more of it; what came before, the head at least, goes out first.
        let mut broken = None;
        loop {
            let ended = poll_fn(|cx| {
                self.heed(cx)?;
                ready!(self.out.poll_before(&mut self.io.borrow_mut(), cx)).map_err(|e| Left::Broken(e.into()))?;
                if let Some(why) = broken.take() {
                    return Poll::Ready(Err(Left::cut(shape, why)));
                }
                if left == Rest::Nothing && !fresh {
                    return Poll::Ready(Ok(true));
                }
                if let (Rest::Bytes(more), false) = (&mut left, fresh) {
                    let passed = self.poll_pass(&mut body.body, cx);
                    match passed.map_err(|why| Left::cut(shape, why))? {
                        Poll::Ready(Passing::Sent(sent)) => {
                            *more = more.saturating_sub(sent as u64);
                            self.out.passed(*more > 0);
                            return Poll::Ready(Ok(*more == 0));
                        }
                        Poll::Ready(Passing::Failed(e)) => return Poll::Ready(Err(Left::Broken(e.into()))),
                        Poll::Ready(Passing::Polled) => {}
                        Poll::Pending => {
                            self.out.push(&self.io.borrow());
                            return self.poll_gone(cx).map(|()| Err(Left::gone()));
                        }
                    }
                }
                let piece = match left {
                    Rest::Nothing => Some(BodyPiece::End),
                    _ => match BodyPiece::poll(&mut body.body, says.trailers, cx) {
                        Poll::Ready(piece) => Some(piece),
                        Poll::Pending => None,
                    },
                };
                if piece.is_none() && !fresh {
                    self.out.push(&self.io.borrow());
                    return self.poll_gone(cx).map(|()| Err(Left::gone()));
                }
                let (is_last, is_there) = (body.body.is_end_stream(), piece.is_some());
                out::with_head(|head| {
                    if std::mem::take(&mut fresh) {
                        written::write_head(
                            answer,
                            shape,
                            out::date(self.watch.limits()).as_ref().map(|d| &d[..]),
                            head,
                        );
                    }
                    let written = left.take(piece, is_last, head).unwrap_or_else(|why| {
                        broken = Some(why);
                        (Bytes::new(), b"")
                    });
                    let more = is_there && broken.is_none() && matches!(left, Rest::Bytes(_)) && self.passes();
                    match self.out.write(&mut self.io.borrow_mut(), cx, head, written, more) {
                        Poll::Ready(Err(e)) => Poll::Ready(Err(Left::Broken(e.into()))),
                        Poll::Ready(Ok(())) => match broken.take() {
                            Some(why) => Poll::Ready(Err(Left::cut(shape, why))),
                            None => Poll::Ready(Ok(left == Rest::Nothing)),
                        },
                        Poll::Pending => Poll::Pending,
                    }
                })
            });
            let ended = ended.await;
            if ended.is_err() {
                // Closed with something unread, a connection loses what has not left yet.
                self.out.push(&self.io.borrow());
            }
            if ended? {
                return Ok(());
            }
        }
    }

    /// Whether the client's connection sends what it is given at once.
    fn passes(&self) -> bool {
        *self.passes.get_or_init(|| !self.io.borrow().stream.is_paced())
    }

    /// What may go to the client without a copy, as long as it takes that. While a request's body is read nothing does: whoever
    /// reads that needs the connection for itself.
    fn poll_pass(&self, body: &mut S::Body, cx: &mut Context<'_>) -> Poll<Result<Passing, BoxError>> {
        let io = self.io.borrow();
        if self.watch.state().is_uploading() || !io.stream.has_room(cx) || !self.passes() {
            return Poll::Ready(Ok(Passing::Polled));
        }
        let passed = ready!(body.poll_pass(&io.stream, cx));
        if matches!(passed, Ok(Passing::Sent(_))) {
            io.state.written();
        }
        Poll::Ready(passed)
    }
}
