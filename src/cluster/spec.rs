//! PURE. A node as people write it in JSON: the body of `POST /v1/nodes` and a line of the state file.

use crate::config::{Address, Node, Place};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// More would make a ring of millions of points.
pub const MAX_WEIGHT: u32 = 1000;

/// `{"id":"n4","spawn":true}` or `{"id":"rack2","address":"10.0.0.7:5003","weight":2}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spawn: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default = "one")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// What is wrong with a specification, and the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadSpec {
    Id(String),
    Weight(u32),
    NeitherSpawnNorAddress,
    BothSpawnAndAddress,
    Address(String),
}

impl Spec {
    /// Checks it; `free` is the id of a node that was given none.
    pub fn into_node(self, free: impl FnOnce() -> String) -> Result<Node, BadSpec> {
        let id = self.id.unwrap_or_else(free);
        check_id(&id)?;
        check_weight(self.weight)?;
        let place = match (self.spawn, self.address) {
            (true, None) => Place::Spawn,
            (false, Some(address)) => Place::At(parse_address(&address)?),
            (true, Some(_)) => return Err(BadSpec::BothSpawnAndAddress),
            (false, None) => return Err(BadSpec::NeitherSpawnNorAddress),
        };
        Ok(Node { id, place, weight: self.weight })
    }
}

impl From<&Node> for Spec {
    fn from(node: &Node) -> Spec {
        let (spawn, address) = match &node.place {
            Place::Spawn => (true, None),
            Place::At(address) => (false, Some(address.to_string())),
        };
        Spec { id: Some(node.id.clone()), spawn, address, weight: node.weight }
    }
}

/// Ids are part of socket names, metrics and `Cache-Status`.
pub fn check_id(id: &str) -> Result<(), BadSpec> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let good = (1..=64).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with('.');
    if good { Ok(()) } else { Err(BadSpec::Id(id.to_owned())) }
}

pub fn check_weight(weight: u32) -> Result<(), BadSpec> {
    if (1..=MAX_WEIGHT).contains(&weight) { Ok(()) } else { Err(BadSpec::Weight(weight)) }
}

/// `unix:/path` or `host:port`.
pub fn parse_address(text: &str) -> Result<Address, BadSpec> {
    let bad = || BadSpec::Address(text.to_owned());
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.starts_with('/') && path.len() < 100 { Ok(Address::Unix(path.into())) } else { Err(bad()) };
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port_good = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p != 0);
    let host_good = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')),
    };
    if port_good && host_good { Ok(Address::Tcp(text.to_owned())) } else { Err(bad()) }
}

/// Whether what listens there runs on this machine, as far as the address alone can tell.
pub fn same_machine(address: &Address) -> bool {
    match address {
        Address::Unix(_) => true,
        Address::Tcp(text) => {
            let host = text.rsplit_once(':').map_or(text.as_str(), |(host, _)| host);
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    }
}

impl fmt::Display for BadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadSpec::Id(id) => {
                write!(f, "{id:?} is not a node id: use 1 to 64 letters, digits, '-', '_' or '.', not beginning with '.'")
            }
            BadSpec::Weight(w) => write!(f, "a weight of {w} is not possible: use a whole number from 1 to {MAX_WEIGHT}"),
            BadSpec::NeitherSpawnNorAddress => {
                f.write_str("say where the node runs: \"spawn\": true for a child process, or \"address\": \"host:port\"")
            }
            BadSpec::BothSpawnAndAddress => f.write_str("\"spawn\" and \"address\" exclude each other: leave one out"),
            BadSpec::Address(a) => {
                write!(f, "{a:?} is not an address: write \"host:port\", \"[ipv6]:port\" or \"unix:/path\" (under 100 bytes)")
            }
        }
    }
}

impl std::error::Error for BadSpec {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_socket_or_a_host_with_a_port() {
        for good in ["unix:/run/n1.sock", "10.0.0.7:5003", "rack-2.example:80", "[::1]:5003", "localhost:1"] {
            assert_eq!(parse_address(good).map(|a| a.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "unix:relative", "host", "host:", "host:0", "host:65536", ":80", "::1:80", "a b:80", "h:+1"] {
            assert_eq!(parse_address(bad), Err(BadSpec::Address(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_loopback_address_is_on_this_machine() {
        let cases = [("localhost:1", true), ("127.9.9.9:1", true), ("[::1]:1", true), ("10.0.0.7:1", false), ("h:1", false)];
        for (text, expected) in cases {
            assert_eq!(same_machine(&Address::Tcp(text.into())), expected, "{text}");
        }
    }

    #[test]
    fn a_specification_says_exactly_one_place() {
        let read = |json: &str| serde_json::from_str::<Spec>(json).unwrap().into_node(|| "n9".into());
        assert_eq!(read(r#"{"spawn":true}"#), Ok(Node { id: "n9".into(), place: Place::Spawn, weight: 1 }));
        assert_eq!(read("{}"), Err(BadSpec::NeitherSpawnNorAddress));
        assert_eq!(read(r#"{"spawn":true,"address":"h:1"}"#), Err(BadSpec::BothSpawnAndAddress));
        assert_eq!(read(r#"{"spawn":true,"weight":0}"#), Err(BadSpec::Weight(0)));
        assert_eq!(read(r#"{"spawn":true,"id":"../x"}"#), Err(BadSpec::Id("../x".into())));
        assert!(serde_json::from_str::<Spec>(r#"{"spwan":true}"#).is_err(), "a typo is an error");
    }
}
