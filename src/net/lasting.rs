//! Bytes that go to a socket without a copy: the kernel takes the pages that they lie in.
//!
//! These pages may be on their way to peers long after the bytes were dropped here. So they are of a map of their own,
//! which nobody writes to once it is made, and which is given back to the kernel as a whole; that uses them for something
//! else when the last of them has arrived, and no sooner.

use super::pipe;
use crate::account::Hold;
use bytes::{Buf, Bytes};
use memmap2::{Mmap, MmapMut, MmapOptions};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Fewer bytes are copied: that costs less than two more system calls.
const LEAST: usize = 16 * 1024;
/// Linux gives a process 65,530 maps (`vm.max_map_count`), and the allocator and threads need some.
const MOST: usize = 32 * 1024;
/// What a map costs besides its pages.
const OVERHEAD: usize = 256;
const PAGE: usize = 4096;

/// Maps in this process.
static MAPS: AtomicUsize = AtomicUsize::new(0);

/// See the module.
#[derive(Clone)]
pub struct Lasting(Bytes);

/// One map.
struct Pages(Mmap);

impl Lasting {
    /// A copy of `pieces`, which `hold` counts. `None`: they are better left as they are, or have to be.
    pub fn copy_of(pieces: &[Bytes], hold: &Arc<Hold>) -> Option<Lasting> {
        let length = pieces.iter().map(Bytes::len).sum();
        if length < LEAST || MAPS.load(Relaxed) >= MOST {
            return None;
        }
        let map = MmapOptions::new().len(length).populate().map_anon().and_then(|map| filled(map, pieces));
        let pages = Pages::new(map.inspect_err(|e| tracing::debug!(error = %e, "no map for a body")).ok()?);
        Some(Lasting(hold.follow(pages)))
    }

    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    pub fn advance(&mut self, bytes: usize) {
        self.0.advance(bytes);
    }

    /// What a copy of so many bytes takes besides them.
    pub fn overhead(length: u64) -> usize {
        OVERHEAD + PAGE - (length % PAGE as u64) as usize
    }

    /// Hands over what `socket` takes of it now.
    pub(super) fn send(&self, socket: impl AsFd) -> io::Result<usize> {
        // SAFETY: the pages of lasting bytes are never written to, nor used for something else while the pipe or the
        // socket hold them.
        unsafe { pipe::send(&self.0, socket) }
    }
}

fn filled(mut map: MmapMut, pieces: &[Bytes]) -> io::Result<Mmap> {
    let mut left = &mut map[..];
    for piece in pieces {
        let (here, rest) = left.split_at_mut(piece.len());
        here.copy_from_slice(piece);
        left = rest;
    }
    map.make_read_only()
}

impl Pages {
    fn new(map: Mmap) -> Pages {
        MAPS.fetch_add(1, Relaxed);
        Pages(map)
    }
}

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        MAPS.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::pipe::AT_ONCE;
    use std::io::{ErrorKind, Read};
    use std::os::unix::net::UnixStream;

    fn copy_of(pieces: &[Bytes]) -> Option<Lasting> {
        Lasting::copy_of(pieces, &Hold::new(crate::account::AccountKind::Readers))
    }

    fn body() -> Vec<Bytes> {
        vec![Bytes::from(vec![1; 300_000]), Bytes::from_static(&[2; 100])]
    }

    #[test]
    fn what_was_sent_arrives_whole_though_it_is_dropped_and_other_maps_are_made() {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut lasting = copy_of(&body()).unwrap();
        let mut expected = Vec::new();
        loop {
            match lasting.send(&near) {
                Ok(sent) => {
                    expected.extend_from_slice(&lasting.bytes()[..sent]);
                    lasting.advance(sent);
                }
                Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock, "not all of it has room"),
            }
        }
        drop(lasting);
        let others: Vec<Lasting> = (0..8).map(|_| copy_of(&[Bytes::from(vec![9; 300_000])]).unwrap()).collect();
        let mut read = vec![0; expected.len()];
        far.read_exact(&mut read).unwrap();
        assert!(!read.is_empty() && read == expected);
        assert_eq!(others[7].send(&near).unwrap(), AT_ONCE, "nothing of the first is in the pipe");
        let mut read = vec![0; AT_ONCE];
        far.read_exact(&mut read).unwrap();
        assert!(read == [9; AT_ONCE]);
    }

    #[test]
    fn few_bytes_are_better_copied() {
        assert!(copy_of(&[Bytes::from_static(&[1; LEAST - 1])]).is_none());
        assert_eq!(copy_of(&body()).unwrap().bytes(), &body().concat());
    }
}
