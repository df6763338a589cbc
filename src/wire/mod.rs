//! PURE. Messages as the RFCs define them. No sockets, no tokio, no clock, no logging.

pub mod answer;
pub mod authority;
pub mod cache_control;
pub mod civil;
pub mod client_hello;
pub mod connection_auth;
pub mod date;
pub mod fault;
pub mod field;
pub mod head_limits;
pub mod hop;
pub mod https;
pub mod length;
pub mod link;
pub mod list;
pub mod percent;
pub mod proof;
mod reference;
pub mod status;
mod structured;
pub mod target;
pub mod tenure;
pub mod via;
pub mod view;
pub mod written;
pub mod x509;
