//! Bytes that go to a socket without a copy: the kernel takes the pages that they lie in.
//!
//! These pages may be on their way to peers long after the bytes were dropped here. So they are of a map of their own,
//! which nobody writes to once it is made, and which is given back to the kernel as a whole; that uses them for something
//! else when the last of them has arrived, and no sooner.

use crate::account::Hold;
use bytes::{Buf, Bytes};
use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::pipe::{IoSliceRaw, PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice, vmsplice};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Fewer bytes are copied: that costs less than two more system calls.
const LEAST: usize = 16 * 1024;
/// Linux gives a process 65,530 maps (`vm.max_map_count`), and the allocator and threads need some.
const MOST: usize = 32 * 1024;
/// What a map costs besides its pages.
const OVERHEAD: usize = 256;
const PAGE: usize = 4096;
/// As much is handed over at once: more than a socket takes (see [`super::listen`]) would be for nothing.
const AT_ONCE: usize = 128 * 1024;
/// Room for the pages of that, wherever it begins; pipes have a power of two.
const ROOM: usize = 2 * AT_ONCE;

/// Maps in this process.
static MAPS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What is handed over goes through here; empty.
    static PIPE: Cell<Option<Pipe>> = const { Cell::new(None) };
}

/// See the module.
#[derive(Clone)]
pub struct Lasting(Bytes);

/// One map.
struct Pages(Mmap);

struct Pipe {
    from: OwnedFd,
    to: OwnedFd,
    /// Where goes what the socket did not take.
    nowhere: File,
}

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
        PIPE.with(|kept| {
            let pipe = kept.take().map_or_else(Pipe::new, Ok).map_err(copied_instead)?;
            let now = &self.0[..self.0.len().min(AT_ONCE)];
            let (sent, left) = pipe.pass(now, now.len() < self.0.len(), socket)?;
            if pipe.has_dropped(left) {
                kept.set(Some(pipe));
            }
            sent
        })
    }
}

/// Where descriptors, pipes or pages for it are short, the bytes can still be copied.
fn copied_instead(error: io::Error) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, error)
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

impl Pipe {
    fn new() -> io::Result<Pipe> {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&to, ROOM)?;
        Ok(Pipe { from, to, nowhere: File::options().write(true).open("/dev/null")? })
    }

    /// What became of it, and how much is left in the pipe. `more` follows at once.
    fn pass(&self, bytes: &[u8], more: bool, socket: impl AsFd) -> io::Result<(io::Result<usize>, usize)> {
        // SAFETY: the pages of lasting bytes are never written to, nor used for something else while the pipe or the
        // socket hold them.
        let inside = unsafe { vmsplice(&self.to, &[IoSliceRaw::from_slice(bytes)], SpliceFlags::NONBLOCK) };
        let inside = inside.map_err(|error| copied_instead(error.into()))?;
        let more = if more || inside < bytes.len() { SpliceFlags::MORE } else { SpliceFlags::empty() };
        let sent = splice(&self.from, None, socket, None, inside, more | SpliceFlags::NONBLOCK);
        let left = inside - sent.unwrap_or(0);
        Ok((sent.map_err(io::Error::from), left))
    }

    /// Whether it is empty again.
    fn has_dropped(&self, left: usize) -> bool {
        left == 0 || splice(&self.from, None, &self.nowhere, None, left, SpliceFlags::NONBLOCK) == Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
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
