//! Three machines are restarted one after the other under load.
