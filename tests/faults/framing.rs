//! Framing and fields: one reading of every message, and what may not pass does not.
