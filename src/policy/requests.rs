//! What a request is by itself, before anything is known of what is stored.

pub use super::refresh::for_everyone;
pub use super::reuse::{may_ask_peer, may_lead};
