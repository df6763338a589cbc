//! What the limit programs share: where they listen, and what they answer; and what the programs that load them ask.

pub mod answer;
pub mod client;
pub mod head;
pub mod latency;
pub mod serve;
pub mod tls;
pub mod web;
