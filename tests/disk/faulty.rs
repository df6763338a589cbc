//! Loaded before the program (`LD_PRELOAD`): reads, writes and syncs of a disk's files fail, hang or take long, as the file that
//! `RINGHOLD_FAULTS` names says at that moment: `read 5` (an errno), `write 30`, `read hang`, `sync slow`, `sync slow 400` (in
//! milliseconds); of one kind of files alone: `body write hang`. Built by rustc alone.

use std::ffi::{c_int, c_long, c_void};
use std::time::Duration;

extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

#[cfg(target_arch = "x86_64")]
const CALLS: [c_long; 3] = [17, 18, 75];
#[cfg(target_arch = "aarch64")]
const CALLS: [c_long; 3] = [67, 68, 83];

/// What a device may take that is busy.
const SLOW: Duration = Duration::from_millis(20);

/// The errno with which it is to fail; waits where it is to hang.
fn fault(fd: c_int, what: &str) -> Option<c_int> {
    let file = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    let kind = file.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
    if !["seg", "journal", "draft", "body"].contains(&kind) && !file.ends_with("mark") {
        return None;
    }
    loop {
        let said = std::fs::read_to_string(std::env::var_os("RINGHOLD_FAULTS")?).ok()?;
        let said = said.trim();
        let said = said.strip_prefix(kind).unwrap_or(said).trim();
        match said.strip_prefix(what)?.trim() {
            "hang" => std::thread::sleep(Duration::from_millis(5)),
            said => match said.strip_prefix("slow") {
                Some(long) => {
                    std::thread::sleep(long.trim().parse().map_or(SLOW, Duration::from_millis));
                    return None;
                }
                None => return said.parse().ok(),
            },
        }
    }
}

unsafe fn call(which: usize, fd: c_int, at: *mut c_void, length: usize, offset: i64) -> isize {
    if let Some(errno) = fault(fd, ["read", "write"][which]) {
        *__errno_location() = errno;
        return -1;
    }
    syscall(CALLS[which], fd as c_long, at, length, offset) as isize
}

#[no_mangle]
pub unsafe extern "C" fn pread64(fd: c_int, into: *mut c_void, length: usize, offset: i64) -> isize {
    call(0, fd, into, length, offset)
}

#[no_mangle]
pub unsafe extern "C" fn pwrite64(fd: c_int, from: *mut c_void, length: usize, offset: i64) -> isize {
    call(1, fd, from, length, offset)
}

#[no_mangle]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    if let Some(errno) = fault(fd, "sync") {
        *__errno_location() = errno;
        return -1;
    }
    syscall(CALLS[2], fd as c_long) as c_int
}
