//! Which of several stored responses a request selects (section 4.1).

pub use super::vary::{Selection, selecting, selecting_by, speaks};
