//! The mark in the folder: it is there from before anything changes until all has been written in order. Who finds one that
//! an earlier boot of the machine has left knows that the power was cut, and believes nothing without validation. The same where
//! it is nobody's: as it is while a process reads the journal, which cannot write yet what it is told, and after it has given up.

use super::files::{FileName, Files};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

const LENGTH: usize = 24;
const MAGIC: &[u8; 8] = b"ringmark";

/// A number of this boot of the machine, where the system has one; not 0.
pub fn machine() -> Option<u64> {
    Some(xxh3_64(&std::fs::read("/proc/sys/kernel/random/boot_id").ok()?).max(1))
}

/// How the last process that had the folder ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    InOrder,
    /// It was killed; what it had written is there.
    Killed,
    /// The machine has been started since, or the folder is not to be believed: what was to be written may be there or not.
    PowerCut,
}

/// The mark of a folder that this process has. Until [`FolderMark::trust`] it says that the folder is not to be believed.
#[derive(Debug)]
pub struct FolderMark<F> {
    files: Arc<F>,
    /// A number of this boot of the machine, not 0.
    machine: u64,
    /// Whether it says so for good. Held while it is written: who distrusts has the last word.
    distrusted: Mutex<bool>,
}

impl<F: Files> FolderMark<F> {
    /// How the last process ended. Whatever it was, a power cut from now on is found out.
    pub fn take(files: Arc<F>, machine: u64) -> io::Result<(FolderMark<F>, Ended)> {
        let ended = read(&*files, machine)?;
        if ended == Ended::InOrder {
            files.create(FileName::Mark, LENGTH as u64)?;
        }
        files.write(FileName::Mark, 0, &text(0))?;
        if ended == Ended::InOrder {
            files.sync(FileName::Mark)?;
            files.sync_folder()?;
        }
        Ok((FolderMark { files, machine, distrusted: Mutex::new(false) }, ended))
    }

    /// From now on what is written outlives a kill.
    pub fn trust(&self) -> io::Result<()> {
        let distrusted = self.distrusted();
        // Not synced: after a power cut it is another boot's, whatever of it is there.
        if *distrusted { Ok(()) } else { self.files.write(FileName::Mark, 0, &text(self.machine)) }
    }

    /// For good: what was to be written may not be.
    pub fn distrust(&self) -> io::Result<()> {
        *self.distrusted() = true;
        self.files.write(FileName::Mark, 0, &text(0))
    }

    /// All is written.
    pub fn clear(&self) -> io::Result<()> {
        if *self.distrusted() {
            return Ok(());
        }
        self.files.remove(FileName::Mark)?;
        self.files.sync_folder()
    }

    fn distrusted(&self) -> MutexGuard<'_, bool> {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `machine`: a number of this boot of the machine, not 0.
pub fn read(files: &impl Files, machine: u64) -> io::Result<Ended> {
    if !files.list()?.iter().any(|(name, _)| *name == FileName::Mark) {
        return Ok(Ended::InOrder);
    }
    let mut found = [0; LENGTH];
    let length = files.read(FileName::Mark, 0, &mut found)?;
    let is_ours = machine != 0 && length == LENGTH && found == text(machine);
    Ok(if is_ours { Ended::Killed } else { Ended::PowerCut })
}

fn text(machine: u64) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    text[..8].copy_from_slice(MAGIC);
    text[8..16].copy_from_slice(&machine.to_le_bytes());
    let sum = xxh3_64(&text[..16]);
    text[16..].copy_from_slice(&sum.to_le_bytes());
    text
}
