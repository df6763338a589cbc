//! moka, and the compact entry.
