//! One request and its answer, on a stream.

use super::answered;
use super::fields;
use crate::net::serve::answer::BodyPiece;
use crate::net::serve::body::{Carrier, Counted, ServerReply};
use crate::net::serve::end::BoxError;
use crate::net::serve::head::{self, HeadRefusal, Read};
use crate::net::serve::held::{self, WaitingHead};
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
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Another request's answer is as good on its connection: nothing of a connection is any stream's.
const STANDING: ConnStanding = ConnStanding { is_last: false, is_uploading: false };

/// How it ended, as far as that is the connection's matter.
pub(super) enum StreamEnd {
    Answered,
    /// By the client, before there was an answer.
    GivenUp,
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

/// See the module. `place`: its own in the sweep.
pub(super) async fn exchange<S: Service>(
    (request, respond): (Request<RecvStream>, SendResponse<Bytes>),
    service: Rc<S>,
    place: SweepPlace,
) -> StreamEnd {
    let mut stream = ServerStream { respond, place };
    let left = stream.serve(request, &*service).await;
    let has_answered = stream.place.state().has_answered();
    match left {
        Ok(()) => {}
        Err(StreamLeft::Gone) if has_answered => {}
        Err(StreamLeft::Gone) => return StreamEnd::GivenUp,
        Err(StreamLeft::Stalled) => stream.respond.send_reset(Reason::CANCEL),
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
            self.say_meanwhile();
            if let Poll::Ready(answer) = answered {
                return Poll::Ready(Ok(answer));
            }
            self.respond.poll_reset(cx).map(|_| Err(StreamLeft::Gone))
        })
        .await
    }

    /// Sends the interim responses that wait.
    fn say_meanwhile(&mut self) {
        let state = self.place.state();
        let Some(mut rest) = state.rest() else { return };
        let mut left = Bytes::from(std::mem::take(&mut *rest));
        state.no_rest();
        drop(rest);
        while let Some((answer, behind)) = answered::of(left) {
            left = behind;
            // They are optional.
            _ = self.respond.send_informational(answer);
        }
    }

    async fn send<B>(&mut self, response: Response<ServerReply<B>>, says: &Says) -> Result<(), StreamLeft>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Counted + Unpin,
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
        let send = self.begin_answer(head.into(), false)?;
        let source = AnswerContent { body, left, trailers: says.trailers };
        self.send_content(send, Bytes::new(), Some(source)).await
    }

    /// An answer that is there as a whole.
    async fn send_bytes(&mut self, head: Bytes, content: Bytes) -> Result<(), StreamLeft> {
        let send = self.begin_answer(head, content.is_empty())?;
        if content.is_empty() {
            return Ok(());
        }
        self.place.state().answered();
        self.send_content(send, content, None::<AnswerContent<http_body_util::Full<Bytes>>>).await
    }

    fn begin_answer(&mut self, head: Bytes, ends: bool) -> Result<SendStream<Bytes>, StreamLeft> {
        let (answer, _) =
            answered::of(head).ok_or_else(|| StreamLeft::Broken("an answer of ours has no head".into()))?;
        self.respond.send_response(answer, ends).map_err(|_| StreamLeft::Gone)
    }

    /// `piece`: what is there of it. No more is handed over than the client has room for.
    async fn send_content<B>(
        &mut self,
        mut send: SendStream<Bytes>,
        mut piece: Bytes,
        mut source: Option<AnswerContent<B>>,
    ) -> Result<(), StreamLeft>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        poll_fn(|cx| {
            loop {
                self.heed(cx)?;
                if send.poll_reset(cx).is_ready() {
                    return Poll::Ready(Err(StreamLeft::Gone));
                }
                if piece.is_empty() {
                    let next = match &mut source {
                        Some(source) => ready!(source.poll(cx)),
                        None => BodyPiece::End,
                    };
                    match next {
                        BodyPiece::Data(data) => piece = data,
                        BodyPiece::Trailers(mut fields) => {
                            hop::strip_trailers(&mut fields);
                            return Poll::Ready(send.send_trailers(fields).map_err(|_| StreamLeft::Gone));
                        }
                        BodyPiece::End => {
                            return Poll::Ready(send.send_data(Bytes::new(), true).map_err(|_| StreamLeft::Gone));
                        }
                        BodyPiece::Broken(why) => return Poll::Ready(Err(StreamLeft::Broken(why))),
                    }
                }
                send.reserve_capacity(piece.len());
                let room = send.capacity().min(piece.len());
                if room == 0 {
                    match send.poll_capacity(cx) {
                        Poll::Ready(Some(Ok(_))) => continue,
                        Poll::Ready(_) => return Poll::Ready(Err(StreamLeft::Gone)),
                        Poll::Pending => {
                            self.place.state().write_pending(&piece);
                            return Poll::Pending;
                        }
                    }
                }
                let part = piece.split_to(room);
                let is_last = piece.is_empty() && source.as_ref().is_none_or(AnswerContent::is_over);
                send.send_data(part, is_last).map_err(|_| StreamLeft::Gone)?;
                self.place.state().written();
                if is_last {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
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

/// Where an answer's content comes from.
struct AnswerContent<B> {
    body: ServerReply<B>,
    /// What is to come of it, where its head says.
    left: Option<u64>,
    trailers: bool,
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> AnswerContent<B> {
    /// The next piece. One that makes it longer or shorter than was said breaks it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<BodyPiece> {
        let piece = ready!(BodyPiece::poll(&mut self.body.body, self.trailers, cx));
        let Some(left) = &mut self.left else { return Poll::Ready(piece) };
        let after = match &piece {
            BodyPiece::Data(data) => left.checked_sub(data.len() as u64),
            BodyPiece::Trailers(_) | BodyPiece::End => Some(0).filter(|_| *left == 0),
            BodyPiece::Broken(_) => return Poll::Ready(piece),
        };
        match after {
            Some(after) => *left = after,
            None => return Poll::Ready(BodyPiece::Broken("the answer is not as long as it said".into())),
        }
        Poll::Ready(piece)
    }

    fn is_over(&self) -> bool {
        self.left.map_or_else(|| self.body.body.is_end_stream(), |left| left == 0)
    }
}
