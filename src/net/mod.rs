//! Listen, dial, the driver of one server connection, drain.

pub mod brief;
pub mod dial;
mod dns;
pub mod drain;
mod eyeballs;
pub mod lasting;
pub mod listen;
mod own;
pub mod prove;
pub mod rules;
pub mod serve;
pub mod signals;
pub mod splice;
mod stream;
pub mod trust;
pub mod web;
