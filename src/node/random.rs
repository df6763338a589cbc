//! A random number.

use crate::clock;

/// The standard library's hasher keys are the random numbers that need no dependency.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u64(clock::now().0);
    hasher.write_u32(std::process::id());
    hasher.finish()
}
