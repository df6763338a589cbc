//! The addresses of this machine.

use crate::clock::{Tick, tick};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

/// The system is asked no more often; an address that came since is found once it is connected to
/// ([`super::dial::Dialer::dial`]).
const KEEP: Duration = Duration::from_secs(1);

/// What the system says, kept for a second. One a thread.
#[derive(Debug, Default)]
pub(super) struct OwnAddresses {
    asked: Cell<Option<Tick>>,
    addresses: RefCell<Rc<[IpAddr]>>,
}

impl OwnAddresses {
    /// All of them, of every interface. Where the system does not say, those that it said last.
    pub(super) fn addresses(&self) -> Rc<[IpAddr]> {
        let now = tick();
        if self.asked.get().is_none_or(|asked| now.since(asked) >= KEEP) {
            self.asked.set(Some(now));
            match interfaces() {
                Ok(found) => drop(self.addresses.replace(found.into())),
                Err(e) => tracing::warn!("the system does not say which addresses it has: {e}"),
            }
        }
        self.addresses.borrow().clone()
    }
}

/// The addresses of all interfaces.
fn interfaces() -> io::Result<Vec<IpAddr>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: it writes one pointer, to a list that is ours until `freeifaddrs`.
    if unsafe { libc::getifaddrs(&mut first) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let (mut found, mut next) = (Vec::new(), first);
    while !next.is_null() {
        // SAFETY: an element of that list, which is not freed yet; its end is null.
        let interface = unsafe { &*next };
        // SAFETY: null, or a socket address as long as its family says.
        found.extend(unsafe { address(interface.ifa_addr) });
        next = interface.ifa_next;
    }
    // SAFETY: the list from above, of which nothing is referred to any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// # Safety
/// `address` is null or a socket address that is as long as its family says.
unsafe fn address(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: as the caller says; reads of any alignment.
    unsafe {
        match i32::from(std::ptr::read_unaligned(address).sa_family) {
            libc::AF_INET => {
                let v4 = std::ptr::read_unaligned(address.cast::<libc::sockaddr_in>());
                Some(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()).into())
            }
            libc::AF_INET6 => {
                let v6 = std::ptr::read_unaligned(address.cast::<libc::sockaddr_in6>());
                Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_an_address_of_this_machine_and_a_documentation_address_is_not() {
        let own = OwnAddresses::default();
        assert!(own.addresses().contains(&"127.0.0.1".parse().unwrap()));
        assert!(!own.addresses().contains(&"192.0.2.1".parse().unwrap()));
    }
}
