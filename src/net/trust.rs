//! PURE. Who is at the other end of a connection, and what follows from it: the table of docs/operations.md (Trust).
//!
//! Asked where a connection is accepted, and once more at a node when the peer has proved something; so no route of a
//! request can forget it. What a request says changes none of it.

use super::listen::Peer;
use crate::config::Access;

/// What a peer may do at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs on this machine: everything, and its word counts on who is local.
    SameMachine,
    /// A front elsewhere that has proved it: everything but what is for clients on this machine.
    Front,
    /// Nothing but to prove that it is a front.
    Stranger,
}

/// Whether a client may use the proxy. Who is on this machine could do all of it without us.
pub fn may_use_proxy(peer: Peer, access: &Access) -> bool {
    let listed =
        || peer.addr.is_some_and(|addr| access.clients.iter().any(|net| net.contains(&addr.ip().to_canonical())));
    peer.same_machine || listed()
}

/// Whether the admin API is there for a peer at all; the token is asked for later, request by request.
pub fn may_see_admin(peer: Peer, has_token: bool) -> bool {
    has_token || peer.addr.is_none_or(|addr| addr.ip().to_canonical().is_loopback())
}

/// At a node. `has_secret`: the cluster has one; `proved`: the peer knows it.
///
/// A Unix socket is opened by its owner alone. On TCP everyone with an account on this machine reaches its loopback, and
/// whatever connects for others (a proxy, a tunnel) comes from an address of this machine too: where there is a secret,
/// everyone on TCP has to prove it.
pub fn at_node(peer: Peer, has_secret: bool, proved: bool) -> Standing {
    match peer {
        Peer { addr: None, .. } => Standing::SameMachine,
        Peer { same_machine: true, .. } if proved || !has_secret => Standing::SameMachine,
        Peer { same_machine: false, .. } if proved => Standing::Front,
        _ => Standing::Stranger,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(addr: &str, same_machine: bool) -> Peer {
        Peer { addr: Some(addr.parse().unwrap()), same_machine }
    }

    const UNIX: Peer = Peer { addr: None, same_machine: true };

    #[test]
    fn clients_are_admitted_by_network_or_machine() {
        let clients = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let access = Access { clients, connect_ports: vec![443], open: vec![], forwarded_for: false };
        for (addr, same_machine, admitted) in [
            ("10.1.2.3:1", false, true),
            ("[::ffff:10.1.2.3]:1", false, true),
            ("[fd00::1]:1", false, true),
            ("203.0.113.1:1", false, false),
            ("203.0.113.1:1", true, true),
            ("[::ffff:203.0.113.1]:1", false, false),
        ] {
            assert_eq!(may_use_proxy(peer(addr, same_machine), &access), admitted, "{addr}");
        }
        assert!(may_use_proxy(UNIX, &access));
    }

    #[test]
    fn the_admin_api_is_for_loopback_or_who_has_a_token() {
        for (addr, has_token, expected) in [
            ("127.0.0.1:1", false, true),
            ("[::ffff:127.0.0.1]:1", false, true),
            ("10.0.0.1:1", false, false),
            ("10.0.0.1:1", true, true),
        ] {
            assert_eq!(may_see_admin(peer(addr, false), has_token), expected, "{addr} {has_token}");
        }
    }

    #[test]
    fn where_there_is_a_secret_it_is_asked_of_everyone_on_tcp() {
        use Standing::{Front, SameMachine, Stranger};
        for (peer, has_secret, proved, expected) in [
            (UNIX, false, false, SameMachine),
            (UNIX, true, false, SameMachine),
            (peer("127.0.0.1:1", true), false, false, SameMachine),
            (peer("127.0.0.1:1", true), true, false, Stranger),
            (peer("127.0.0.1:1", true), true, true, SameMachine),
            (peer("10.0.0.1:1", true), true, false, Stranger),
            (peer("10.0.0.2:1", false), false, false, Stranger),
            (peer("10.0.0.2:1", false), true, false, Stranger),
            (peer("10.0.0.2:1", false), true, true, Front),
        ] {
            assert_eq!(at_node(peer, has_secret, proved), expected, "{peer:?} {has_secret} {proved}");
        }
    }
}
