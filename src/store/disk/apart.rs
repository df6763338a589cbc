//! A body in a file of its own, written while it comes: a block of 64 KiB and its sum, the next block and its sum, until the last,
//! which may be shorter. So what has been written can be read, and believed, while the rest is still on its way.

use super::files::{FileName, Files};
use super::record::{BLOCK, BadRecord, sum};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A block and its sum.
const STRIDE: u64 = BLOCK + 8;
/// So many blocks are written at a time.
const WRITTEN: usize = 4;
/// And read: each reader holds as much.
const READ: u64 = 2;

/// Why something cannot be had.
#[derive(Debug)]
pub enum Unread {
    Bad(BadRecord),
    System(io::Error),
}

impl Unread {
    /// The file is gone that it was to be in.
    pub fn is_gone(&self) -> bool {
        matches!(self, Unread::System(cause) if cause.kind() == io::ErrorKind::NotFound)
    }

    /// It may be there all the same: who waits for it is told.
    pub fn is_only_not_at_once(&self) -> bool {
        matches!(self, Unread::System(cause) if cause.kind() == io::ErrorKind::WouldBlock)
    }
}

/// What names such a file, and believes nothing else in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyFile {
    pub number: u64,
    /// Bytes of the body. Of one that is being written: what may be read, a whole number of blocks unless it is all.
    pub length: u64,
    seed: u64,
}

impl BodyFile {
    /// `hash` is the key's, `lineage` the folder's.
    pub fn new(number: u64, length: u64, hash: u64, lineage: u64) -> BodyFile {
        let seed = xxh3_64_with_seed(&[number.to_le_bytes(), lineage.to_le_bytes()].concat(), hash);
        BodyFile { number, length, seed }
    }

    pub fn name(&self) -> FileName {
        FileName::Body(self.number)
    }

    /// The same, of which so much is there.
    pub fn with_length(self, length: u64) -> BodyFile {
        BodyFile { length, ..self }
    }

    /// The same as far as it can be gone on with.
    pub fn in_whole_blocks(self) -> BodyFile {
        self.with_length(self.length / BLOCK * BLOCK)
    }
}

/// Bytes that the file of such a body has.
pub fn length_of_file(body: u64) -> u64 {
    body.saturating_add(body.div_ceil(BLOCK).saturating_mul(8))
}

/// Writes such a file, from its begin to its end.
#[derive(Debug)]
pub struct BodyWriter<F: Files> {
    files: Arc<F>,
    open: F::Open,
    seed: u64,
    /// Where `buffer` begins in the file.
    at: u64,
    buffer: Vec<u8>,
    /// Whole blocks, written or in `buffer`; and bytes behind the last of them.
    blocks: u64,
    begun: usize,
}

impl<F: Files> BodyWriter<F> {
    /// Takes room for a body of `reserve` bytes.
    pub fn begin(files: Arc<F>, file: BodyFile, reserve: u64) -> io::Result<BodyWriter<F>> {
        files.create(file.name(), length_of_file(reserve))?;
        let open = files.open(file.name())?;
        Ok(BodyWriter { files, open, seed: file.seed, at: 0, buffer: Vec::new(), blocks: 0, begun: 0 })
    }

    /// Goes on with one that has so many bytes, as a whole number of blocks.
    pub fn resume(files: Arc<F>, file: BodyFile) -> io::Result<BodyWriter<F>> {
        let open = files.open(file.name())?;
        let blocks = file.length / BLOCK;
        Ok(BodyWriter { files, open, seed: file.seed, at: blocks * STRIDE, buffer: Vec::new(), blocks, begun: 0 })
    }

    /// So many bytes of the body may be read after that.
    pub fn write(&mut self, mut piece: &[u8]) -> io::Result<u64> {
        while !piece.is_empty() {
            let (now, rest) = piece.split_at(piece.len().min(BLOCK as usize - self.begun));
            self.buffer.extend_from_slice(now);
            self.begun += now.len();
            piece = rest;
            if self.begun == BLOCK as usize {
                self.close_block();
                if self.buffer.len() >= WRITTEN * STRIDE as usize {
                    self.flush()?;
                }
            }
        }
        Ok(self.readable())
    }

    /// Writes what is left; the length of the body.
    pub fn finish(&mut self) -> io::Result<u64> {
        let length = self.blocks * BLOCK + self.begun as u64;
        if self.begun > 0 {
            self.close_block();
        }
        self.flush()?;
        Ok(length)
    }

    fn readable(&self) -> u64 {
        self.at / STRIDE * BLOCK
    }

    fn close_block(&mut self) {
        let sum = sum(&self.buffer[self.buffer.len() - self.begun..], self.seed, self.blocks);
        self.buffer.extend_from_slice(&sum.to_le_bytes());
        self.blocks += 1;
        self.begun = 0;
    }

    fn flush(&mut self) -> io::Result<()> {
        let whole = self.buffer.len() - self.begun;
        self.files.write_to(&self.open, self.at, &self.buffer[..whole])?;
        self.at += whole as u64;
        self.buffer.drain(..whole);
        Ok(())
    }
}

/// What stands at `at` of a body, a few blocks of it at most; all sums of that are compared.
pub fn read_apart<F: Files>(files: &F, open: &F::Open, file: BodyFile, at: u64) -> Result<Bytes, Unread> {
    let damaged = || Unread::Bad(BadRecord::Damaged);
    let first = at / BLOCK;
    let start = first * BLOCK;
    let there = file.length.saturating_sub(start).min(READ * BLOCK);
    let mut bytes = vec![0; usize::try_from(length_of_file(there)).map_err(|_| damaged())?];
    let read = files.read_from(open, first * STRIDE, &mut bytes).map_err(Unread::System)?;
    if read < bytes.len() || at >= file.length {
        return Err(damaged());
    }
    let (mut from, mut to, mut left) = (0, 0, there as usize);
    for number in first.. {
        let length = left.min(BLOCK as usize);
        if length == 0 {
            break;
        }
        let said = bytes[from + length..].first_chunk().map(|sum| u64::from_le_bytes(*sum));
        if said != Some(sum(&bytes[from..from + length], file.seed, number)) {
            return Err(damaged());
        }
        bytes.copy_within(from..from + length, to);
        (from, to, left) = (from + length + 8, to + length, left - length);
    }
    bytes.truncate(to);
    Ok(Bytes::from(bytes).split_off((at - start) as usize))
}
