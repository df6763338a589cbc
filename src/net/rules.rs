//! PURE. Which destinations a client may reach, decided on the address that is really connected to.

use ipnet::IpNet;
use std::net::IpAddr;

/// Who can reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everyone who may use the proxy.
    Anyone,
    /// Only clients on this machine: loopback and the unspecified address.
    SameMachine,
    /// Nobody: link-local, metadata services, multicast, broadcast, reserved.
    Nobody,
}

/// Classifies an address in every spelling (IPv4-mapped, -compatible, NAT64 and 6to4 forms are unwrapped first);
/// `open` lists networks that the configuration opens for everyone.
pub fn reach(address: IpAddr, open: &[IpNet]) -> Reach {
    let _ = (address, open);
    todo!()
}
