//! Another node, and what holds for all of them.

use crate::config::{Address, ClusterConfig};
use crate::net::http1;
use crate::wire::link;
use crate::wire::target::Key;
use crate::wire::tenure::Tenure;
use http::HeaderMap;
use std::rc::Rc;
use std::time::Duration;

/// The body of another node's answer.
pub type PeerBody = Box<http1::ResponseBody>;

/// A node that waits for the head of its own fetch says so this often.
pub const SIGN: Duration = Duration::from_millis(150);

/// A node that the front has named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemotePeer {
    pub id: Box<str>,
    pub address: Address,
    /// It is the owner, in whose place this node is asked: nothing is answered but what it lends.
    pub owns: bool,
    /// It is asked where nobody else hears that, or not at all: for what is https.
    pub privately: bool,
}

impl RemotePeer {
    /// From `Ringhold-Peer`, and what `Ringhold-Owner` says.
    pub fn read(headers: &HeaderMap, tenure: Tenure, key: &Key) -> Option<RemotePeer> {
        let (id, address) = link::introduced(headers.get(link::PEER)?.as_bytes())?;
        let named = RemotePeer::at(id, address.parse().ok()?, key);
        Some(RemotePeer { owns: tenure.only, ..named })
    }

    /// One that holds what is asked for, and owns nothing.
    pub fn at(id: &str, address: Address, key: &Key) -> RemotePeer {
        RemotePeer { id: id.into(), address, owns: false, privately: key.scheme() == "https" }
    }
}

/// What holds for each of them.
pub struct PeerLimits {
    /// Its secrets are proved on new connections.
    pub cluster: ClusterConfig,
    pub connections: usize,
    pub idle: Duration,
    pub http: Rc<http1::ClientLimits>,
    /// To the head of the answer, or the first sign of a node that waits for it itself.
    pub answer: Duration,
    /// From one sign to the next.
    pub sign: Duration,
    /// To the head of the answer, however many signs there are.
    pub first_byte: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_asked_for_https_where_nobody_else_hears_it() {
        for (url, address, privately) in [
            ("http://a.example/", "10.0.0.1:1", false),
            ("http://a.example/", "unix:/n2", false),
            ("https://a.example/", "unix:/n2", true),
            ("https://a.example/", "10.0.0.1:1", true),
            ("https://a.example/", "127.0.0.1:1", true),
        ] {
            let named = link::introduction("n2", address).unwrap().parse().unwrap();
            let headers = HeaderMap::from_iter([(link::PEER, named)]);
            let peer = RemotePeer::read(&headers, Tenure::ANY, &Key::parse(url).unwrap()).unwrap();
            assert_eq!(peer.privately, privately, "{url} of {address}");
        }
    }
}
