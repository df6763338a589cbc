//! What nodes missed, on disk: `[state] path`/missed.json.

use super::stale::{Doubts, StaleRecord};
use crate::aside::aside;
use crate::cluster::membership::state::replace;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Of a file that has missed nothing yet: one block of most file systems.
const ROOM: usize = 4096;

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
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => StaleRecord::default(),
        Err(e) => {
            tracing::warn!("{}: {e}: every node is asked to validate what it holds", path.display());
            StaleRecord::of_everyone()
        }
    };
    Arc::new(Doubts::new(kept))
}

/// Writes what is to be kept and is not yet. Errors name the file.
pub async fn keep(folder: &Path, doubts: &Doubts) -> Result<(), String> {
    let Some(kept) = doubts.to_keep() else { return Ok(()) };
    let (copy, path) = (kept.clone(), file(folder));
    // fsync takes as long as it takes.
    let written = aside("save", move || write(&path, &copy)).await.flatten();
    written.map_err(|e| {
        doubts.not_kept();
        format!("{}: {e}: which nodes missed a purge is not kept for a restart", file(folder).display())
    })?;
    doubts.kept(kept);
    Ok(())
}

/// Has the file take the room that it may need, while there is some. What it says stays.
pub async fn reserve(folder: &Path, doubts: &Doubts) {
    let path = file(folder);
    if doubts.to_keep().is_none() {
        let reserved =
            aside("save", move || if path.exists() { Ok(()) } else { write(&path, &StaleRecord::default()) });
        // Where there is none now there may be some when it is needed.
        _ = reserved.await;
    }
}

fn write(path: &Path, record: &StaleRecord) -> io::Result<()> {
    let mut text = serde_json::to_vec(record)?;
    // Blanks are nothing in JSON.
    text.resize(text.len().max(ROOM), b' ');
    match replace(path, &text) {
        Err(e) if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => over(path, &text),
        done => done,
    }
}

/// In the room that the file has. Half of it cannot be read, which counts as everything.
fn over(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(text)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_over_the_file_is_read_again_and_half_of_it_means_everyone() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        reserve(folder.path(), &load(folder.path())).await;
        assert_eq!(fs::metadata(&path).unwrap().len(), ROOM as u64);
        assert!(load(folder.path()).to_keep().is_none(), "it says nothing");
        let doubts = Doubts::default();
        doubts.note("n1", 7);
        let mut text = serde_json::to_vec(&doubts.to_keep().unwrap()).unwrap();
        text.resize(ROOM, b' ');
        over(&path, &text).unwrap();
        assert!(load(folder.path()).owed("n1", 7).is_some());
        fs::write(&path, &text[..20]).unwrap();
        assert!(load(folder.path()).doubts_everyone());
    }
}
