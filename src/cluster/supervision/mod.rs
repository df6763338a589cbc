//! The nodes that run on this machine: started, started again when they die, and ended with their front.
//!
//! - `child`: one process and its greeting; `supervisor`: all of them

mod child;
mod supervisor;

pub use supervisor::{ChildEvent, Supervisor};
