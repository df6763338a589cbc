//! ringhold: a caching HTTP forward proxy that is a cluster.
//!
//! # Layout
//! - `wire`: PURE. Messages as the RFCs define them: lists, hop-by-hop, targets and keys, Via, dates, faults
//! - `policy`: PURE. RFC 9111: may I store, may I reuse, how old, which variant, what changed, and why
//! - `ring`: PURE. Hash, points, owner and successors, bounded load, the plan of a change
//! - `config`: TOML to a validated `Config`; `cli`: what the user typed; `clock`: the only reader of the clock;
//!   `alloc`: the allocator; `account`: the memory that is held for others; `lack`: what we have none left of; `lines`: log lines that never wait for
//!   their reader; `private`: folders that only we may look into, and locks; `properties`: what holds for the byte parsers whatever comes, for tests and fuzzing alone
//! - `store`: moka and the compact entry; `store/disk`: what of it survives the process
//! - `net`: listen, dial, TLS, the HTTP/1 server and client, drain
//! - `cluster`: who is in the ring: static members, health, supervision; publishes immutable views
//! - `node`: the cache node: service (the spine), fill, fetch, control
//! - `proxy`: the front: service (the spine), route, relay, tunnel, access, admin
//!
//! Arrows run one way: `main -> proxy, node -> cluster -> store, net -> policy, ring -> wire`.
//! `proxy` and `node` never import each other: they meet on the wire (`docs/link.md`).

mod account;
mod alloc;
mod aside;
mod cli;
mod clock;
mod cluster;
mod config;
mod lack;
mod lines;
mod net;
mod node;
mod policy;
mod private;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod proxy;
mod recent;
mod ring;
mod store;
mod wire;

/// What `src/main.rs` puts together.
pub mod program {
    pub use crate::alloc::Recycling;
    pub use crate::cli::args::Args;
    pub use crate::cli::{Done, Job};
    pub use crate::config::{Config, LogConfig, LogFormat, NodePlace};
    pub use crate::lines::{Lines, Writer, set_log};
    pub use crate::net::drain::StartError;
    pub use crate::net::signals::{Ending, ignore_harmless, watch};
    pub use crate::node::run::{Options, run as run_node};
    pub use crate::proxy::https::start::check_now as check_https;
    pub use crate::proxy::run as run_front;
}

/// What tests, benches and fuzz targets see of the pure parts and of the store. Nothing else is public, so that the compiler
/// finds what nobody uses.
pub mod lab {
    #[cfg(fuzzing)]
    pub use crate::properties;
    pub mod config {
        pub use crate::config::{CacheConfig, Eviction};
    }
    pub mod net {
        pub use crate::net::serve::RequestHead;
    }
    pub mod policy {
        pub use crate::policy::{Decision, Failure, Ranged, Rules, Stored, Terms};
        pub use crate::policy::{decide, explain, freshen, stale_if_error, storable, storable_fields};
        pub mod ranges {
            pub use crate::policy::ranges::of;
        }
        pub mod requests {
            pub use crate::policy::requests::{for_everyone, may_lead};
        }
        pub mod variants {
            pub use crate::policy::variants::{selecting, selecting_by};
        }
    }
    pub mod https {
        pub use crate::proxy::https::ca::{CertificateAuthority, make};
        pub use crate::proxy::https::folder::{AuthorityFolder, Which};
        pub use crate::proxy::https::leaf::{Leaf, Leaves, Unsigned};
        pub use crate::wire::https::name::Name;
    }
    pub mod ring {
        pub use crate::ring::{Hash, Member, Ring};
    }
    pub mod store {
        pub use crate::store::{Entry, Mark, ShelfLimits, Store};
    }
    pub mod wire {
        pub use crate::wire::cache_control::{CacheControl, Set, withheld};
        pub use crate::wire::date::{Timestamp, parse as parse_date};
        pub use crate::wire::field::Traits;
        pub use crate::wire::head_limits::HeadLimits;
        pub use crate::wire::target::Key;
    }
}
