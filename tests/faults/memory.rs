//! Memory: every byte that is held for somebody is counted, and bounded.
