//! What nodes missed, on disk: `[state] path`/missed.json.

use super::stale::{Doubts, StaleRecord};
use crate::aside::aside;
use crate::cluster::membership::state::replace;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

fn file(folder: &Path) -> PathBuf {
    folder.join("missed.json")
}

/// What was kept; what cannot be read is taken to be everything.
pub fn load(folder: &Path) -> Arc<Doubts> {
    let path = file(folder);
    let kept = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|e| {
            tracing::warn!("{}: {e}: every node is asked to validate what it holds", path.display());
            StaleRecord::of_everyone()
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => StaleRecord::default(),
        Err(e) => {
            tracing::warn!("{}: {e}: every node is asked to validate what it holds", path.display());
            StaleRecord::of_everyone()
        }
    };
    Arc::new(Doubts::new(kept))
}

/// Writes what is to be kept and is not yet.
pub async fn keep(folder: &Path, doubts: &Doubts) {
    let Some(kept) = doubts.to_keep() else { return };
    let path = file(folder);
    let (copy, to) = (kept.clone(), path.clone());
    // fsync takes as long as it takes.
    match aside("save", move || replace(&to, &serde_json::to_vec(&copy)?)).await.flatten() {
        Ok(()) => doubts.kept(kept),
        Err(e) => tracing::warn!("{}: {e}: which nodes missed a purge is not kept for a restart", path.display()),
    }
}
