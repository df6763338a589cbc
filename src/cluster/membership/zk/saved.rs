//! The last ring on disk, for a start while ZooKeeper cannot be reached.

use super::record::{RingDoc, written};
use super::seal::Seal;
use crate::cluster::membership::state::replace;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// It is sealed as the record is that it is the shadow of.
const PLACE: &str = "ring";

#[derive(Clone, Debug)]
pub struct SavedRing {
    path: PathBuf,
    seal: Seal,
}

impl SavedRing {
    pub fn in_folder(folder: &Path, seal: Seal) -> SavedRing {
        SavedRing { path: folder.join("ring.json"), seal }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `None` when there is none, or none that can be read: ZooKeeper has the truth, this is only its shadow.
    pub fn load(&self) -> Option<RingDoc> {
        let bytes = fs::read(&self.path).ok()?;
        let Some(content) = self.seal.open(PLACE, &bytes) else {
            tracing::warn!("{}: not sealed with this cluster's secret; it is not used", self.path.display());
            return None;
        };
        let doc = RingDoc::read(content);
        if doc.is_none() {
            tracing::warn!("{}: not a ring; it is not used", self.path.display());
        }
        doc
    }

    /// Replaces the file whole.
    pub fn save(&self, doc: &RingDoc) -> io::Result<()> {
        replace(&self.path, &self.seal.close(PLACE, &written(doc)))
    }
}
