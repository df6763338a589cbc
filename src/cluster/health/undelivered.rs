//! What nodes missed, on disk: `[state] path`/missed.json.

use super::stale::{Doubts, Kept};
use crate::cluster::Cluster;
use crate::cluster::membership::state::replace;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};
use tokio::time::{sleep, timeout};

/// What is missed within so long is written together.
const GATHER: Duration = Duration::from_millis(20);
/// For so long an answer that names who has missed something waits until that is kept.
const UNTIL_KEPT: Duration = Duration::from_secs(1);

fn file(folder: &std::path::Path) -> PathBuf {
    folder.join("missed.json")
}

/// What was kept; what cannot be read is taken to be everything.
pub fn load(folder: &std::path::Path) -> Arc<Doubts> {
    let path = file(folder);
    let kept = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|e| {
            tracing::warn!("{}: {e}: every node is asked to validate what it holds", path.display());
            Kept::of_everyone()
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Kept::default(),
        Err(e) => {
            tracing::warn!("{}: {e}: every node is asked to validate what it holds", path.display());
            Kept::of_everyone()
        }
    };
    Arc::new(Doubts::new(kept))
}

impl Cluster {
    /// Has what is noted heeded, kept and shared, for ever.
    pub(in crate::cluster) async fn keep_doubts(self: Arc<Cluster>) {
        let doubts = self.health.doubts().clone();
        let mut changes = doubts.changes();
        loop {
            changes.mark_unchanged();
            self.health.heed();
            self.keep(&doubts).await;
            if let Some(keeper) = &self.keeper {
                keeper.wake();
            }
            sleep(GATHER).await;
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn keep(&self, doubts: &Doubts) {
        let Some(kept) = doubts.to_keep() else { return };
        let path = file(&self.config.state.path);
        let (copy, to) = (kept.clone(), path.clone());
        // fsync takes as long as it takes.
        let written = tokio::task::spawn_blocking(move || replace(&to, &serde_json::to_vec(&copy)?)).await;
        match written.unwrap_or_else(|e| Err(io::Error::other(e))) {
            Ok(()) => doubts.kept(kept),
            Err(e) => tracing::warn!("{}: {e}: which nodes missed a purge is not kept for a restart", path.display()),
        }
    }

    /// Waits until what was noted is on disk, and with ZooKeeper where all fronts find it, as far as that can be.
    pub(in crate::cluster) async fn until_kept(&self) {
        let doubts = self.health.doubts();
        let mut changes = doubts.changes();
        let is_shared = || self.keeper.as_ref().is_none_or(|keeper| !keeper.has_to_share());
        let kept = async { while (doubts.to_keep().is_some() || !is_shared()) && changes.changed().await.is_ok() {} };
        let _ = timeout(UNTIL_KEPT, kept).await;
    }
}
