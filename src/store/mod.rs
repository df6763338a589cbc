//! What a node (and the front's hot copy) remembers: moka, and the compact entry.

mod cache;
pub mod disk;
mod entry;
mod far;
mod parts;
mod polled;
mod shelf;
mod values;
mod weigh;

pub use cache::{Bounded, Store, Then, Uncacheable};
pub use entry::{Entry, EntryContent, Mark};
pub use far::{FarBody, FarGone, FarReader};
pub use polled::StoredBody;
pub use shelf::{Shelf, ShelfLimits};
pub use weigh::Weigh;

#[cfg(test)]
mod tests;
