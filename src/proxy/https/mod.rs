//! How a front answers https in a host's name: the certificate authority, what it signs, and who is answered so.
//!
//! - `ca`: makes an authority, and signs with it; `folder`: keeps it
//! - `leaf`: the certificates of hosts
//! - `listed`: which tunnels are intercepted, for people
//! - `start`: what a front starts with
//! - `intercept`: answers a CONNECT in a host's name, or passes it on (`passed`: why); `interception`: what workers share for
//!   that; `place`: room for handshakes; `inside` (PURE): what is asked inside; `learned`: who has refused us

pub mod ca;
pub mod folder;
pub mod inside;
pub mod intercept;
pub mod interception;
pub mod leaf;
mod learned;
pub mod listed;
pub mod passed;
pub mod place;
pub mod start;
