//! Who is in the ring: the file's nodes and what the admin API changed, or what is registered with ZooKeeper.
//!
//! - [`members`] (PURE): the list, its changes and the view that they make; [`spec`] (PURE): a node as people write it
//! - [`state`]: the list's changes on disk; [`departed`]: who has left and may still hold something; [`heirs`]: who takes over
//!   what a node gives up
//! - [`zk`]: membership through ZooKeeper in place of the list

#[cfg(test)]
mod contract_tests;
pub mod departed;
pub mod heirs;
pub mod members;
pub mod spec;
pub mod state;
pub mod zk;
