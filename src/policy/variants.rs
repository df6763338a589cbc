//! Which of several stored responses a request selects (section 4.1).

pub use super::language::speaks;
pub use super::vary::{selecting, selecting_by};
