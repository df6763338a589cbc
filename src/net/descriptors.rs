//! What a process has of its own: files, ports, memory of the kernel's. When it has no more of these nobody else is to
//! blame.

use crate::config::Config;
pub use crate::lack::{Lack, is_our_lack, lack_of};
use rustix::io::Errno;
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

/// Files that are no connections: standard ones, logs, sockets that listen, what the runtime has.
const OTHERS: usize = 64;
/// Between two tries to get what there was none of.
pub const PAUSE: Duration = Duration::from_millis(5);

/// Makes room where it can: closes what has been idle for longest, and has what is lacking. False: nothing of that is idle.
#[derive(Clone, Default)]
pub struct Relief(RefCell<Option<Rc<dyn Fn(Lack) -> bool>>>);

impl Relief {
    pub fn set(&self, relief: impl Fn(Lack) -> bool + 'static) {
        *self.0.borrow_mut() = Some(Rc::new(relief));
    }

    pub fn give(&self, lack: Lack) -> bool {
        let relief = self.0.borrow().clone();
        relief.is_some_and(|relief| relief(lack))
    }
}

/// [`is_our_lack`] for a connection to this address: that no address can be connected from may also mean that there is no way to
/// it. A datagram socket tells, which needs the way and none of the ports.
pub fn is_our_lack_to(error: &io::Error, address: SocketAddr) -> bool {
    if Errno::from_io_error(error) != Some(Errno::ADDRNOTAVAIL) {
        return is_our_lack(error);
    }
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    match UdpSocket::bind(any).and_then(|socket| socket.connect(address)) {
        Ok(()) => true,
        Err(e) => Errno::from_io_error(&e) != Some(Errno::ADDRNOTAVAIL) && is_our_lack(&e),
    }
}

/// Whether so many files can be opened at the moment.
pub fn are_left(count: usize) -> bool {
    let opened: io::Result<Vec<UdpSocket>> = (0..count).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    opened.is_ok()
}

/// What a person can do about it.
pub fn cure(lack: Lack) -> String {
    match lack {
        Lack::Files => format!(
            "the limit of open files is {}: raise it (`ulimit -n`, `LimitNOFILE=` in a systemd unit) or lower \
             limits.connections",
            limit()
        ),
        Lack::SystemFiles => "all processes together have as many files open as fs.file-max allows: raise it".into(),
        Lack::Memory => "give the machine, or its cgroup (`MemoryMax=` in a systemd unit), more memory, or lower \
             limits.connections"
            .into(),
        Lack::Ports => "widen net.ipv4.ip_local_port_range".into(),
        Lack::Threads => "raise the limit of its tasks (`TasksMax=` in a systemd unit, `pids.max` of its cgroup, \
             `ulimit -u`)"
            .into(),
    }
}

/// What is told to who needs a connection to `address`, with the cure.
pub fn lacking(lack: Lack, address: &str) -> String {
    let what = match lack {
        Lack::Files | Lack::SystemFiles => "the proxy has no file descriptor left for a connection",
        Lack::Memory => "the proxy has no memory left for a connection",
        Lack::Ports => return format!("no local port is left to {address}: {}", cure(lack)),
        Lack::Threads => "the proxy can have no thread more to look a name up with",
    };
    format!("{what}: {}", cure(lack))
}

/// Files that this process may open.
pub fn limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
}

/// As many connections of clients as there are files for, where each may need another in turn, to a node or at the far end of a
/// tunnel, and an eighth is kept for all else: administration, probes, and who is to be told that there is no room.
pub fn for_clients() -> usize {
    (but_an_eighth(limit().saturating_sub(OTHERS)) / 2).max(1)
}

/// Connections to one node, of each of so many workers. A node that the front has started has as many files as the front: not all
/// of its seats are for requests, or the probe waits outside, and the node is taken for silent.
fn for_node(workers: usize) -> usize {
    (but_an_eighth(for_fronts()) / workers.max(1)).max(1)
}

fn but_an_eighth(files: usize) -> usize {
    files - files / 8
}

/// Those to a node, which needs as many to origins.
pub fn for_fronts() -> usize {
    (limit().saturating_sub(OTHERS) / 2).max(1)
}

/// Idle ones to origins.
pub fn for_idle() -> usize {
    (limit() / 4).clamp(16, 8192)
}

/// The configuration as far as there are files for it, and what to say where there are not.
pub fn fitted(mut config: Config) -> (Config, Option<String>) {
    let (room, wanted) = (for_clients(), config.limits.connections);
    let remark = (wanted > room).then(|| {
        format!(
            "at most {room} client connections instead of limits.connections = {wanted}, because {}",
            cure(Lack::Files)
        )
    });
    config.limits.connections = wanted.min(room);
    config.limits.node_connections = config.limits.node_connections.min(for_node(config.proxy.workers));
    (config, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn what_is_lacking_is_named_with_its_own_cure() {
        for (errno, what, how) in [
            (Errno::MFILE, "no file descriptor left", "`LimitNOFILE=`"),
            (Errno::NFILE, "no file descriptor left", "fs.file-max"),
            (Errno::NOMEM, "no memory left", "`MemoryMax=`"),
            (Errno::NOBUFS, "no memory left", "`MemoryMax=`"),
            (Errno::ADDRNOTAVAIL, "no local port is left to 192.0.2.1:80:", "net.ipv4.ip_local_port_range"),
        ] {
            let told = lacking(lack_of(&error(errno)).unwrap(), "192.0.2.1:80");
            assert!(told.contains(what) && told.contains(how), "{errno:?}: {told}");
            for other in ["LimitNOFILE", "fs.file-max", "MemoryMax", "ip_local_port_range", "TasksMax"] {
                assert_eq!(told.contains(other), how.contains(other), "{errno:?}: {told}");
            }
        }
        assert!(lacking(Lack::Threads, "a.example:80").contains("`TasksMax=`"));
    }

    #[test]
    fn no_port_left_is_told_from_no_way() {
        assert!(is_our_lack_to(&error(Errno::ADDRNOTAVAIL), "127.0.0.1:80".parse().unwrap()));
        assert!(!is_our_lack_to(&error(Errno::CONNREFUSED), "127.0.0.1:80".parse().unwrap()));
    }
}
