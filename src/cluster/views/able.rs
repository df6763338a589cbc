//! PURE. Which nodes have been found to speak TLS.

use std::fmt;
use std::sync::Arc;

/// By their ids: to such a node nothing is said in clear any more, at whatever address it is. What is known changes while the
/// process runs, so it is asked for when a node is made.
#[derive(Clone)]
pub struct AbleNodes(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl AbleNodes {
    pub fn by(is_able: impl Fn(&str) -> bool + Send + Sync + 'static) -> AbleNodes {
        AbleNodes(Arc::new(is_able))
    }

    pub(in crate::cluster) fn has(&self, id: &str) -> bool {
        (self.0)(id)
    }
}

/// Nobody.
impl Default for AbleNodes {
    fn default() -> AbleNodes {
        AbleNodes::by(|_| false)
    }
}

impl fmt::Debug for AbleNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AbleNodes")
    }
}
