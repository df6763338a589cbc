//! What the limit programs share: where they listen, and what they answer.

pub mod answer;
pub mod latency;
pub mod serve;
