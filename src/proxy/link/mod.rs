//! The front's side of the link (`docs/link.md`): an HTTP/1.1 client with one pool a worker and node.
//!
//! A request head is one buffer and one write; an answer head is read into a buffer that the whole worker shares and is
//! parsed once; a small body that came along is one `Bytes`, and the connection is back in its pool at once.

mod acquire;
mod body;
mod broken;
mod conn;
mod control;
mod encode;
mod exchange;
mod kept;
mod pipeline;
mod pool;
mod process;
mod queue;
mod shared;
mod silent;
mod tie;

#[cfg(test)]
mod tests;

pub use acquire::Want;
pub use body::LinkBody;
pub use broken::LinkError;
pub use conn::NodeConn;
pub use decode::Head;
pub use encode::{Request, Said};
pub use exchange::{NodeAnswer, NodeContent, exchange, exchange_tied};
pub use fields::verbatim;
pub use pipeline::held;
pub use pool::{NodePool, Swept};
pub use process::NodeProcess;
pub use shared::{Shared, TICK};
pub use silent::Endings;
pub use tie::{Tie, Ties};

use crate::wire::answer::{decode, fields};
