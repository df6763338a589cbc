//! Drills: what people do to it for minutes and hours. `make test` runs them in small, `make drills` in full size.
#![allow(clippy::disallowed_methods)]

mod support;

#[path = "drills/broken_origin.rs"]
mod broken_origin;
#[path = "drills/lost_logs.rs"]
mod lost_logs;
#[path = "drills/quiet_streams.rs"]
mod quiet_streams;
#[path = "drills/rolling_restart.rs"]
mod rolling_restart;
#[path = "drills/slow_readers.rs"]
mod slow_readers;
