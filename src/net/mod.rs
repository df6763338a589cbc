//! Listen, dial, the driver of one server connection, drain.

pub mod dial;
pub mod drain;
pub mod listen;
pub mod rules;
pub mod serve;
