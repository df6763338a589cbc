//! What a request is by itself, before anything is known of what is stored.

pub use super::refresh::for_everyone;
pub use super::reuse::{bears_on_fresh, may_ask_peer, may_lead};
