//! What the limit programs share: where they listen, what they answer, and what is asked for.

pub mod answer;
pub mod latency;
pub mod serve;
pub mod web;
