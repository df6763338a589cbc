//! Under construction.

pub mod link;
pub mod metrics;

use crate::config::Config;
use crate::net::drain::{Shutdown, StartError};

/// Runs a front (listeners, workers, admin, membership) until `shutdown`, then drains. `spawn`: also run the nodes that
/// the configuration marks so (`ringhold serve`). Prints the ready line.
pub fn run(config: Config, spawn: bool, shutdown: Shutdown) -> Result<(), StartError> {
    let _ = (config, spawn, shutdown);
    todo!()
}
