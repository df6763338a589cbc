//! What all connections of a worker to its nodes share.

use super::silent::Silents;
use crate::config::{ClusterConfig, Config, Limits, Timeouts};
use crate::net::descriptors::Relief;
use crate::net::http1;
use crate::proxy::metrics::FrontCounters;
use crate::recent::Recent;
use crate::wire::answer::decode::Bounds;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// How often a worker looks at the connections that wait. Waits are counted in ticks of it, so that a request costs no
/// timer and no look at the clock.
pub const TICK: std::time::Duration = std::time::Duration::from_millis(100);

/// So many places for URLs of large bodies.
const LARGE: usize = 8192;

/// What all connections of a worker share.
pub struct Shared {
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Its secrets are proved on new connections.
    pub cluster: ClusterConfig,
    pub counters: Arc<FrontCounters>,
    /// Where we have no file left for a connection.
    pub relief: Relief,
    /// The member of `Via` that we add, by version of the message: `1.0 name`, `1.1 name` and `2.0 name`.
    pub via: [http::HeaderValue; 3],
    /// Of the head of an answer; the time is kept by the sweep.
    pub http: http1::ClientLimits,
    /// Connections that are tied to clients and in no use.
    pub silents: Silents,
    /// What had a large body.
    pub large: Recent,
    /// Request heads are written here first. Never borrowed across an await.
    pub write: RefCell<Vec<u8>>,
}

impl Shared {
    pub fn new(config: &Config, counters: Arc<FrontCounters>, via: [http::HeaderValue; 3]) -> Rc<Shared> {
        let head = config.limits.of_heads().on_link();
        let http = http1::ClientLimits::of(Bounds { bytes: head.bytes, fields: head.fields });
        let write = RefCell::new(Vec::with_capacity(2048));
        let (limits, timeouts, cluster) = (config.limits.clone(), config.timeouts.clone(), config.cluster.clone());
        Rc::new(Shared {
            limits,
            timeouts,
            cluster,
            counters,
            relief: Relief::default(),
            via,
            http,
            silents: Silents::default(),
            large: Recent::new(LARGE),
            write,
        })
    }
    /// The member of `Via` for a message of this version.
    pub fn via(&self, version: http::Version) -> &http::HeaderValue {
        &self.via[usize::from(version >= http::Version::HTTP_11) + usize::from(version >= http::Version::HTTP_2)]
    }
}
