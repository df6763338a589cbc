//! The allocator: the system's, before which a thread keeps the blocks of some KiB that it freed, and a process a few large ones.
//!
//! Futures and buffers of such sizes come and go with each request. The cache that glibc has for each thread ends at 1 KiB;
//! larger blocks it merges, and cuts into pieces for whatever comes next. What is stored for long then takes the place of
//! what is needed again in a moment, and leaves holes between entries that nothing fits into.

mod large;

use large::ALIGNED;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ops::RangeInclusive;
use std::ptr::{NonNull, null_mut};

/// Bytes of the blocks that are kept.
const SIZES: RangeInclusive<usize> = 513..=16 * 1024;
/// Blocks of so many different sizes, at most, so many of each, and so many bytes in all.
const SLOTS: usize = 64;
/// A size may have one of so many places: two that are used all the time and had only the same one took it from each other.
const WAYS: usize = 4;
const OF_A_SIZE: u32 = 64;
const ROOM: usize = 2 * 1024 * 1024;

/// See the module; to be the program's `#[global_allocator]`.
pub struct Recycling;

/// What a thread keeps.
struct ThreadCache {
    on: bool,
    bytes: usize,
    slots: [FreeBlock; SLOTS],
    /// The slot that is looked at next when there is no room.
    hand: usize,
}

/// Blocks of one size, each of which begins with the address of the next.
#[derive(Clone, Copy)]
struct FreeBlock {
    size: usize,
    blocks: u32,
    /// One was taken since the hand came by.
    used: bool,
    first: *mut Block,
}

struct Block {
    next: *mut Block,
}

thread_local! {
    // Without a destructor, so that it can be used at any moment of a thread's life: see `on_this_thread`.
    static KEPT: UnsafeCell<ThreadCache> = const { UnsafeCell::new(ThreadCache::NOTHING) };
}

/// From now on this thread keeps blocks. For threads that live as long as the process: what they keep is not given back.
pub fn on_this_thread() {
    // SAFETY: of this thread only, and no reference to it is held elsewhere: see `with`.
    KEPT.with(|kept| unsafe { (*kept.get()).on = true });
}

/// From now on large blocks are maps of their own, in the whole process, which caches so many bytes. What is freed of them goes
/// back to the system at once, but for a few ([`large`]). By itself glibc stops doing so for all sizes up to the largest that was
/// ever freed, and a cache of objects of all sizes then has holes of a fifth of its memory. Elsewhere this does nothing.
pub fn give_back_large_blocks(memory: u64) {
    #[cfg(target_env = "gnu")]
    {
        let large = large(memory);
        // SAFETY: sets a number each; a call that fails leaves it as it was.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, large);
            libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * large);
        }
        large::keep(large as usize, memory);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = memory;
}

/// Gives free memory between blocks that are in use back to the system, when much has become free: see [`Trim::look`].
#[derive(Debug, Default)]
pub struct Trim {
    freed: u64,
    before: u64,
    /// So many looks in a row have found that next to nothing was let go.
    quiet: u32,
}

impl Trim {
    /// So much is free before it is given back: less is needed again soon.
    const WORTH: u64 = 2 * 1024 * 1024;
    /// A process that lets go of less between two looks is quiet: with each such look half as much is worth it, down to a
    /// 32nd. What is counted is not all that has become free.
    const QUIET: u64 = 16 * 1024;
    const HALVES: u32 = 5;

    /// To be called now and then: `freed` bytes were let go since the process began. Waits for a moment in which less is.
    pub fn look(&mut self, freed: u64) {
        large::give_back();
        if self.is_worth_it(freed) {
            // SAFETY: only gives pages back that no block lies in.
            #[cfg(target_env = "gnu")]
            unsafe {
                libc::malloc_trim(0);
            }
        }
    }

    fn is_worth_it(&mut self, freed: u64) -> bool {
        let lately = freed - std::mem::replace(&mut self.before, freed);
        self.quiet = if lately < Trim::QUIET { Trim::HALVES.min(self.quiet + 1) } else { 0 };
        let is_worth = lately < Trim::WORTH && freed - self.freed >= Trim::WORTH >> self.quiet;
        if is_worth {
            (self.freed, self.quiet) = (freed, 0);
        }
        is_worth
    }
}

/// From how many bytes on a block is large. Below 128 KiB a system call and the first use of the pages cost more than the
/// copy of what is put there, and a process may have 65,530 maps: so many are never reached with a 16,384th of the memory.
/// 32 MiB is the most that glibc takes.
#[cfg(target_env = "gnu")]
fn large(memory: u64) -> libc::c_int {
    (memory / 16_384).clamp(128 << 10, 32 << 20) as libc::c_int
}

/// `what` of a thread's blocks, if they may be of this layout and it keeps any. `what` must not allocate.
fn with<T>(layout: Layout, what: impl FnOnce(&mut ThreadCache) -> Option<T>) -> Option<T> {
    if !SIZES.contains(&layout.size()) || layout.align() > ALIGNED {
        return None;
    }
    // SAFETY: of this thread only, and `what` does not come here again.
    KEPT.with(|kept| unsafe { Some(&mut *kept.get()).filter(|kept| kept.on) }).and_then(what)
}

impl ThreadCache {
    const NOTHING: ThreadCache = ThreadCache { on: false, bytes: 0, slots: [FreeBlock::NOTHING; SLOTS], hand: 0 };

    /// Where blocks of a size may be.
    fn places(&mut self, size: usize) -> &mut [FreeBlock] {
        // Sizes that differ by a power of two lie apart (Knuth's multiplicative hashing).
        const SETS: u32 = (SLOTS / WAYS).ilog2();
        let set = ((size as u32).wrapping_mul(2_654_435_769) >> (u32::BITS - SETS)) as usize;
        &mut self.slots[set * WAYS..(set + 1) * WAYS]
    }

    fn take(&mut self, size: usize) -> Option<NonNull<Block>> {
        let slot = self.places(size).iter_mut().find(|slot| slot.size == size)?;
        let block = slot.pop()?;
        slot.used = true;
        self.bytes -= size;
        Some(block)
    }

    /// Keeps a block. `None`: there is no room for it. What has its place with other sizes gets it in the end.
    fn put(&mut self, block: NonNull<Block>, size: usize) -> Option<()> {
        if self.bytes + size > ROOM {
            self.make_room();
            return None;
        }
        let places = self.places(size);
        let own = places.iter().position(|slot| slot.size == size);
        let Some(at) = own.or_else(|| places.iter().position(|slot| slot.blocks == 0)) else {
            if places.iter().all(|slot| slot.used) {
                places.iter_mut().for_each(|slot| slot.used = false);
            }
            let unused = places.iter_mut().filter(|slot| !slot.used).min_by_key(|slot| slot.blocks);
            self.bytes -= unused.map_or(0, FreeBlock::give_back);
            return None;
        };
        let slot = &mut places[at];
        slot.size = size;
        if slot.blocks == OF_A_SIZE {
            return None;
        }
        slot.push(block);
        self.bytes += size;
        Some(())
    }

    /// Gives back what nobody took since the hand came by here last, of one size.
    fn make_room(&mut self) {
        self.hand = (self.hand + 1) % SLOTS;
        let slot = &mut self.slots[self.hand];
        if !std::mem::take(&mut slot.used) {
            while slot.blocks > 0 {
                self.bytes -= slot.give_back();
            }
        }
    }
}

impl FreeBlock {
    const NOTHING: FreeBlock = FreeBlock { size: 0, blocks: 0, used: false, first: null_mut() };

    /// A block less; its bytes.
    fn give_back(&mut self) -> usize {
        let Some(block) = self.pop() else { return 0 };
        // SAFETY: it was allocated by the system's allocator, with this layout.
        unsafe { System.dealloc(block.as_ptr().cast(), Layout::from_size_align_unchecked(self.size, ALIGNED)) };
        self.size
    }

    fn pop(&mut self) -> Option<NonNull<Block>> {
        let block = NonNull::new(self.first)?;
        // SAFETY: a block that is kept is ours, and begins with the address of the next.
        self.first = unsafe { block.as_ref().next };
        self.blocks -= 1;
        Some(block)
    }

    fn push(&mut self, block: NonNull<Block>) {
        // SAFETY: it is ours, and large enough for an address.
        unsafe { block.write(Block { next: self.first }) };
        self.first = block.as_ptr();
        self.blocks += 1;
    }
}

// SAFETY: blocks are the system's allocator's; one that is kept was freed, and is given out once, for the size that it has.
unsafe impl GlobalAlloc for Recycling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > *SIZES.end() {
            return large::alloc(layout);
        }
        match with(layout, |kept| kept.take(layout.size())) {
            Some(block) => block.as_ptr().cast(),
            // SAFETY: the caller's promises are passed on, here and below.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() > *SIZES.end() {
            return unsafe { large::dealloc(block, layout) };
        }
        let kept = with(layout, |kept| kept.put(NonNull::new(block.cast())?, layout.size()));
        if kept.is_none() {
            unsafe { System.dealloc(block, layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > *SIZES.end() {
            return large::alloc_zeroed(layout);
        }
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !SIZES.contains(&layout.size()) && !SIZES.contains(&size) {
            return unsafe { System.realloc(block, layout, size) };
        }
        unsafe {
            let larger = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !larger.is_null() {
                larger.copy_from_nonoverlapping(block, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            larger
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    /// On a thread of its own, which keeps blocks.
    fn on_a_thread(what: impl FnOnce() + Send + 'static) {
        let thread = std::thread::spawn(|| {
            on_this_thread();
            what();
        });
        thread.join().unwrap();
    }

    fn allocate(size: usize) -> usize {
        // SAFETY: the size is not zero.
        let block = unsafe { Recycling.alloc(layout(size)) };
        // SAFETY: it has that many bytes.
        unsafe { block.write_bytes(0xaa, size) };
        block as usize
    }

    fn free(block: usize, size: usize) {
        // SAFETY: the tests give back what they were given, once.
        unsafe { Recycling.dealloc(block as *mut u8, layout(size)) }
    }

    fn kept() -> usize {
        // SAFETY: nothing else looks at it meanwhile.
        KEPT.with(|kept| unsafe { (*kept.get()).bytes })
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn a_block_is_large_so_that_all_of_a_cache_are_fewer_than_a_process_may_have_maps() {
        for (memory, bytes) in [(0, 128 << 10), (256 << 20, 128 << 10), (8 << 30, 512 << 10), (u64::MAX, 32 << 20)] {
            assert_eq!(large(memory), bytes, "of {memory}");
        }
    }

    #[test]
    fn the_longer_a_process_is_quiet_the_less_is_worth_giving_back() {
        let looks = |freed: &[u64]| {
            let mut trim = Trim::default();
            freed.iter().map(|kib| trim.is_worth_it(kib << 10)).collect::<Vec<_>>()
        };
        assert_eq!(looks(&[5000, 5001, 5001]), [false, true, false], "once there is less than before, and once");
        assert_eq!(looks(&[600, 600, 600, 600]), [false, false, true, false]);
        assert_eq!(looks(&[63, 63, 63, 63, 63, 63, 63]), [false; 7], "so little is never worth it");
        assert_eq!(looks(&[300, 600, 900, 1200, 1500, 1800, 2100]), [false, false, false, false, false, false, true]);
    }

    #[test]
    fn what_was_freed_is_given_out_again_for_the_same_size_only() {
        on_a_thread(|| {
            let (a, b) = (allocate(2000), allocate(2000));
            free(a, 2000);
            free(b, 2000);
            assert_eq!(kept(), 4000);
            let other = allocate(2001);
            assert!(![a, b].contains(&other));
            assert_eq!([allocate(2000), allocate(2000)], [b, a]);
            assert_eq!(kept(), 0);
        });
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        on_a_thread(|| {
            let many = |count: usize, size: usize| (0..count).map(|_| allocate(size)).collect::<Vec<_>>();
            many(100, 1500).into_iter().for_each(|block| free(block, 1500));
            assert_eq!(kept(), OF_A_SIZE as usize * 1500);
            for size in 16_000..16_010 {
                many(100, size).into_iter().for_each(|block| free(block, size));
                assert!(kept() <= ROOM);
            }
            assert!(kept() > ROOM / 4);
        });
    }

    #[test]
    fn what_is_not_used_any_more_gives_way_when_there_is_no_room() {
        on_a_thread(|| {
            for size in 16_000..16_010 {
                let blocks: Vec<_> = (0..64).map(|_| allocate(size)).collect();
                blocks.into_iter().for_each(|block| free(block, size));
            }
            (0..10 * SLOTS).for_each(|_| free(allocate(3000), 3000));
            let before = kept();
            let block = allocate(3000);
            assert_eq!(kept(), before - 3000, "one was kept");
            free(block, 3000);
        });
    }

    #[test]
    fn two_sizes_that_may_have_the_same_places_are_both_kept() {
        on_a_thread(|| {
            let place = |size: usize| (size as u32).wrapping_mul(2_654_435_769) >> 26;
            let alike: Vec<_> = SIZES.filter(|size| place(*size) == place(5248)).take(WAYS).collect();
            for _ in 0..3 {
                alike.iter().for_each(|size| free(allocate(*size), *size));
            }
            assert_eq!(kept(), alike.iter().sum::<usize>());
        });
    }

    #[test]
    fn sizes_that_are_not_used_any_more_make_room_for_those_that_are() {
        on_a_thread(|| {
            let sizes = || SIZES.step_by(100);
            sizes().for_each(|size| free(allocate(size), size));
            for size in sizes() {
                let blocks: Vec<_> = (0..4).map(|_| allocate(size)).collect();
                blocks.into_iter().for_each(|block| free(block, size));
                let before = kept();
                allocate(size);
                assert_eq!(kept(), before - size);
            }
        });
    }

    #[test]
    fn small_large_and_aligned_ones_are_the_systems() {
        on_a_thread(|| {
            for size in [SIZES.start() - 1, SIZES.end() + 1] {
                free(allocate(size), size);
            }
            let aligned = Layout::from_size_align(4096, 4096).unwrap();
            // SAFETY: its size is not zero, and it is given back once.
            unsafe { Recycling.dealloc(Recycling.alloc(aligned), aligned) };
            assert_eq!(kept(), 0);
        });
    }
}
