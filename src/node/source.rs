//! Where the body of a fill comes from.

use super::origin::OriginBody;
use super::peer::PeerBody;
use crate::net::serve::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

pub enum FillSource {
    Origin(OriginBody),
    /// Another node.
    Peer(PeerBody),
}

impl Body for FillSource {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            FillSource::Origin(body) => Pin::new(body).poll_frame(cx),
            FillSource::Peer(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            FillSource::Origin(body) => body.is_end_stream(),
            FillSource::Peer(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            FillSource::Origin(body) => body.size_hint(),
            FillSource::Peer(body) => body.size_hint(),
        }
    }
}
