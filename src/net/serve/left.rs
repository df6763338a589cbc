//! The ends of a connection.

use super::end::{BoxError, ConnEnd};
use super::io::Io;
use super::service::Offer;
use super::sweep::SweepPlace;
use super::words;
use super::written::Shape;
use crate::wire::fault::Fault;
use crate::wire::length::BodyLength;
use std::cell::RefCell;
use std::rc::Rc;

/// How a connection is left.
pub(super) enum Left {
    /// Between two messages, or with an answer that says so.
    Closed,
    IdleTooLong,
    Stalled,
    Refused(Fault),
    Broken(BoxError),
    /// In the middle of an answer that its end would be the end of.
    CutOff(BoxError),
    /// To whoever speaks another protocol on it.
    Taken(Offer),
}

impl Left {
    /// An answer breaks off.
    pub(super) fn cut(shape: Shape, why: BoxError) -> Left {
        if shape.framing == BodyLength::UntilClose { Left::CutOff(why) } else { Left::Broken(why) }
    }

    pub(super) fn gone() -> Left {
        Left::Broken("the client left before it had its answer".into())
    }

    /// What is left to be done with a connection. Whoever still reads the body of its last request reads no more.
    pub(super) async fn end(self, io: Rc<RefCell<Io>>, watch: &SweepPlace) -> ConnEnd {
        let Ok(io) = Rc::try_unwrap(io).map(RefCell::into_inner) else {
            return ConnEnd::Broken("a body is read while its connection ends".into());
        };
        let Io { mut stream, state, before } = io;
        match self {
            Left::Closed if state.is_uploading() || state.has_unread_body() => {
                words::hear_out(stream, watch.limits()).await
            }
            Left::Closed if state.has_said_last() || !before.is_empty() => words::linger(stream).await,
            Left::Closed => stream.say_goodbye(),
            Left::IdleTooLong => {
                stream.say_goodbye();
                return ConnEnd::IdleTooLong;
            }
            Left::Stalled => {
                stream.reset_on_drop();
                return ConnEnd::Stalled;
            }
            Left::Refused(fault) => {
                // The answer may take its time to arrive; nobody else is refused for what is not needed any more.
                drop(before);
                state.drops_head();
                words::speak(stream, &fault).await;
                return ConnEnd::Refused(fault);
            }
            Left::Broken(why) => return ConnEnd::Broken(why),
            Left::CutOff(why) => {
                words::cut_off(stream).await;
                return ConnEnd::Broken(why);
            }
            Left::Taken(offer) => {
                state.becomes_tunnel();
                // Nobody may want it any more.
                _ = offer.send((stream, before));
                return ConnEnd::Upgraded;
            }
        }
        ConnEnd::Closed
    }
}
