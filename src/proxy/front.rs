//! The names of a front, and what all its workers share.

use super::https::folder::roots;
use super::https::leaf::Leaves;
use super::renewing::Renewing;
use crate::recent::Recent;
use http::HeaderValue;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The names of this front.
pub struct Front {
    pub pseudonym: String,
    /// Among several fronts; `None`: it is the only one.
    pub id: Option<String>,
    /// Our member of `Via`, by version of the message.
    pub via: [HeaderValue; 3],
    /// Where it listens, with the real ports.
    pub listen: Vec<SocketAddr>,
    pub admin: SocketAddr,
    /// What signs for hosts whose https is cached; `None`: no host's is.
    pub leaves: Option<Arc<Leaves>>,
    /// What more than its owner may hold.
    pub doubled: Recent,
    /// What its owner alone is asked for at the moment.
    pub renewing: Arc<Renewing>,
}

/// Places for what more than its owner may hold: what is asked of two nodes is hot, and there are few of those.
const DOUBLED: usize = 1 << 12;

/// Places for what is being changed: requests that are under way.
const RENEWING: usize = 1 << 12;

/// An address that a client on this machine can use.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

impl Front {
    pub fn new(pseudonym: &str, listen: Vec<SocketAddr>, admin: SocketAddr) -> Front {
        // The configuration admits only tokens.
        let via = ["1.0", "1.1", "2.0"].map(|version| {
            HeaderValue::try_from(format!("{version} {pseudonym}"))
                .unwrap_or_else(|_| HeaderValue::from_static("1.1 ringhold"))
        });
        Front {
            pseudonym: pseudonym.to_owned(),
            id: None,
            via,
            listen,
            admin,
            leaves: None,
            doubled: Recent::new(DOUBLED),
            renewing: Arc::new(Renewing::new(RENEWING)),
        }
    }
    /// The authorities that clients are to trust: each one's name and fingerprint.
    pub fn authorities(&self) -> Vec<(&str, String)> {
        let all = self.leaves.iter().flat_map(|leaves| leaves.authorities());
        all.map(|authority| (authority.name(), authority.fingerprint())).collect()
    }
    /// Their certificates, as PEM; empty: there is none.
    pub fn roots(&self) -> String {
        self.leaves.as_ref().map_or_else(String::new, |leaves| roots(leaves.authorities()))
    }
    /// The address to be set as a proxy.
    pub fn address(&self) -> String {
        self.listen.first().map(|address| reachable(*address).to_string()).unwrap_or_default()
    }
}
