//! The way from the workers to the control plane: bounded, never waited for.

use super::view::Report;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

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
