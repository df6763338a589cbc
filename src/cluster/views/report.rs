//! The way from the workers to the control plane: bounded, never waited for.

use super::node::Node;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

/// What a worker tells the control plane.
#[derive(Debug)]
pub enum Report {
    /// A connection was refused: the worker has already called `set_up(false)`; probe it at once.
    Refused(Arc<Node>),
    /// A request has waited for some time, or a connection was lost: probe it at once, out of turn.
    Suspect(Arc<Node>),
    /// An answer through `by` to an unsafe method made these invalid: tell the other nodes.
    Invalidated { what: Vec<Outdated>, by: Arc<Node>, told: UntilTold },
}

/// Dropped when that has been done, or who was not told is doubted. Whatever waits for it is in there.
pub struct UntilTold {
    _waits: Box<dyn Send + Sync>,
}

impl UntilTold {
    pub fn dropping(what: impl Send + Sync + 'static) -> UntilTold {
        UntilTold { _waits: Box::new(what) }
    }
}

impl fmt::Debug for UntilTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UntilTold")
    }
}

/// What became invalid, as `POST /invalidate` says it (docs/link.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outdated {
    Url(String),
    /// Groups (RFC 9875) of an origin.
    Groups {
        origin: String,
        groups: Vec<String>,
    },
    /// Somebody has got a newer answer, so that other copies are not to be used any more; the owner's is.
    Renewed {
        renewed: String,
    },
}

impl Outdated {
    /// Not to be said in clear.
    pub fn is_https(&self) -> bool {
        let (Outdated::Url(url) | Outdated::Renewed { renewed: url } | Outdated::Groups { origin: url, .. }) = self;
        url.starts_with("https:")
    }

    /// Of its URLs and names.
    pub fn bytes(&self) -> usize {
        match self {
            Outdated::Url(url) | Outdated::Renewed { renewed: url } => url.len(),
            Outdated::Groups { origin, groups } => origin.len() + groups.iter().map(String::len).sum::<usize>(),
        }
    }
}

/// What a worker holds of it.
#[derive(Clone, Debug)]
pub struct Reports {
    queue: mpsc::Sender<Report>,
    lost: Arc<Notify>,
}

/// What the control plane holds of it.
#[derive(Debug)]
pub struct Incoming {
    queue: mpsc::Receiver<Report>,
    lost: Arc<Notify>,
}

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    Report(Report),
    /// One invalidation or more found no room, and nobody knows any more of what: whatever a node holds may be concerned.
    LostInvalidation,
}

pub fn channel(room: usize) -> (Reports, Incoming) {
    let (sender, receiver) = mpsc::channel(room);
    let lost = Arc::new(Notify::new());
    (Reports { queue: sender, lost: lost.clone() }, Incoming { queue: receiver, lost })
}

impl Reports {
    /// Whether there was room. What a probe finds out anyway may be lost; that an invalidation was is heard all the same.
    pub fn send(&self, report: Report) -> bool {
        match self.queue.try_send(report) {
            Ok(()) => true,
            Err(e) => {
                if matches!(e.into_inner(), Report::Invalidated { .. }) {
                    self.lost.notify_one();
                }
                false
            }
        }
    }
}

impl Incoming {
    /// `None`: every worker has gone.
    pub async fn next(&mut self) -> Option<Heard> {
        tokio::select! {
            biased;
            () = self.lost.notified() => Some(Heard::LostInvalidation),
            report = self.queue.recv() => report.map(Heard::Report),
        }
    }
}
