//! PURE. Which ports clients may tunnel to, and what those hear who may not use the proxy at all
//! ([`crate::net::trust`]).

use crate::config::Access;
use crate::net::listen::Peer;
use crate::wire::fault::{Fault, Kind};
use http::StatusCode;

/// What whoever may not use the proxy is answered.
pub fn stranger() -> Fault {
    Fault::denied(
        "Your address is not among those that may use this proxy. Its operator can add it to [access] clients.",
    )
}

/// What a client hears that asks for an https URL where a node could only be asked for it in clear.
pub fn in_clear() -> Fault {
    Fault::denied(
        "https:// is fetched for a client only where nobody else hears what cache nodes are asked, and some here are reached by TCP \
         and have not been found to speak TLS with this proxy: give all of them, and it, the same [cluster] secret. Or ask \
         through a tunnel (CONNECT): set https_proxy to this proxy's http:// address.",
    )
}

/// The same inside the TLS of a host, where a node has joined that can be asked in clear alone (RFC 9110 section 15.5.20).
pub fn in_clear_inside() -> Fault {
    let detail = "A cache node has joined that is reached by TCP and has not been found to speak TLS: ask again on a new connection, \
                  which will be a tunnel to the host itself.";
    Fault::client(StatusCode::MISDIRECTED_REQUEST, Kind::HttpRequestDenied, detail)
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
    fn other_machines_tunnel_only_to_the_listed_ports() {
        for (port, same_machine, allowed) in [(443, false, true), (22, false, false), (22, true, true)] {
            assert_eq!(may_connect(port, peer("10.0.0.1:1", same_machine), &access()).is_ok(), allowed, "{port}");
        }
    }
}
