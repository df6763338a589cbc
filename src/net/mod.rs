//! Listen, dial, TLS, the HTTP/1 server and client, drain.

mod able;
mod alive;
pub mod challenge;
pub mod descriptors;
pub mod dial;
mod dns;
pub mod drain;
mod eyeballs;
mod hosts;
pub mod http1;
pub mod lasting;
pub mod listen;
mod lookups;
mod own;
pub mod pipe;
pub mod prove;
pub mod rules;
pub mod serve;
pub mod shares;
pub mod signals;
pub mod splice;
mod stream;
pub mod tls;
pub mod trust;
pub mod web;
