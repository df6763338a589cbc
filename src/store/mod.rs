//! What a node (and the front's hot copy) remembers: moka, and the compact entry.

mod cache;
mod entry;
mod parts;
mod shelf;
mod values;

pub use cache::{Bounded, Store, Then, Uncacheable, Weigh};
pub use entry::{Body, Content, Entry, Mark};
pub use shelf::Shelf;

#[cfg(test)]
mod tests;
