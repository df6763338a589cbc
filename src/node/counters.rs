//! What a node counts; read through `GET /metrics` on its port.

use std::cell::Cell;

macro_rules! counters {
    ($($name:ident: $help:literal,)*) => {
        /// Counters of one node. One thread, so plain cells.
        #[derive(Debug, Default)]
        pub struct NodeCounters { $(#[doc = $help] pub $name: Cell<u64>,)* }
        impl NodeCounters {
            /// Name and value of each.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    requests: "requests to be answered from cache or origin",
    hits: "answered from the store without asking the origin",
    validated: "answered from the store after a 304 from the origin",
    collapsed: "answered from a fetch that another request had begun",
    forwarded: "answered by the origin",
    stored: "responses stored",
    broken_fills: "responses whose body broke off before it could be stored",
    abandoned_fills: "fetches stopped because nobody waited for them any more",
    purged: "URLs purged",
    invalidated: "URLs made invalid by an unsafe method",
    origin_requests: "requests sent to origins",
    origin_connections: "connections opened to origins",
    origin_tls_handshakes: "TLS handshakes with origins",
    origin_tls_resumed: "those of them that went on with an earlier session",
    origin_failures: "exchanges that failed because of the origin",
    peer_asks: "questions to other nodes before the origin",
    peer_hits: "answered with what another node had",
    peer_failures: "questions to other nodes that were refused or not answered in time",
    peer_answers: "questions of other nodes that were answered with what is stored or under way",
    strangers: "requests and proofs of strangers that were refused",
    bytes_from_origin: "body bytes received from origins",
}

/// Adds `n`.
pub fn add(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get().wrapping_add(n));
}
