//! What a known answer has for a body: bytes, and perhaps a file that holds the same.

use bytes::{Buf, Bytes};
use std::os::fd::AsFd;
use std::sync::Arc;

/// A file that the kernel can send from. Nobody writes to it any more: its pages are on their way long after the call.
pub type SentFile = Arc<dyn AsFd + Send + Sync>;

/// A body, or what is left of it.
#[derive(Default)]
pub struct Payload {
    pub(super) bytes: Bytes,
    /// Where the bytes stand in a file, and in which.
    pub(super) file: Option<(SentFile, u64)>,
}

impl Payload {
    /// `bytes` are what `file` holds from its beginning on.
    pub fn of_file(bytes: Bytes, file: Option<SentFile>) -> Payload {
        Payload { bytes, file: file.map(|file| (file, 0)) }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn advance(&mut self, sent: usize) {
        self.bytes.advance(sent);
        match &mut self.file {
            Some(_) if self.bytes.is_empty() => self.file = None,
            Some((_, at)) => *at += sent as u64,
            None => {}
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Payload {
        Payload { bytes, file: None }
    }
}
