//! PURE. Messages as the RFCs define them. No sockets, no tokio, no clock, no logging.

pub mod cache_control;
pub mod date;
pub mod fault;
pub mod hop;
pub mod list;
pub mod status;
pub mod target;
pub mod via;
