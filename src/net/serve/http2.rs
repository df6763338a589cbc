//! The HTTP/2 server: its streams are requests and answers as the HTTP/1 server has them, asked of the same service. The `h2`
//! library keeps the protocol (RFC 9113 sections 3 to 7); here is what it carries (section 8), and its limits.

mod answered;
mod conn;
mod content;
mod exchange;
mod fields;
mod frames;
pub(super) mod inlet;
mod outlet;

pub use conn::connection;
