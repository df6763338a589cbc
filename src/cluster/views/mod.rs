//! What workers route by and what they say: immutable, numbered views of the ring and its nodes, published by the control
//! plane and read without a lock; and the bounded way back.
//!
//! - `view`: a view; `node`: one of its nodes; `able`: which of them are known to speak TLS; [`handover`] (PURE): who owned what before
//! - `latency`: how long a node's hits take; [`report`]: what workers say

mod able;
pub mod handover;
pub mod latency;
mod node;
pub mod report;
mod view;

pub use able::AbleNodes;
pub use node::{Millis, Node};
pub use report::{Outdated, Report, UntilTold};
pub use view::{Membership, View};
