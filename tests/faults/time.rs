//! Time: quiet streams live, and no page goes back to an older version.
