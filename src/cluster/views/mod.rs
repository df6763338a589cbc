//! What workers route by and what they say: immutable, numbered views of the ring and its nodes, published by the control
//! plane and read without a lock; and the bounded way back.
//!
//! - [`view`]: a view and its nodes; [`handover`] (PURE): who owned what before
//! - `latency`: how long a node's hits take; [`report`]: what workers say

pub mod handover;
pub mod latency;
pub mod report;
pub mod view;

pub use view::{Membership, Node, Outdated, Report, View};
