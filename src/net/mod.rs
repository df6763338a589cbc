//! Listen, dial, the driver of one server connection, drain.

pub mod dial;
mod dns;
pub mod drain;
mod eyeballs;
pub mod listen;
pub mod rules;
pub mod serve;
pub mod splice;
mod stream;
