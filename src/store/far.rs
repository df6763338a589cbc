//! PURE. Bodies that are not in memory: what an entry knows of them.

use bytes::Bytes;
use std::fmt;
use std::task::{Context, Poll};

/// A body that is not in memory.
pub trait FarBody: fmt::Debug + Send + Sync {
    /// Bytes of it.
    fn length(&self) -> u64;
    /// Of its file.
    fn number(&self) -> u64;
    fn reader(&self) -> Box<dyn FarReader>;
}

/// Reads such a body, piece by piece.
pub trait FarReader {
    /// What stands at `at`, some of it; never nothing. Asked for the same place again until it is there.
    fn poll_piece(&mut self, at: u64, cx: &mut Context<'_>) -> Poll<Result<Bytes, FarGone>>;
}

/// Why no more of it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarGone {
    /// It is not there, or is not what was written.
    Lost,
    /// It was not read in time.
    Late,
    /// We have no file left, or no memory, to read it with.
    Lacking,
}
