//! ringhold: a caching HTTP forward proxy that is a cluster.
//!
//! # Layout
//! - [`wire`]: PURE. Messages as the RFCs define them: lists, hop-by-hop, targets and keys, Via, dates, faults
//! - [`policy`]: PURE. RFC 9111: may I store, may I reuse, how old, which variant, what changed, and why
//! - [`ring`]: PURE. Hash, points, owner and successors, bounded load, the plan of a change
//! - [`config`]: TOML to a validated `Config`; [`cli`]: what the user typed; [`clock`]: the only reader of the clock;
//!   [`alloc`]: the allocator; [`account`]: the memory that is held for others; [`lines`]: log lines that never wait for
//!   their reader
//! - [`store`]: moka and the compact entry
//! - [`net`]: listen, dial, the HTTP/1 server and client, drain
//! - [`cluster`]: who is in the ring: static members, health, supervision; publishes immutable views
//! - [`node`]: the cache node: service (the spine), fill, fetch, control
//! - [`proxy`]: the front: service (the spine), route, relay, tunnel, access, admin
//!
//! Arrows run one way: `main -> proxy, node -> cluster -> store, net -> policy, ring -> wire`.
//! `proxy` and `node` never import each other: they meet on the wire (`docs/link.md`).

pub mod account;
pub mod alloc;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod lines;
pub mod net;
pub mod node;
pub mod policy;
pub mod proxy;
pub mod ring;
pub mod store;
pub mod wire;
