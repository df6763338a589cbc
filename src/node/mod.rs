//! Under construction.

use crate::config::{Address, Config};
use crate::net::drain::{Shutdown, StartError};

/// What `ringhold node` was asked to be.
#[derive(Debug)]
pub struct Options {
    pub id: String,
    pub listen: Address,
    pub config: Config,
    /// A child of a front: standard input is a pipe whose end means that the parent is gone (the config came down the
    /// same pipe as its first line, JSON).
    pub supervised: bool,
}

/// Runs a cache node on this thread until `shutdown`; prints `ringhold node ID listening on ADDRESS` when it listens.
pub fn run(options: Options, shutdown: Shutdown) -> Result<(), StartError> {
    let _ = (options, shutdown);
    todo!()
}
