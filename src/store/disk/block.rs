//! Records as the system reads them in one piece: through its page cache, or past it.

use memmap2::MmapOptions;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// What was read, in memory of its own, in which something else may stand before it.
#[derive(Debug, Default)]
pub struct ReadBlock {
    bytes: Vec<u8>,
    begin: usize,
}

impl AsRef<[u8]> for ReadBlock {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }
}

impl From<Vec<u8>> for ReadBlock {
    fn from(bytes: Vec<u8>) -> ReadBlock {
        ReadBlock { bytes, begin: 0 }
    }
}

/// Whether the page cache has what stands there: never where a file system has a cache of its own. To read it without waiting
/// tells too, but has it read there.
pub fn is_cached(file: &File, at: u64) -> bool {
    // SAFETY: asks for a number of the system's.
    let Ok(page @ 1..) = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) else { return false };
    // SAFETY: nothing is read where the map is: the file may change, or become shorter.
    let map = unsafe { MmapOptions::new().offset(at / page * page).len(1).map(file) };
    let mut resident = 0;
    // SAFETY: of one page, which is mapped.
    map.is_ok_and(|map| unsafe { libc::mincore(map.as_ptr().cast_mut().cast(), 1, &raw mut resident) } == 0)
        && resident & 1 != 0
}

/// At multiples of how many bytes this file is read past the page cache; 0: it cannot be. A system that does not say (Linux before
/// 6.1, some file systems) takes pages.
pub fn unit_of(file: &File) -> u64 {
    const PAGE: u64 = 4096;
    let mut said = std::mem::MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path is a string, and there is room for what is said.
    let asked = unsafe {
        libc::statx(file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN, said.as_mut_ptr())
    };
    // SAFETY: numbers, of zeros or as they were said.
    let said = unsafe { said.assume_init() };
    if asked != 0 || said.stx_mask & libc::STATX_DIOALIGN == 0 {
        return PAGE;
    }
    let unit = u64::from(said.stx_dio_mem_align.max(said.stx_dio_offset_align));
    // What is no power of two is none that memory is aligned to.
    if unit == 0 || unit.is_power_of_two() { unit } else { 0 }
}

/// As much as is there of what was asked for, by reads that begin and end, in the file and in memory, at multiples of `unit`.
pub fn read_block(file: &File, at: u64, length: u64, unit: u64) -> io::Result<ReadBlock> {
    let too_long = || io::Error::from_raw_os_error(libc::ENOMEM);
    let (first, step) = (at / unit * unit, unit as usize);
    let begin = (at - first) as usize;
    let asked = usize::try_from(length).ok().and_then(|length| length.checked_add(begin)).ok_or_else(too_long)?;
    let span = asked.checked_next_multiple_of(step).ok_or_else(too_long)?;
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(span + step - 1).map_err(|_| too_long())?;
    let skipped = bytes.as_ptr().align_offset(step);
    bytes.resize(skipped, 0);
    while bytes.len() < skipped + asked {
        let done = bytes.len() - skipped;
        let into = &mut bytes.spare_capacity_mut()[..span - done];
        let from = i64::try_from(first + done as u64).map_err(|_| too_long())?;
        // SAFETY: there is room for as many.
        match unsafe { libc::pread64(file.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), from) } {
            0 => break,
            -1 => match io::Error::last_os_error() {
                cause if cause.kind() == io::ErrorKind::Interrupted => {}
                cause => return Err(cause),
            },
            more => {
                // SAFETY: that many were read to behind those that are there.
                unsafe { bytes.set_len(bytes.len() + more as usize) };
                // Where a read ends elsewhere the file does.
                if !(more as usize).is_multiple_of(step) {
                    break;
                }
            }
        }
    }
    bytes.truncate(skipped + asked);
    Ok(ReadBlock { begin: skipped + begin, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::FileExt;

    proptest! {
        #[test]
        fn a_block_is_what_stands_there_in_steps_of_any_unit(at in 0..9_000_u64, length in 0..20_000_u64, end in 0..12_000_usize) {
            let file = tempfile::tempfile().unwrap();
            let bytes: Vec<u8> = (0..end).map(|n| (n % 253) as u8).collect();
            file.write_all_at(&bytes, 0).unwrap();
            let expected = &bytes[end.min(at as usize)..end.min((at + length) as usize)];
            for unit in [1, 512, 4096] {
                let read = read_block(&file, at, length, unit).unwrap();
                prop_assert_eq!(read.as_ref(), expected);
            }
        }
    }
}
