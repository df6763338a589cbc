//! PURE. The body of an entry: behind its head, in pieces, or elsewhere.

use super::*;

/// Pieces are put together into blocks of so many bytes.
const BLOCK: usize = 256 * 1024;

/// The body of an entry, to be sent.
#[derive(Clone, Copy, Debug)]
pub struct EntryBody<'a>(pub(super) &'a Entry);

impl<'a> EntryBody<'a> {
    pub fn len(&self) -> u64 {
        match self.0.far() {
            Some(far) => far.length(),
            None => self.0.pieces().iter().map(|p| p.len() as u64).sum::<u64>() + self.in_blob().len() as u64,
        }
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// What stands at `at`, as far as it lies in one piece; empty at the end, and where it is not in memory.
    pub fn piece(&self, at: u64) -> Bytes {
        let entry = self.0;
        if entry.is_together() {
            let start = (entry.body_at as usize).saturating_add(usize::try_from(at).unwrap_or(usize::MAX));
            return self.share(start.min(entry.blob.len()));
        }
        let mut before = 0u64;
        for piece in entry.pieces() {
            let end = before + piece.len() as u64;
            if at < end {
                return piece.slice((at - before) as usize..);
            }
            before = end;
        }
        Bytes::new()
    }
    /// All of it, in one piece or several; none where it is not in memory.
    pub fn pieces(&self) -> Vec<Bytes> {
        self.whole().map_or_else(|| self.0.pieces().to_vec(), |whole| vec![whole])
    }
    /// The whole body, when it lies in one piece.
    pub fn whole(&self) -> Option<Bytes> {
        match self.0.pieces() {
            [] if !self.0.is_together() => None,
            [] => Some(self.share(self.0.body_at as usize)),
            [whole] => Some(whole.clone()),
            _ => None,
        }
    }
    /// The whole body, where it is so small that it is best copied.
    pub fn small(self) -> Option<&'a [u8]> {
        let body = self.in_blob();
        (self.0.is_together() && body.len() <= COPIED).then_some(body)
    }
    /// Whether it is not in memory.
    pub fn is_far(self) -> bool {
        self.0.far().is_some()
    }
    /// The blob from `start` on.
    fn share(&self, start: usize) -> Bytes {
        let blob = &self.0.blob;
        if blob.len() - start > COPIED { blob.slice(start..) } else { Bytes::copy_from_slice(&blob[start..]) }
    }
    fn in_blob(&self) -> &'a [u8] {
        &self.0.blob[self.0.body_at as usize..]
    }
}

/// The same bytes in few large pieces, counted by `hold`.
pub(super) fn blocks(pieces: &[Bytes], size: usize, hold: &Arc<Hold>) -> Box<[Bytes]> {
    let mut left = size;
    let mut blocks = Vec::with_capacity(size.div_ceil(BLOCK));
    let mut block = Vec::with_capacity(left.min(BLOCK));
    for mut piece in pieces.iter().cloned() {
        while !piece.is_empty() {
            let room = block.capacity() - block.len();
            block.extend_from_slice(&piece.split_to(piece.len().min(room)));
            if block.len() == block.capacity() {
                left -= block.len();
                let full = std::mem::replace(&mut block, Vec::with_capacity(left.min(BLOCK)));
                blocks.push(hold.follow(full));
            }
        }
    }
    blocks.into_boxed_slice()
}
