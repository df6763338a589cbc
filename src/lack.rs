//! What we have none left of ourselves: files, memory, ports. Nobody else is to blame for that: no origin, no node, no disk.

use rustix::io::Errno;
use std::io;

/// What there is none left of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// This process has opened as many as it may.
    Files,
    /// All processes together have.
    SystemFiles,
    Memory,
    /// Local ones, from which a server can be connected to.
    Ports,
    Threads,
}

impl Lack {
    /// Whether the end of a client's connection gives one back: it has come to a port of ours that is not of those we connect from.
    pub fn is_of_clients(self) -> bool {
        match self {
            Lack::Files | Lack::SystemFiles | Lack::Memory => true,
            Lack::Ports | Lack::Threads => false,
        }
    }

    pub fn what(self) -> &'static str {
        match self {
            Lack::Files | Lack::SystemFiles => "file descriptor",
            Lack::Memory => "memory",
            Lack::Ports => "local port",
            Lack::Threads => "thread",
        }
    }
}

/// What it is, where it is we who have none left. A thread is none of it: that one cannot be started looks like much else.
pub fn lack_of(error: &io::Error) -> Option<Lack> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some(Lack::Files),
        Errno::NFILE => Some(Lack::SystemFiles),
        Errno::NOBUFS | Errno::NOMEM => Some(Lack::Memory),
        Errno::ADDRNOTAVAIL => Some(Lack::Ports),
        _ => None,
    }
}

/// Whether it is we who have none left.
pub fn is_our_lack(error: &io::Error) -> bool {
    lack_of(error).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn what_we_have_none_left_of_is_no_fault_of_others() {
        for (ours, lack) in [
            (Errno::MFILE, Lack::Files),
            (Errno::NFILE, Lack::SystemFiles),
            (Errno::NOBUFS, Lack::Memory),
            (Errno::NOMEM, Lack::Memory),
            (Errno::ADDRNOTAVAIL, Lack::Ports),
        ] {
            assert!(is_our_lack(&error(ours)), "{ours:?}");
            assert_eq!(lack_of(&error(ours)), Some(lack), "{ours:?}");
        }
        for theirs in [Errno::CONNREFUSED, Errno::TIMEDOUT, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::CONNRESET] {
            assert!(!is_our_lack(&error(theirs)), "{theirs:?}");
        }
        for of_the_device in [Errno::IO, Errno::NOSPC, Errno::ROFS, Errno::DQUOT] {
            assert!(!is_our_lack(&error(of_the_device)), "{of_the_device:?}");
        }
    }

    #[test]
    fn a_client_that_goes_gives_back_a_file_and_memory_and_no_port() {
        for (lack, gives) in [
            (Lack::Files, true),
            (Lack::SystemFiles, true),
            (Lack::Memory, true),
            (Lack::Ports, false),
            (Lack::Threads, false),
        ] {
            assert_eq!(lack.is_of_clients(), gives, "{lack:?}");
        }
    }
}
