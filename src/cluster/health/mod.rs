//! Which nodes answer, which are slow, and which may hold what was purged: asked by probes, told by workers, and marked in
//! the nodes that views hold.
//!
//! - `state` (PURE): is a node up? `outlier` (PURE): is it slow? `flapping` (PURE): does it come and go?
//! - `probe`, [`monitor`]: who asks; `board`: what is believed, and the marks
//! - [`stale`]: who missed an invalidation; `undelivered`: the same on disk; `missed` (PURE): what it was

mod board;
mod flapping;
mod missed;
pub mod monitor;
pub mod outlier;
mod probe;
pub mod stale;
mod state;
pub mod undelivered;

pub use monitor::Health;
pub use probe::boot;
