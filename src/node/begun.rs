//! The beginning of an answer whose body may break off: what is known by then is said in the head, and the rest so that
//! the front is told whose fault it was (docs/link.md, Whose fault it was).

use super::body::{BodyError, NodeBody};
use crate::net::serve::Told;
use crate::wire::fault::{Blame, Fault, Kind, Whose};
use crate::wire::link;
use crate::wire::status::proxy_status;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// A body up to this size is waited for (for [`crate::config::Timeouts::small_body`]) before its head is sent.
const SMALL: u64 = 16 * 1024;
/// So often others get their turn, among them who reads from the origin, before the head goes without the body.
const TURNS: u32 = 4;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// A body of which the first pieces are here.
pub struct Begun {
    pieces: VecDeque<Frame<Bytes>>,
    /// Bytes of them.
    gathered: u64,
    rest: Rest,
    /// Its length is known; else trailers may follow.
    sized: bool,
    /// The front is to be told in the chunks how it ends.
    told: bool,
}

/// What is waited for beyond what is there.
#[derive(Clone, Copy, PartialEq)]
enum Patience {
    None,
    First,
    All,
}

enum Rest {
    More(Box<NodeBody>),
    Over,
    Broken(Blame),
}

/// What is to be done where an answer is known to break off before anything of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Else {
    /// It is sent as far as it came; where nothing of its body did, an error is.
    Nothing,
    /// It is sent as far as it came, its head at least: that says what has been changed, which others have to forget.
    Head,
    /// Another answer takes its place: a first piece of it is waited for, however long it is to be.
    Another,
}

/// Waits for what can be known at once of an answer's body: it may be an error before anything is sent, or said in the head.
/// `node`: by whose name; `told`: a front asks, or a node, and is told how the body ends.
pub async fn begin(
    node: &str,
    response: Response<NodeBody>,
    told: bool,
    wait: Duration,
    otherwise: Else,
) -> Result<Response<NodeBody>, Fault> {
    if !response.body().may_break() || response.body().is_end_stream() {
        return Ok(response);
    }
    let (mut head, body) = response.into_parts();
    let length = said_length(&head.headers).or(body.size_hint().exact());
    let (pieces, rest, sized) = (VecDeque::new(), Rest::More(Box::new(body)), length.is_some());
    let mut begun = Begun { pieces, gathered: 0, rest, sized, told };
    let patience = match otherwise {
        _ if length.is_some_and(|length| length <= SMALL) => Patience::All,
        Else::Another => Patience::First,
        Else::Nothing | Else::Head => Patience::None,
    };
    begun.gather(patience, wait).await;
    match begun.rest {
        Rest::Broken(blame) if otherwise == Else::Another => return Err(blame.fault()),
        Rest::Broken(blame) if begun.pieces.is_empty() && otherwise == Else::Nothing => return Err(blame.fault()),
        Rest::Broken(blame) => say(node, blame, told, &mut head.headers),
        Rest::Over => begun.told = false,
        Rest::More(_) => {}
    }
    if begun.told
        && let Some(length) = length
    {
        head.headers.remove(CONTENT_LENGTH);
        head.headers.insert(link::LENGTH, HeaderValue::from(length));
    }
    Ok(Response::from_parts(head, NodeBody::Begun(begun)))
}

fn said_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Says how an answer ends before it begins (RFC 9209 section 2.3.2: not only for answers that we make).
fn say(node: &str, blame: Blame, told: bool, headers: &mut HeaderMap) {
    headers.append(PROXY_STATUS, proxy_status(node, &blame.fault()));
    if told {
        mark(blame, headers);
    }
}

/// Says whose fault an answer tells of, for the front's log.
pub fn mark(blame: Blame, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::try_from(blame.to_string()) {
        headers.insert(link::FAULT, value);
    }
}

/// Whose fault it is that a body breaks off.
pub fn blame(error: &BodyError) -> Blame {
    let known = error.downcast_ref::<Blame>().copied();
    known.unwrap_or(Blame::new(Whose::Origin, Kind::HttpResponseIncomplete))
}

impl Begun {
    /// What is still to come of it.
    pub fn rest(&self) -> Option<&NodeBody> {
        match &self.rest {
            Rest::More(body) => Some(body),
            _ => None,
        }
    }
    /// Takes what is there; of a small body also what comes soon.
    async fn gather(&mut self, patience: Patience, wait: Duration) {
        let mut turns = TURNS;
        let waiting = poll_fn(|cx| {
            if self.poll_gather(cx).is_ready() {
                return Poll::Ready(false);
            }
            if turns == 0 {
                return Poll::Ready(true);
            }
            turns -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        if !waiting.await || patience == Patience::None {
            return;
        }
        let is_enough = |begun: &Begun| patience == Patience::First && !begun.pieces.is_empty();
        let more = poll_fn(|cx| match self.poll_gather(cx) {
            Poll::Pending if !is_enough(self) => Poll::Pending,
            _ => Poll::Ready(()),
        });
        _ = timeout(wait, more).await;
    }

    /// Ready when it has ended, or enough is here.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.gathered < SMALL {
            let Rest::More(body) = &mut self.rest else { return Poll::Ready(()) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    self.gathered += frame.data_ref().map_or(0, |data| data.len() as u64);
                    self.pieces.push_back(frame);
                }
                Poll::Ready(Some(Err(error))) => self.rest = Rest::Broken(blame(&error)),
                Poll::Ready(None) => self.rest = Rest::Over,
            }
        }
        Poll::Ready(())
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(frame) = self.pieces.pop_front() {
            self.gathered -= frame.data_ref().map_or(0, |data| data.len() as u64);
            return Poll::Ready(Some(Ok(frame)));
        }
        let broken = match &mut self.rest {
            Rest::Over => return Poll::Ready(None),
            Rest::Broken(blame) => *blame,
            Rest::More(body) => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Err(error))) => blame(&error),
                other => return other,
            },
        };
        self.rest = Rest::Over;
        Poll::Ready(Some(Err(if self.told { Told(broken).into() } else { broken.into() })))
    }

    pub fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
            && match &self.rest {
                Rest::Over => true,
                Rest::Broken(_) => false,
                Rest::More(body) => body.is_end_stream(),
            }
    }

    /// None where the front is told in chunks how it ends.
    pub fn size_hint(&self) -> SizeHint {
        match &self.rest {
            _ if self.told || !self.sized => SizeHint::default(),
            Rest::Over => SizeHint::with_exact(self.gathered),
            Rest::More(body) => body
                .size_hint()
                .exact()
                .map_or_else(SizeHint::default, |rest| SizeHint::with_exact(self.gathered + rest)),
            Rest::Broken(_) => SizeHint::default(),
        }
    }
}
