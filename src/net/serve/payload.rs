//! The body of an answer that is given as bytes.

use crate::net::lasting::Lasting;
use bytes::{Buf, Bytes};

/// A body, or what is left of it.
pub enum Payload {
    Bytes(Bytes),
    /// To be sent without a copy.
    Lasting(Lasting),
}

impl Payload {
    pub fn bytes(&self) -> &Bytes {
        match self {
            Payload::Bytes(bytes) => bytes,
            Payload::Lasting(lasting) => lasting.bytes(),
        }
    }

    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// So much was sent; a connection that waits holds on to no body.
    pub(super) fn advance(&mut self, sent: usize) {
        match self {
            _ if sent == self.len() => *self = Payload::default(),
            Payload::Bytes(bytes) => bytes.advance(sent),
            Payload::Lasting(lasting) => lasting.advance(sent),
        }
    }
}

impl Default for Payload {
    fn default() -> Payload {
        Payload::Bytes(Bytes::new())
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Payload {
        Payload::Bytes(bytes)
    }
}
