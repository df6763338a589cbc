//! Large blocks, which are maps of their own, and of which a few are kept when they are let go: the next large one is made
//! of whichever is nearest to it in size, with the pages that it has. A page of a fresh map costs the kernel a fault, zeros
//! and a count, which is more than the copy of what is put there; and a body that comes into a full cache drives out others
//! of about as many bytes, so that hardly any fresh ones are needed.

use crate::account;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the system's allocator aligns to without being asked.
pub(super) const ALIGNED: usize = 2 * size_of::<usize>();
/// So many are kept at most.
const MOST: usize = 32;
/// And so many bytes of them.
static ROOM: AtomicUsize = AtomicUsize::new(0);
/// From how many bytes on a block is large; none is before [`keep`].
static LEAST: AtomicUsize = AtomicUsize::new(usize::MAX);
static KEPT: Mutex<LargeBlocks> = Mutex::new(LargeBlocks::NOTHING);

/// Blocks that nobody uses.
struct LargeBlocks {
    blocks: [(usize, usize); MOST],
    count: usize,
    bytes: usize,
    /// The fewest that there were since this was last looked at.
    fewest: usize,
}

/// From now on blocks of so many bytes are kept, in the whole process, which caches `memory` bytes.
#[cfg(any(test, target_env = "gnu"))]
pub(super) fn keep(least: usize, memory: u64) {
    /// So many bytes at most, or this part of what is cached.
    const BYTES: u64 = 4 * 1024 * 1024;
    const PART: u64 = 16;
    ROOM.store((memory / PART).min(BYTES) as usize, Relaxed);
    LEAST.store(least, Relaxed);
}

fn is_large(layout: Layout) -> bool {
    layout.size() >= LEAST.load(Relaxed) && layout.align() <= ALIGNED
}

/// A block, as `System` gives it; what lies in it is anything.
pub(super) fn alloc(layout: Layout) -> *mut u8 {
    match made_of_kept(layout) {
        Some(block) => block.as_ptr(),
        // SAFETY: the caller's promises are passed on, here and below.
        None => unsafe { System.alloc(layout) },
    }
}

/// The same, of zeros.
pub(super) fn alloc_zeroed(layout: Layout) -> *mut u8 {
    match made_of_kept(layout) {
        Some(block) => {
            // SAFETY: it has that many bytes, and is nobody's yet.
            unsafe { block.write_bytes(0, layout.size()) };
            block.as_ptr()
        }
        None => unsafe { System.alloc_zeroed(layout) },
    }
}

/// # Safety
/// As [`GlobalAlloc::dealloc`].
pub(super) unsafe fn dealloc(block: *mut u8, layout: Layout) {
    if !is_large(layout) || !is_kept(block, layout.size()) {
        unsafe { System.dealloc(block, layout) }
    }
}

/// Where bodies are held that there is no room for nothing is kept besides.
fn is_kept(block: *mut u8, size: usize) -> bool {
    !account::is_tight() && kept().put(block as usize, size, ROOM.load(Relaxed))
}

/// Gives back to the system what nobody has needed since this was called last.
pub(super) fn give_back() {
    loop {
        let Some((block, size)) = kept().take_unneeded() else { return };
        free(block, size);
    }
}

fn made_of_kept(layout: Layout) -> Option<NonNull<u8>> {
    if !is_large(layout) {
        return None;
    }
    let (block, size) = kept().take(layout.size())?;
    // SAFETY: it was allocated by the system's allocator, with this layout. A map is not copied for another size: pages are
    // added or given back at its end, and it moves as a whole where they have no room.
    let made = unsafe { System.realloc(block as *mut u8, of_size(size), layout.size()) };
    let made = NonNull::new(made);
    if made.is_none() {
        free(block, size);
    }
    made
}

fn free(block: usize, size: usize) {
    // SAFETY: it was allocated by the system's allocator, with this layout, and nobody has it any more.
    unsafe { System.dealloc(block as *mut u8, of_size(size)) }
}

fn of_size(size: usize) -> Layout {
    // SAFETY: that is a power of two, and a block with this layout was allocated.
    unsafe { Layout::from_size_align_unchecked(size, ALIGNED) }
}

fn kept() -> MutexGuard<'static, LargeBlocks> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LargeBlocks {
    const NOTHING: LargeBlocks = LargeBlocks { blocks: [(0, 0); MOST], count: 0, bytes: 0, fewest: 0 };

    /// Whether there is room for it.
    fn put(&mut self, block: usize, size: usize, room: usize) -> bool {
        let has_room = self.count < MOST && self.bytes + size <= room;
        if has_room {
            self.blocks[self.count] = (block, size);
            self.count += 1;
            self.bytes += size;
        }
        has_room
    }

    /// The one that is nearest to this size. One of another order of magnitude is left to others.
    fn take(&mut self, size: usize) -> Option<(usize, usize)> {
        let found = (0..self.count).min_by_key(|at| self.blocks[*at].1.abs_diff(size));
        let found = found.filter(|at| self.blocks[*at].1.abs_diff(size) <= size / 2)?;
        self.fewest = self.fewest.min(self.count - 1);
        Some(self.remove(found))
    }

    /// One of those that were there all the time; afterwards the time begins anew.
    fn take_unneeded(&mut self) -> Option<(usize, usize)> {
        if self.fewest == 0 {
            self.fewest = self.count;
            return None;
        }
        self.fewest -= 1;
        (self.count > 0).then(|| self.remove(0))
    }

    fn remove(&mut self, at: usize) -> (usize, usize) {
        let taken = self.blocks[at];
        self.count -= 1;
        self.blocks[at] = self.blocks[self.count];
        self.bytes -= taken.1;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(kept: &LargeBlocks) -> Vec<usize> {
        let mut sizes: Vec<_> = kept.blocks[..kept.count].iter().map(|(_, size)| *size).collect();
        sizes.sort_unstable();
        sizes
    }

    fn of(sizes: &[usize]) -> LargeBlocks {
        let mut kept = LargeBlocks::NOTHING;
        sizes.iter().for_each(|size| assert!(kept.put(*size, *size, usize::MAX)));
        kept
    }

    #[test]
    fn the_nearest_in_size_is_taken_and_none_of_another_order_of_magnitude() {
        let mut kept = of(&[130_000, 200_000, 900_000]);
        assert_eq!(kept.take(210_000), Some((200_000, 200_000)));
        assert_eq!(kept.take(160_000), Some((130_000, 130_000)));
        assert_eq!(kept.take(400_000), None);
        assert_eq!((sizes(&kept), kept.bytes), (vec![900_000], 900_000));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut kept = LargeBlocks::NOTHING;
        assert!(kept.put(1, 600, 1000) && !kept.put(2, 600, 1000) && kept.put(3, 400, 1000));
        let mut many = of(&[10; MOST]);
        assert!(!many.put(1, 10, usize::MAX));
        assert_eq!((kept.bytes, many.bytes), (1000, 10 * MOST));
    }

    #[test]
    fn what_nobody_has_needed_between_two_looks_goes() {
        let all = |kept: &mut LargeBlocks| std::iter::from_fn(|| kept.take_unneeded()).count();
        let mut kept = of(&[100, 200, 300]);
        assert_eq!(all(&mut kept), 0, "they have just come");
        kept.take(100);
        kept.take(200);
        assert!(kept.put(100, 100, 1000) && kept.put(200, 200, 1000));
        assert_eq!((all(&mut kept), kept.count), (1, 2));
        assert_eq!((all(&mut kept), kept.count), (2, 0));
        assert_eq!(all(&mut kept), 0);
    }

    /// The only test that has the process keep any; others may take or let go of some meanwhile.
    #[test]
    fn a_block_that_was_let_go_is_made_another_of_its_own_size() {
        keep(3 << 20, u64::MAX);
        let layout = |mib: usize| of_size(mib << 20);
        let fill = |block: *mut u8, mib: usize, with: u8| {
            assert!(!block.is_null());
            // SAFETY: it has that many bytes.
            unsafe { block.write_bytes(with, mib << 20) };
        };
        for (first, then) in [(3, 4), (4, 3), (3, 3)] {
            let block = alloc(layout(first));
            fill(block, first, 7);
            // SAFETY: all are given back once, with the layout that they were allocated with.
            unsafe { dealloc(block, layout(first)) };
            let zeroed = alloc_zeroed(layout(then));
            // SAFETY: it has that many bytes.
            let bytes = unsafe { std::slice::from_raw_parts(zeroed, then << 20) };
            assert!(bytes.iter().all(|byte| *byte == 0), "{then} MiB made of {first}");
            fill(zeroed, then, 8);
            let other = alloc(layout(then));
            assert_ne!(other, zeroed);
            fill(other, then, 9);
            for block in [zeroed, other] {
                // SAFETY: as above.
                unsafe { dealloc(block, layout(then)) };
            }
        }
        give_back();
        give_back();
        assert_eq!(kept().bytes, 0);
        keep(usize::MAX, 0);
    }
}
