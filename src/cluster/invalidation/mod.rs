//! Telling all who may hold a copy: what an unsafe method made invalid, and purges.
//!
//! - [`fanout`]: nodes first, then the other fronts; [`queues`]: one for each who is told
//! - [`broadcast`]: what fronts tell each other

pub mod broadcast;
pub mod fanout;
pub mod queues;
