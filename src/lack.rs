//! What we have none left of ourselves: files, memory, ports. Nobody else is to blame for that: no origin, no node, no disk.

use rustix::io::Errno;
use std::io;

/// Whether it is we who have none left.
pub fn is_our_lack(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_have_none_left_of_is_no_fault_of_others() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for ours in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL] {
            assert!(is_our_lack(&error(ours)), "{ours:?}");
        }
        for theirs in [Errno::CONNREFUSED, Errno::TIMEDOUT, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::CONNRESET] {
            assert!(!is_our_lack(&error(theirs)), "{theirs:?}");
        }
        for of_the_device in [Errno::IO, Errno::NOSPC, Errno::ROFS, Errno::DQUOT] {
            assert!(!is_our_lack(&error(of_the_device)), "{of_the_device:?}");
        }
    }
}
