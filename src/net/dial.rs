//! Dialling: DNS with a short cache, destination rules on each address, happy eyeballs (RFC 8305).

use super::listen::Stream;
use super::rules::Reach;
use crate::config::Config;
use crate::wire::fault::Fault;
use std::net::SocketAddr;

/// Connects to origins. One per thread (not Send needed). Cheap to share by `Rc`.
pub struct Dialer {}

/// What was connected.
pub struct Dialed {
    pub stream: Stream,
    pub address: SocketAddr,
    /// Who may see what comes from there (never `Nobody`).
    pub reach: Reach,
}

impl Dialer {
    pub fn new(config: &Config) -> Dialer {
        let _ = config;
        todo!()
    }
    /// Resolves and connects within `timeouts.connect`. `same_machine`: the client is on this machine.
    /// Faults: `destination_ip_prohibited` (403) when every address is forbidden to this client, DNS errors,
    /// refused, timed out: all the origin's.
    pub async fn dial(&self, host: &str, port: u16, same_machine: bool) -> Result<Dialed, Fault> {
        let _ = (host, port, same_machine);
        todo!()
    }
}
