//! Where the body of a fill comes from.

use super::origin::OriginBody;
use super::peer::PeerBody;
use crate::net::serve::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

pub enum Source {
    Origin(OriginBody),
    /// Another node.
    Peer(PeerBody),
}

impl Body for Source {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Source::Origin(body) => Pin::new(body).poll_frame(cx),
            Source::Peer(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Source::Origin(body) => body.is_end_stream(),
            Source::Peer(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Source::Origin(body) => body.size_hint(),
            Source::Peer(body) => body.size_hint(),
        }
    }
}
