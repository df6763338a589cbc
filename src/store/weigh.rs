//! What the store wants to know of what it keeps.

use crate::account::Hold;
use std::sync::Arc;

/// What is kept in a `Bounded`.
pub trait Weigh: Clone + Send + Sync + 'static {
    /// Bytes of memory.
    fn weight(&self) -> u32;
    /// What counts the bytes that its readers may hold when it is here no longer.
    fn holds(&self) -> impl Iterator<Item = &Arc<Hold>>;
}
