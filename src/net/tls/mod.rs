//! TLS: the only folder that names rustls. [`Session`] is one connection, [`Client`] what speaks to origins.
//!
//! A session is driven on the socket itself: what it says that is not the application's (tickets, key updates, alerts) is
//! handled where the application reads or writes.

mod client;
mod roots;
mod session;
mod trouble;

pub use client::Client;
pub use roots::{BUNDLES, Roots};
pub use session::Session;
pub use trouble::Trouble;
