//! One request to one server and the head of its answer, on whatever connection will do.

use super::body::ResponseBody;
use super::conn::{ByteStream, Conn, ExchangeError, Message, NextRead, Question};
use super::pins::Pins;
use super::pool::{Lease, Pool};
use super::upload::Upload;
use crate::net::listen::Stream;
use crate::net::rules::Reach;
use crate::net::shares::ClientId;
use crate::wire::answer::decode::Head;
use crate::wire::answer::fields::Length;
use crate::wire::fault::Whose;
use crate::wire::length::BodyLength;
use crate::wire::written::{field, put};
use http::header::{CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Response};
use hyper::ext::ReasonPhrase;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};

/// Which connections will do.
pub struct ConnWant<'a, S = Stream> {
    pub pool: &'a Rc<Pool<S>>,
    /// Whose share of them it takes from.
    pub of: ClientId,
    /// Those of one client alone.
    pub pins: Option<&'a Rc<Pins<S>>>,
    /// The client is on this machine.
    pub same_machine: bool,
}

/// What came of it.
pub enum Exchanged<S = Stream> {
    /// By [`Question::message`].
    Message(Message),
    Answer(Box<Answer<S>>),
}

/// The head of an answer, and the connection that the rest of it comes on.
pub struct Answer<S = Stream> {
    head: Head,
    lease: Lease<S>,
    upload: Option<Box<Upload>>,
}

/// Sends a request and waits for the head of the answer. A kept connection that proves dead, before anything of an answer, is
/// replaced by a new one, once, where the request may be repeated (RFC 9112 section 9.3.1). `dial`: told whether it is for that.
pub async fn ask<S: ByteStream>(
    want: &ConnWant<'_, S>,
    question: &Question<'_>,
    upload: Option<Box<Upload>>,
    dial: impl AsyncFn(bool) -> Result<Conn<S>, ExchangeError>,
) -> Result<Exchanged<S>, ExchangeError> {
    let allowed = |reach: Reach| reach.allows(want.same_machine);
    // Nobody is logged in on another connection.
    let repeatable = question.idempotent && upload.is_none() && want.pins.is_none();
    let lease = match want.pool.kept(want.of, want.pins, allowed)? {
        Some(lease) => lease,
        // What is rare is boxed: a future is as large as the largest that it may wait for.
        None => Box::pin(want.pool.open(want.of, want.pins, false, allowed, async || dial(false).await)).await?,
    };
    let reused = lease.reused;
    match on(lease, question, upload).await {
        Err(ExchangeError::Ended { heard: false, .. }) if reused && repeatable => {
            let lease = Box::pin(want.pool.open(want.of, want.pins, true, allowed, async || dial(true).await)).await?;
            on(lease, question, None).await
        }
        result => result,
    }
}

async fn on<S: ByteStream>(
    mut lease: Lease<S>,
    question: &Question<'_>,
    mut upload: Option<Box<Upload>>,
) -> Result<Exchanged<S>, ExchangeError> {
    lease.conn.begin();
    lease.conn.moved();
    // Taken with the answer.
    let mut lease = Some(lease);
    poll_fn(|cx| {
        let Some((conn, limits)) = lease.as_mut().map(Lease::parts) else { return Poll::Pending };
        let next = ready!(conn.poll_exchange(cx, question, limits, &mut upload))?;
        let Some(lease) = lease.take() else { return Poll::Pending };
        Poll::Ready(Ok(match next {
            NextRead::Head(head) => Exchanged::Answer(Box::new(Answer::new(head, lease, upload.take()))),
            NextRead::Message(message, keep) => {
                Some(lease).filter(|_| keep).into_iter().for_each(Lease::give_back);
                Exchanged::Message(message)
            }
        }))
    })
    .await
}

impl<S: ByteStream> Answer<S> {
    fn new(mut head: Head, mut lease: Lease<S>, mut upload: Option<Box<Upload>>) -> Answer<S> {
        // Refused before it began (RFC 9110 section 10.1.1): the server still waits for the body, or knows that none comes.
        // And where it has taken no more of it, it takes no other request for one either.
        if let Some(gone) = upload.take_if(|upload| upload.is_held_back() || upload.has_ended()) {
            head.keep &= gone.is_done();
        }
        // It asks who is at the other end of it: that is nobody else from now on.
        head.keep &= lease.pin(head.keep) || !head.challenges;
        Answer { head, lease, upload }
    }

    /// Who may see what came from there.
    pub fn reach(&self) -> Reach {
        self.lease.conn.reach()
    }

    /// With a map of its fields, and how its body ends. `whose`: the server's fault is that one's.
    pub fn into_response(self, whose: Whose) -> (Response<Box<ResponseBody<S>>>, BodyLength) {
        let Answer { mut head, lease, upload } = self;
        let mut ends = head.ends;
        if let (BodyLength::Chunked, Some(length)) = (ends, head.told_length) {
            ends = BodyLength::Sized(length);
            head.fields.set_length(Length::Once(length));
        }
        let mut response = Response::new(Box::new(ResponseBody::new(lease, &head, upload, whose)));
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        let canonical = head.status.canonical_reason().map(str::as_bytes);
        if canonical != Some(head.fields.reason())
            && let Ok(reason) = ReasonPhrase::try_from(head.fields.reason())
        {
            response.extensions_mut().insert(reason);
        }
        *response.headers_mut() = match whose {
            Whose::Peer => head.fields.map_of_link(),
            _ => head.fields.map(),
        };
        (response, ends)
    }
}

/// The head of a request.
pub fn head(method: &Method, target: &str, headers: &HeaderMap, upload: Option<&Upload>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + target.len() + 48 * headers.len());
    put(&mut out, &[method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
    let frames = |name: &HeaderName| upload.is_some() && (*name == CONTENT_LENGTH || *name == TRANSFER_ENCODING);
    for (name, value) in headers.iter().filter(|(name, _)| !frames(name)) {
        field(&mut out, name.as_str().as_bytes(), value.as_bytes());
    }
    match upload.map(Upload::length) {
        Some(Some(length)) => field(&mut out, b"content-length", length.to_string().as_bytes()),
        Some(None) => field(&mut out, b"transfer-encoding", b"chunked"),
        None => {}
    }
    out.extend_from_slice(b"\r\n");
    out
}
