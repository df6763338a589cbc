//! One connection to a node.

use super::broken::LinkError;
use super::control::Phase;
use super::encode::Request;
use super::kept::KeptConn;
use super::pool::Slot;
use super::tie::Tied;
use crate::net::http1::{self, NextRead, Question, Upload};
use crate::net::listen::Stream;
use crate::net::pipe::{PassError, PassedOn};
use crate::wire::answer::decode::Head;
use crate::wire::hop;
use bytes::BytesMut;
use http::{Method, StatusCode};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

/// A connection in use. Dropped, it is closed; [`NodeConn::give_back`] returns it to its pool.
pub struct NodeConn {
    pub link: KeptConn,
    pub slot: Slot,
    /// Whose it is, where it is one client's alone.
    pub tie: Option<Tied>,
}

impl NodeConn {
    pub fn new(link: KeptConn, slot: Slot) -> NodeConn {
        NodeConn { link, slot, tie: None }
    }

    /// Back to the pool it came from, for the next request; or to whose it is.
    pub fn give_back(mut self) {
        let tie = self.tie.take();
        let NodeConn { link, slot, .. } = self;
        match tie {
            Some(tie) => tie.put(link, slot),
            None => slot.give_back(link),
        }
    }

    /// Writes a request head; nearly always one write and no allocation.
    pub async fn send(&mut self, request: &Request<'_>, movable: bool) -> Result<(), LinkError> {
        self.link.control.enter(Phase::Head { movable });
        self.link.http.begin();
        let shared = self.slot.pool().shared.clone();
        poll_fn(|cx| {
            let mut buf = shared.write.borrow_mut();
            buf.clear();
            request.encode(shared.via(request.version), &mut buf);
            match self.link.http.poll_send(cx, &buf) {
                Poll::Ready(sent) => Poll::Ready(sent.map_err(|broken| self.broken(broken))),
                Poll::Pending => self.pending(cx),
            }
        })
        .await
    }

    /// Reads heads until one that is final (or 101), and sends meanwhile what the node takes of a body: at once, or when it
    /// says `100 Continue`, or says nothing for a while.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        upload: &mut Option<Box<Upload>>,
    ) -> Poll<Result<Head, LinkError>> {
        let KeptConn { http, control } = &mut self.link;
        let question = Question {
            head: &[],
            bodiless: *request.method == Method::HEAD,
            idempotent: false,
            interim: &|head| {
                control.touch();
                pass_on(head, request);
            },
            message: None,
        };
        let before = upload.as_deref().map(Upload::moves);
        match http.poll_exchange(cx, &question, &self.slot.pool().shared.http, upload) {
            Poll::Ready(Ok(NextRead::Head(head))) => Poll::Ready(Ok(head)),
            Poll::Ready(Ok(NextRead::Message(..))) => {
                Poll::Ready(Err(LinkError::Protocol("a message that nobody made")))
            }
            Poll::Ready(Err(broken)) => Poll::Ready(Err(self.broken(broken))),
            Poll::Pending => {
                if let Some(upload) = upload {
                    self.note(upload, before);
                }
                self.pending(cx)
            }
        }
    }

    /// What a request's body is waiting for.
    fn note(&self, upload: &Upload, before: Option<u32>) {
        let sends = !upload.is_held_back() && !upload.has_ended();
        let phase = if sends { Phase::Sending } else { Phase::Head { movable: false } };
        match self.link.control.phase() == phase {
            true if before == Some(upload.moves()) => {}
            true => self.link.control.touch(),
            false => self.link.control.enter(phase),
        }
    }

    /// Reads a piece of a body into `buf`, of `room` bytes at most; 0 bytes: the connection has ended.
    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        room: usize,
    ) -> Poll<Result<usize, LinkError>> {
        match self.link.http.poll_piece(cx, buf, room) {
            Poll::Ready(Ok(n)) => Poll::Ready(Ok(n)),
            Poll::Ready(Err(e)) => Poll::Ready(Err(self.died(Some(e), false))),
            Poll::Pending => self.pending(cx),
        }
    }

    /// Moves up to `most` bytes of a body to a client, without a copy.
    pub fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        to: &Stream,
        (most, more): (usize, bool),
    ) -> Poll<Result<Result<PassedOn, PassError>, LinkError>> {
        match self.link.http.poll_pass(cx, to, most, more) {
            Poll::Ready(passed) => Poll::Ready(Ok(passed)),
            Poll::Pending => self.pending(cx),
        }
    }

    /// Moves what can be moved of a request's body, beside the answer's.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>, upload: &mut Upload) -> Poll<Result<(), LinkError>> {
        let before = upload.moves();
        let sent = self.link.http.poll_upload(cx, upload);
        if upload.moves() != before {
            self.link.control.touch();
        }
        sent.map_err(|why| LinkError::Client(why.to_string()))
    }

    /// Waits for the node, or for the sweep to give it up.
    pub fn pending<T>(&self, cx: &Context<'_>) -> Poll<Result<T, LinkError>> {
        if self.link.control.is_abandoned() {
            return Poll::Ready(Err(LinkError::Abandoned));
        }
        self.link.control.wait(cx);
        Poll::Pending
    }

    pub fn died(&self, source: Option<io::Error>, silent: bool) -> LinkError {
        LinkError::Died { silent, source }
    }

    fn broken(&mut self, broken: http1::ExchangeError) -> LinkError {
        match broken {
            http1::ExchangeError::Ended { source, .. } => {
                let silent = self.link.http.early().is_empty();
                self.died(source, silent)
            }
            http1::ExchangeError::Unread(why) => LinkError::Protocol(why),
            http1::ExchangeError::Upload(why) => LinkError::Client(why.to_string()),
            // The pool and the sweep see to these.
            http1::ExchangeError::Full | http1::ExchangeError::Unconnected(_) => LinkError::Full,
            http1::ExchangeError::Late(_) => LinkError::Abandoned,
        }
    }
}

/// RFC 9110 section 15.2: interim responses are forwarded, but for the `100 Continue` that was asked for on the link: the
/// client's own is sent when its body is read.
fn pass_on(head: Head, request: &Request<'_>) {
    if let Some(interim) = request.interim.filter(|_| !(request.expect && head.status == StatusCode::CONTINUE)) {
        let mut headers = head.fields.map();
        hop::strip(&mut headers);
        interim.send(head.status, &headers);
    }
}
