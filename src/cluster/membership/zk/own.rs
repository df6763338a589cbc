//! PURE. Where this front is reached, and what of that others are told.

use crate::config::{Config, authority, is_local, is_loopback};
use std::net::SocketAddr;

/// Addresses as they are of use on this machine.
#[derive(Debug)]
pub struct MachineAddresses {
    pub proxy: String,
    pub admin: String,
    /// The same for the other machines; empty what cannot be reached from there.
    pub public_proxy: String,
    pub public_admin: String,
}

impl MachineAddresses {
    /// `config` holds the addresses that were bound; `host`: how others reach this machine.
    pub fn new(config: &Config, host: &str) -> MachineAddresses {
        let proxy = config.proxy.listen.first().copied();
        let shown = |address: SocketAddr| match address.ip().is_unspecified() {
            true => authority(host, address.port()),
            false => address.to_string(),
        };
        // Whoever reads a loopback address takes it for its own machine.
        let public = |address: SocketAddr| match is_loopback(address.ip()) && !is_local(host) {
            true => String::new(),
            false => shown(address),
        };
        MachineAddresses {
            proxy: proxy.map(shown).unwrap_or_default(),
            admin: shown(config.admin.listen),
            public_proxy: proxy.map(public).unwrap_or_default(),
            public_admin: public(config.admin.listen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_is_told_to_others_only_where_all_are_on_one_machine() {
        let rows = [
            ("127.0.0.1:3128", "10.0.0.7", "127.0.0.1:3128", ""),
            ("[::1]:3128", "cache.example", "[::1]:3128", ""),
            ("127.0.0.1:3128", "127.0.0.1", "127.0.0.1:3128", "127.0.0.1:3128"),
            ("127.0.0.2:3128", "localhost", "127.0.0.2:3128", "127.0.0.2:3128"),
            ("0.0.0.0:3128", "10.0.0.7", "10.0.0.7:3128", "10.0.0.7:3128"),
            ("10.0.0.8:3128", "10.0.0.7", "10.0.0.8:3128", "10.0.0.8:3128"),
        ];
        for (listen, host, here, elsewhere) in rows {
            let mut config = Config::default();
            config.proxy.listen = vec![listen.parse().unwrap()];
            config.admin.listen = listen.parse().unwrap();
            let own = MachineAddresses::new(&config, host);
            let told = [own.proxy.as_str(), &own.admin, &own.public_proxy, &own.public_admin];
            assert_eq!(told, [here, here, elsewhere, elsewhere], "{listen}, {host}");
        }
    }
}
