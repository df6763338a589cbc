//! TLS: the only folder that names rustls. [`TlsSession`] is one connection, [`TlsClient`] what speaks to origins, [`Server`] to clients;
//! [`link`] is what the cluster's processes speak to each other.
//!
//! A session is driven on the socket itself: what it says that is not the application's (tickets, key updates, alerts) is
//! handled where the application reads or writes.

mod anyone;
mod client;
mod held;
pub mod link;
mod roots;
mod server;
mod session;
mod trouble;

pub use client::{LateTlsClient, TlsClient};
pub use held::held;
pub use roots::{BUNDLES, Roots};
pub use server::{Refused, Server};
pub use session::TlsSession;
pub use trouble::TlsTrouble;
