//! One request and its answer, on a stream.

use super::answered;
use super::content::{AnswerContent, length};
use super::fields;
use super::outlet::{Outlet, Way};
use crate::account;
use crate::clock::tick;
use crate::net::serve::answer::BodyPiece;
use crate::net::serve::body::{AnswerBody, Carrier, ServerReply};
use crate::net::serve::end::BoxError;
use crate::net::serve::head::{self, HeadRefusal, Read};
use crate::net::serve::held::{self, WaitingAnswer, WaitingHead};
use crate::net::serve::manners::{self, ConnStanding};
use crate::net::serve::out;
use crate::net::serve::says::Says;
use crate::net::serve::service::{Finish, Finished, Service, ServiceRequest, ServiceStep};
use crate::net::serve::state::Half;
use crate::net::serve::streamed::StreamContent;
use crate::net::serve::sweep::{Order, SweepPlace};
use crate::net::serve::words;
use crate::net::serve::written;
use crate::wire::connection_auth;
use crate::wire::field::FieldId;
use crate::wire::hop;
use crate::wire::length::BodyLength;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Another request's answer is as good on its connection: nothing of a connection is any stream's.
const STANDING: ConnStanding = ConnStanding { is_last: false, is_uploading: false };

/// No content behind a head, or all that there is of it is in hand.
type NoContent = AnswerContent<Full<Bytes>>;

/// How it ended, as far as that is the connection's matter.
pub(super) enum StreamEnd {
    Answered,
    /// By the client, before there was an answer.
    GivenUp,
    /// Since others need the memory that it held for a client that did not take it.
    Cut,
}

/// How a stream is left.
enum StreamLeft {
    /// The client has reset it, or the connection has ended.
    Gone,
    Stalled,
    Broken(BoxError),
    /// HTTP/1.1 has what it asks for, and this has not (RFC 9113 section 7).
    OtherVersion,
}

/// What a request came to at once.
enum StreamStep<B> {
    /// A head, and so much of the content as is behind it.
    Answer(Bytes, Bytes),
    Finish(Finish<B>, Says, Option<WaitingHead>),
}

/// See the module. `place`: its own in the sweep. `outlet`: of its connection.
pub(super) async fn exchange<S: Service>(
    (request, respond): (Request<RecvStream>, SendResponse<Bytes>),
    service: Rc<S>,
    place: SweepPlace,
    outlet: Rc<Outlet>,
) -> StreamEnd {
    let mut stream = ServerStream { respond, way: Way::new(outlet), waits: None, place };
    let left = stream.serve(request, &*service).await;
    let has_answered = stream.place.state().has_answered();
    match left {
        Ok(()) => {}
        Err(StreamLeft::Gone) if has_answered => {}
        Err(StreamLeft::Gone) => return StreamEnd::GivenUp,
        Err(StreamLeft::Stalled) => {
            stream.respond.send_reset(Reason::CANCEL);
            if stream.is_in_time() {
                return StreamEnd::Cut;
            }
        }
        Err(StreamLeft::OtherVersion) => stream.respond.send_reset(Reason::HTTP_1_1_REQUIRED),
        Err(StreamLeft::Broken(why)) => {
            tracing::debug!("a stream ended: broken: {why}");
            // What came before goes out first.
            tokio::task::yield_now().await;
            stream.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
    StreamEnd::Answered
}

struct ServerStream {
    respond: SendResponse<Bytes>,
    way: Way,
    /// What is in hand of an answer that the client does not take.
    waits: Option<WaitingAnswer>,
    place: SweepPlace,
}

impl ServerStream {
    /// Asks the service, and answers.
    async fn serve<S: Service>(&mut self, request: Request<RecvStream>, service: &S) -> Result<(), StreamLeft> {
        let (finish, says, room) = match self.begin(request, service)? {
            StreamStep::Answer(head, content) => return self.send_bytes(head, content).await,
            StreamStep::Finish(finish, says, room) => (finish, says, room),
        };
        let state = self.place.state().clone();
        let half = Half::begin(&state);
        state.asked();
        let given = self.wait(finish).await?;
        state.answered();
        drop(room);
        match given {
            Finished::Response(response) => {
                self.send(response.map(|body| ServerReply::new(body, half)), &says).await?;
            }
            Finished::Bytes(head, body) => self.send_bytes(head.into(), body.bytes().clone()).await?,
            Finished::Message(mut message, head) => {
                let content = Bytes::copy_from_slice(message.get(head..).unwrap_or_default());
                message.truncate(head);
                self.send_bytes(Bytes::copy_from_slice(&message), content).await?;
                out::take_back(message);
            }
        }
        // It was answered early, and somebody reads on.
        poll_fn(|cx| {
            self.heed(cx)?;
            if state.uploads() {
                state.listen(cx.waker());
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// What needs no waiting.
    fn begin<S: Service>(
        &mut self,
        request: Request<RecvStream>,
        service: &S,
    ) -> Result<StreamStep<S::Body>, StreamLeft> {
        let (parts, stream) = request.into_parts();
        let limits = self.place.limits();
        let refuse = |why, text: &[u8]| {
            let fault = words::refusal(why, text, limits);
            service.refused(&fault);
            let (head, content) = words::answer(&fault);
            Ok(StreamStep::Answer(head.into(), content.into()))
        };
        let text = match fields::head(&parts, stream.is_end_stream()) {
            Ok(text) => text,
            Err(why) => return refuse(HeadRefusal::Malformed(why), &[]),
        };
        drop(parts);
        let (mut slots, mut ids) = (Vec::new(), Vec::new());
        slots.resize_with(limits.fields, MaybeUninit::uninit);
        ids.resize(limits.fields, FieldId::Other);
        let mut head = match head::read(&text, limits, &mut slots, &mut ids) {
            Read::Head(head) => head,
            Read::TooFewSlots => return refuse(HeadRefusal::TooManyFields, &text),
            Read::Partial => return refuse(HeadRefusal::TooLong, &text),
            Read::Refused(why) => return refuse(why, &text),
        };
        head.says.two = true;
        // What a login is for is the connection, which is everybody's here.
        if head.lines().any(|(id, _, value)| id == FieldId::Authorization && connection_auth::authorizes(value)) {
            return Err(StreamLeft::OtherVersion);
        }
        let Ok(room) = held::wait(self.place.source(), text.len(), limits.copies) else {
            return refuse(HeadRefusal::NoRoom, &text);
        };
        let content = Cell::new(Some(StreamContent::new(stream)));
        let asked = ServiceRequest::new(&head, Carrier::Stream(&content), self.place.state(), limits);
        let step = out::with_head(|out| match service.begin(&asked, out) {
            ServiceStep::Answer(head, body) => {
                let content = match &out[head..] {
                    [] => body.bytes().clone(),
                    behind => [behind, body.bytes()].concat().into(),
                };
                Ok(StreamStep::Answer(Bytes::copy_from_slice(&out[..head]), content))
            }
            ServiceStep::Finish(finish) => Ok(StreamStep::Finish(finish, asked.says, room)),
            ServiceStep::Refuse(why) => Err(why),
        });
        step.or_else(|why| refuse(why, &text))
    }

    /// Waits for an answer, as long as the client does.
    async fn wait<T>(&mut self, answering: impl Future<Output = T>) -> Result<T, StreamLeft> {
        let mut answering = pin!(answering);
        poll_fn(|cx| {
            self.heed(cx)?;
            let answered = answering.as_mut().poll(cx);
            self.place.state().listen(cx.waker());
            self.say_meanwhile(cx);
            if let Poll::Ready(answer) = answered {
                return Poll::Ready(Ok(answer));
            }
            self.way.passes();
            self.respond.poll_reset(cx).map(|_| Err(StreamLeft::Gone))
        })
        .await
    }

    /// Sends the interim responses that wait, when the socket takes what was said before.
    fn say_meanwhile(&mut self, cx: &Context<'_>) {
        let state = self.place.state();
        let Some(mut rest) = state.rest() else { return };
        if self.way.poll_room(cx).is_pending() {
            // Who takes none of them waits for the answer alone.
            if !self.way.keeps_meanwhile(rest.len()) {
                rest.truncate(self.way.meanwhile());
            }
            return;
        }
        let mut left = Bytes::from(std::mem::take(&mut *rest));
        state.no_rest();
        drop(rest);
        self.way.keeps_meanwhile(0);
        while let Some((answer, behind)) = answered::of(left.clone()) {
            let bytes = left.len() - behind.len();
            left = behind;
            // They are optional.
            if self.respond.send_informational(answer).is_ok() {
                self.way.handed(bytes);
            }
        }
    }

    async fn send<B>(&mut self, response: Response<ServerReply<B>>, says: &Says) -> Result<(), StreamLeft>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + AnswerBody + Unpin,
    {
        let (answer, body) = response.into_parts();
        let shape = manners::settle(&answer, &body.body.size_hint(), says, STANDING);
        let date = out::date(self.place.limits());
        let mut head = Vec::with_capacity(512);
        written::write_head(&answer, shape, date.as_ref().map(|date| &date[..]), &mut head);
        drop(answer);
        let left = match shape.framing {
            BodyLength::None | BodyLength::Sized(0) => return self.send_bytes(head.into(), Bytes::new()).await,
            BodyLength::Sized(length) => Some(length),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        };
        let source = AnswerContent::new(body, left, says.trailers);
        self.send_all(head.into(), Bytes::new(), Some(source)).await
    }

    /// An answer that is there as a whole.
    async fn send_bytes(&mut self, head: Bytes, content: Bytes) -> Result<(), StreamLeft> {
        if !content.is_empty() {
            self.place.state().answered();
        }
        self.send_all(head, content, None::<NoContent>).await
    }

    /// `piece`: what is there of its content.
    async fn send_all<B>(
        &mut self,
        head: Bytes,
        mut piece: Bytes,
        mut source: Option<AnswerContent<B>>,
    ) -> Result<(), StreamLeft>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let ends = piece.is_empty() && source.is_none();
        poll_fn(|cx| self.poll_head(&head, &mut piece, &mut source, cx)).await?;
        let (bytes, head) = (head.len(), answered::of(head));
        let (answer, _) = head.ok_or_else(|| StreamLeft::Broken("an answer of ours has no head".into()))?;
        let mut send = self.respond.send_response(answer, ends).map_err(|_| StreamLeft::Gone)?;
        self.way.handed(bytes);
        if ends {
            return Ok(());
        }
        poll_fn(|cx| self.poll_content(&mut send, &mut piece, &mut source, cx)).await?;
        self.goes_on();
        Ok(())
    }

    /// Waits until there is room for the head, with what has come of the content: whatever waits is in hand, and told.
    fn poll_head<B>(
        &mut self,
        head: &Bytes,
        piece: &mut Bytes,
        source: &mut Option<AnswerContent<B>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamLeft>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        self.heed(cx)?;
        self.say_meanwhile(cx);
        if self.way.poll_room(cx).is_ready() {
            self.goes_on();
            return Poll::Ready(Ok(()));
        }
        if self.respond.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(StreamLeft::Gone));
        }
        let mut nothing = Bytes::new();
        let (more, piece) = match source {
            Some(source) if self.waits.is_none() => source.look_ahead(cx),
            Some(_) => (0, None),
            None => (0, Some(piece)),
        };
        self.waits_in_line(head.len() + more, piece.unwrap_or(&mut nothing)).map(Err)
    }

    /// Sends the content. No more is handed over than the client has room for, and its socket takes.
    fn poll_content<B>(
        &mut self,
        send: &mut SendStream<Bytes>,
        piece: &mut Bytes,
        source: &mut Option<AnswerContent<B>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamLeft>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        loop {
            self.heed(cx)?;
            if send.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(StreamLeft::Gone));
            }
            if self.way.poll_room(cx).is_pending() {
                return self.waits_in_line(0, piece).map(Err);
            }
            if piece.is_empty() {
                self.goes_on();
                let next = match source {
                    Some(source) => source.poll(cx),
                    None => Poll::Ready(BodyPiece::End),
                };
                match next {
                    Poll::Pending => {
                        self.way.passes();
                        return Poll::Pending;
                    }
                    Poll::Ready(BodyPiece::Data(data)) => *piece = data,
                    Poll::Ready(BodyPiece::Trailers(mut fields)) => {
                        hop::strip_trailers(&mut fields);
                        self.way.handed(length(&fields));
                        return Poll::Ready(send.send_trailers(fields).map_err(|_| StreamLeft::Gone));
                    }
                    Poll::Ready(BodyPiece::End) => {
                        return Poll::Ready(send.send_data(Bytes::new(), true).map_err(|_| StreamLeft::Gone));
                    }
                    Poll::Ready(BodyPiece::Broken(why)) => return Poll::Ready(Err(StreamLeft::Broken(why))),
                }
            }
            send.reserve_capacity(piece.len());
            let room = send.capacity().min(piece.len());
            if room == 0 {
                match send.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(_) => return Poll::Ready(Err(StreamLeft::Gone)),
                    Poll::Pending => {
                        self.way.passes();
                        return self.waits_for_client(0, piece).map(Err);
                    }
                }
            }
            let part = piece.split_to(room);
            let is_last = piece.is_empty() && source.as_ref().is_none_or(AnswerContent::is_over);
            send.send_data(part, is_last).map_err(|_| StreamLeft::Gone)?;
            self.way.handed(room);
            self.place.state().took();
            if is_last {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// It has to wait for the client, with this in hand, which is in the account from now on; or there is no room for that.
    fn waits_for_client(&mut self, head: usize, piece: &mut Bytes) -> Poll<StreamLeft> {
        let state = self.place.state();
        if self.waits.is_none() && (head > 0 || !piece.is_empty()) {
            let bytes = head + held::piece_in_hand(piece);
            let Ok(waits) = WaitingAnswer::new(self.place.source(), bytes) else {
                account::count_cut();
                state.stalls();
                return Poll::Ready(StreamLeft::Stalled);
            };
            state.set_answer_bytes(waits.bytes());
            self.waits = Some(waits);
        }
        state.set_in_line(false);
        state.write_pending(piece);
        Poll::Pending
    }

    /// The same behind others of its connection.
    fn waits_in_line(&mut self, head: usize, piece: &mut Bytes) -> Poll<StreamLeft> {
        let waits = self.waits_for_client(head, piece);
        self.place.state().set_in_line(true);
        waits
    }

    /// Whether its client has not been silent for as long as it may.
    fn is_in_time(&self) -> bool {
        let silence = self.place.state().waits_for(tick());
        self.place.limits().stall.is_none_or(|limit| silence < limit)
    }

    /// Nothing is in hand, and its client takes what there is.
    fn goes_on(&mut self) {
        let state = self.place.state();
        if self.waits.take().is_some() {
            state.set_answer_bytes(0);
        }
        if state.write_waits() {
            state.took();
        }
    }

    /// Takes the sweeper's orders. All but one are its connection's to follow.
    fn heed(&mut self, cx: &Context<'_>) -> Result<(), StreamLeft> {
        self.place.listen(cx.waker());
        let state = self.place.state();
        if self.place.take_order() == Order::Stalled && state.waits_for_peer() {
            state.stalls();
            return Err(StreamLeft::Stalled);
        }
        Ok(())
    }
}
