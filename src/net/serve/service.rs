//! What a connection asks of whoever answers its requests: first what needs no waiting, then what is waited for.

use super::body::{AnswerBody, Carrier, ClientBody};
use super::end::BoxError;
use super::head::{HeadRefusal, RequestHead};
use super::interim::Interim;
use super::io::Upgrade;
use super::limits::ServerLimits;
use super::payload::Payload;
use super::state::ConnState;
use crate::net::listen::Stream;
use crate::wire::fault::Fault;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::cell::Cell;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// What answers the requests of one connection.
pub trait Service {
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + AnswerBody + Unpin;

    /// Decides all of a request that needs no waiting. Only where something has to be waited for is a future made for it.
    fn begin(&self, request: &ServiceRequest<'_>, out: &mut Vec<u8>) -> ServiceStep<Self::Body>;

    /// The client has said something that is no request, or not yet: whatever it is, it takes the other end for whom it wants.
    fn heard(&self) {}

    /// What came is no request, or came too slowly: the connection answers with this, and ends.
    fn refused(&self, _: &Fault) {}

    /// Ready when something has ended elsewhere that the connection stands for: it ends too, behind the answer that is on its
    /// way. Asked between two requests.
    fn poll_over(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// What a request came to without waiting.
pub enum ServiceStep<B> {
    /// It is answered: its head of so many bytes was appended, which says how long the content is; perhaps the content too.
    /// The rest of that is here.
    Answer(usize, Payload),
    Finish(Finish<B>),
    Refuse(HeadRefusal),
}

/// An answer that is waited for.
pub type Finish<B> = Pin<Box<dyn Future<Output = Finished<B>>>>;

/// What was waited for.
pub enum Finished<B> {
    /// A whole head and a whole body, as they are to be written.
    Bytes(Vec<u8>, Payload),
    /// The same in one piece ([`super::room_for_message`]), and how long its head is.
    Message(Vec<u8>, usize),
    Response(Response<B>),
}

/// A request, as the service is given it.
pub struct ServiceRequest<'a> {
    head: &'a RequestHead<'a>,
    carrier: Carrier<'a>,
    state: &'a Arc<ConnState>,
    limits: &'a ServerLimits,
    offer: Cell<Option<Offer>>,
}

pub(super) type Offer = oneshot::Sender<(Stream, Bytes)>;

impl<'a> ServiceRequest<'a> {
    pub(super) fn new(
        head: &'a RequestHead<'a>,
        carrier: Carrier<'a>,
        state: &'a Arc<ConnState>,
        limits: &'a ServerLimits,
    ) -> ServiceRequest<'a> {
        ServiceRequest { head, carrier, state, limits, offer: Cell::default() }
    }

    /// Who is to be given the connection, where it may be taken for another protocol.
    pub(super) fn take_offer(&self) -> Option<Offer> {
        self.offer.take()
    }
}

impl<'a> Deref for ServiceRequest<'a> {
    type Target = RequestHead<'a>;

    fn deref(&self) -> &RequestHead<'a> {
        self.head
    }
}

impl ServiceRequest<'_> {
    /// Its content, and what else belongs to its exchange. To be called once, where the answer is waited for.
    pub fn body(&self) -> ClientBody {
        let body = ClientBody::new(&self.head.says, self.carrier, self.state, self.limits.head);
        if !self.head.says.connect && !self.head.says.upgrade {
            return body;
        }
        let (offer, upgrade) = Upgrade::offer();
        self.offer.set(Some(offer));
        body.with_upgrade(upgrade)
    }

    /// The same with another target.
    pub fn aimed<T>(&self, target: &[u8], ask: impl FnOnce(&ServiceRequest<'_>) -> T) -> T {
        let aimed = self.head.aimed(target);
        let other = ServiceRequest::new(&aimed, self.carrier, self.state, self.limits);
        let asked = ask(&other);
        self.offer.set(other.take_offer());
        asked
    }

    /// What sends interim responses to it.
    pub fn interim(&self) -> Interim {
        Interim::of_next(self.state, &self.head.says)
    }

    /// The same as a request that lives on.
    pub fn request(&self) -> Result<Request<ClientBody>, HeadRefusal> {
        Ok(self.head.request()?.map(|()| self.body()))
    }
}

/// A service that is asked by requests alone, and always waits.
pub struct ByRequest<S>(pub S);

impl<S, F, B> Service for ByRequest<S>
where
    S: Fn(Request<ClientBody>) -> F,
    F: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + AnswerBody + Unpin + 'static,
{
    type Body = B;

    fn begin(&self, request: &ServiceRequest<'_>, _: &mut Vec<u8>) -> ServiceStep<B> {
        match request.request() {
            Ok(request) => {
                let answering = (self.0)(request);
                ServiceStep::Finish(Box::pin(async move { Finished::Response(answering.await) }))
            }
            Err(why) => ServiceStep::Refuse(why),
        }
    }
}
