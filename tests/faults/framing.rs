//! Framing and fields: one reading of every message, and what may not pass does not.

use crate::support::{Cluster, Setup};

#[path = "framing/authenticated.rs"]
mod authenticated;
#[path = "framing/changes.rs"]
mod changes;
#[path = "framing/endings.rs"]
mod endings;
#[path = "framing/lines.rs"]
mod lines;
#[path = "framing/origins.rs"]
mod origins;
#[path = "framing/requests.rs"]
mod requests;
#[path = "framing/switching.rs"]
mod switching;

const NO_STORE: &str = "Cache-Control: no-store\r\n";

fn one_node() -> Cluster {
    Setup::default().nodes(1).start()
}
