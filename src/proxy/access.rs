//! PURE. Who may use this proxy, and which ports they may tunnel to.

use crate::config::Access;
use crate::net::listen::Peer;
use crate::wire::fault::Fault;

/// Whether a client may use the proxy. Who is on this machine could do all of it without us.
pub fn admit(peer: Peer, access: &Access) -> Result<(), Fault> {
    let listed =
        || peer.addr.is_some_and(|addr| access.clients.iter().any(|net| net.contains(&addr.ip().to_canonical())));
    if peer.same_machine || listed() {
        return Ok(());
    }
    Err(Fault::denied(
        "Your address is not among those that may use this proxy. Its operator can add it to [access] clients.",
    ))
}

/// Whether a client may tunnel to a port.
pub fn may_connect(port: u16, peer: Peer, access: &Access) -> Result<(), Fault> {
    if peer.same_machine || access.connect_ports.contains(&port) {
        return Ok(());
    }
    let allowed: Vec<String> = access.connect_ports.iter().map(u16::to_string).collect();
    Err(Fault::denied(format!(
        "CONNECT to port {port} is not allowed from other machines, only to {}. The operator can add it to [access] \
         connect_ports.",
        allowed.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let clients = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        Access { clients, connect_ports: vec![443], open: vec![], forwarded_for: false }
    }

    fn peer(addr: &str, same_machine: bool) -> Peer {
        Peer { addr: Some(addr.parse().unwrap()), same_machine }
    }

    #[test]
    fn clients_are_admitted_by_network_or_machine() {
        for (addr, same_machine, admitted) in [
            ("10.1.2.3:1", false, true),
            ("[::ffff:10.1.2.3]:1", false, true),
            ("[fd00::1]:1", false, true),
            ("203.0.113.1:1", false, false),
            ("203.0.113.1:1", true, true),
            ("[::ffff:203.0.113.1]:1", false, false),
        ] {
            assert_eq!(admit(peer(addr, same_machine), &access()).is_ok(), admitted, "{addr}");
        }
        assert!(admit(Peer { addr: None, same_machine: true }, &access()).is_ok());
    }

    #[test]
    fn other_machines_tunnel_only_to_the_listed_ports() {
        for (port, same_machine, allowed) in [(443, false, true), (22, false, false), (22, true, true)] {
            assert_eq!(may_connect(port, peer("10.0.0.1:1", same_machine), &access()).is_ok(), allowed, "{port}");
        }
    }
}
