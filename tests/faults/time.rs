//! Time: what was purged stays purged, quiet streams live, and no page goes back to an older version.

#[path = "time/kept.rs"]
mod kept;
#[path = "time/quiet.rs"]
mod quiet;
