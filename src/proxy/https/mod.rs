//! What a front needs to answer https in a host's name: the certificate authority and what it signs.
//!
//! - `ca`: makes an authority, and signs with it; `folder`: keeps it
//! - `leaf`: the certificates of hosts
//! - `start`: what a front starts with

pub mod ca;
pub mod folder;
pub mod leaf;
pub mod start;
