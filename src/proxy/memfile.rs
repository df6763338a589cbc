//! Large bodies of the hot copy in memory that the kernel can send without a copy: a file of its own each, that nobody
//! writes to once it is made. Its pages may be on their way to clients long after the copy is gone, and are never used
//! for anything else: the kernel frees them when the last of them has arrived.

use bytes::Bytes;
use memmap2::MmapOptions;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::process::{Resource, getrlimit};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Smaller bodies are copied: that costs less than the second system call.
const LEAST: usize = 16 * 1024;
/// The descriptors that files may take are this part of the limit: the rest is for connections.
const SHARE: u64 = 8;
/// What a file costs besides its pages: descriptor, inode, and the map of it.
const OVERHEAD: usize = 2048;
const PAGE: usize = 4096;

/// Makes them, so many at most.
pub struct MemFiles {
    open: Arc<AtomicUsize>,
    most: usize,
}

/// See the module.
pub struct MemFile {
    file: File,
    open: Arc<AtomicUsize>,
}

impl MemFiles {
    pub fn new() -> MemFiles {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        MemFiles::at_most(usize::try_from(limit / SHARE).unwrap_or(usize::MAX))
    }

    fn at_most(most: usize) -> MemFiles {
        MemFiles { open: Arc::default(), most }
    }

    /// A file with this body, and the same memory as bytes. `None`: the body is better kept as it is, or has to be.
    pub fn make(&self, body: &[Bytes]) -> Option<(Arc<MemFile>, Bytes)> {
        let length: usize = body.iter().map(Bytes::len).sum();
        if length < LEAST || self.open.load(Relaxed) >= self.most {
            return None;
        }
        let made = MemFile::make(body, self.open.clone());
        made.inspect_err(|e| tracing::debug!(error = %e, "no file in memory for a body")).ok()
    }
}

impl MemFile {
    fn make(body: &[Bytes], open: Arc<AtomicUsize>) -> io::Result<(Arc<MemFile>, Bytes)> {
        let mut file = File::from(memfd_create(c"hot", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        body.iter().try_for_each(|piece| file.write_all(piece))?;
        // Not F_SEAL_WRITE, which waits for every processor to let go of the new pages.
        fcntl_add_seals(&file, SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        // SAFETY: the seals keep everyone from writing to it and from making it shorter.
        let map = unsafe { MmapOptions::new().map_copy_read_only(&file)? };
        open.fetch_add(1, Relaxed);
        Ok((Arc::new(MemFile { file, open }), Bytes::from_owner(map)))
    }

    /// Bytes of memory that a file takes besides those of its body.
    pub fn overhead(body: u64) -> usize {
        OVERHEAD + PAGE - (body % PAGE as u64) as usize
    }
}

impl AsFd for MemFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn body() -> Vec<Bytes> {
        vec![Bytes::from_static(&[1; LEAST]), Bytes::from_static(&[2; 100])]
    }

    #[test]
    fn file_and_bytes_hold_the_body_and_nobody_can_change_it() {
        let (file, bytes) = MemFiles::at_most(1).make(&body()).unwrap();
        assert_eq!(bytes, body().concat());
        let mut read = vec![0; bytes.len()];
        file.file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(read, body().concat());
        file.file.write_at(b"x", 0).unwrap_err();
        file.file.set_len(1).unwrap_err();
    }

    #[test]
    fn bytes_outlive_their_file_and_its_descriptor_is_free_again() {
        let files = MemFiles::at_most(1);
        let (file, bytes) = files.make(&body()).unwrap();
        assert!(files.make(&body()).is_none(), "no more than one");
        drop(file);
        assert_eq!(bytes, body().concat());
        assert!(files.make(&body()).is_some());
    }

    #[test]
    fn a_small_body_is_no_file() {
        assert!(MemFiles::at_most(1).make(&[Bytes::from_static(&[1; LEAST - 1])]).is_none());
    }
}
