//! What every black-box test stands on: an origin that does as it is told, the real program, and a client that sends
//! and receives exact bytes. Nothing here sleeps for a fixed time: everything waits for an event until a deadline.
#![allow(dead_code, unused_imports, clippy::disallowed_methods)]

pub mod across;
pub mod cable;
pub mod chromium;
pub mod client;
pub mod cluster;
pub mod exchange;
pub mod framing;
pub mod head;
pub mod http2;
pub mod intercepted;
pub mod load;
pub mod messages;
pub mod names;
pub mod netns;
pub mod noise;
pub mod objects;
pub mod origin;
pub mod process;
pub mod relay;
pub mod setup;
pub mod standalone;
pub mod tls;
pub mod tools;
pub mod unread;
pub mod wire;
pub mod zookeeper;

pub use client::{Connection, Response};
pub use cluster::Cluster;
pub use exchange::Exchange;
pub use head::Head;
pub use http2::Http2;
pub use intercepted::Intercepted;
pub use origin::{Gate, Origin};
pub use setup::Setup;
pub use tls::Authority;
pub use wire::Wire;

use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// No event in these tests takes longer, even on a slow machine in a debug build.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `probe` has something; panics with `what` when the deadline passes.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The same for a condition.
pub fn until_true(what: &str, limit: Duration, mut probe: impl FnMut() -> bool) {
    until(what, limit, || probe().then_some(()));
}

/// Held by tests that measure time or memory, so that they do not measure each other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Raises the soft limit of open files to the hard one: a thousand clients and their origin live in this process.
pub fn many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    });
}

/// Whether the numbers of the release build are to be asserted.
pub const RELEASE: bool = !cfg!(debug_assertions);

/// The size of a drill: `small` in `make test`, `full` in `make drills`, by the same code.
pub fn drill<T>(small: T, full: T) -> T {
    match std::env::var_os("RINGHOLD_DRILLS") {
        Some(size) if size == "full" => full,
        _ => small,
    }
}
