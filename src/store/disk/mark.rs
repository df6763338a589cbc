//! The mark in the folder: it is there from before anything changes until all has been written in order. Who finds one that
//! an earlier boot of the machine has left knows that the power was cut, and believes nothing without validation.

use super::files::{FileName, Files};
use std::io;
use xxhash_rust::xxh3::xxh3_64;

const LENGTH: usize = 24;
const MAGIC: &[u8; 8] = b"ringmark";

/// How the last process that had the folder ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    InOrder,
    /// It was killed; what it had written is there.
    Killed,
    /// The machine has been started since, or the folder is not to be believed: what it had written may be there or not.
    PowerCut,
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

/// Returns when it outlives a power cut.
pub fn set(files: &impl Files, machine: u64) -> io::Result<()> {
    files.create(FileName::Mark, LENGTH as u64)?;
    files.write(FileName::Mark, 0, &text(machine))?;
    files.sync(FileName::Mark)?;
    files.sync_folder()
}

pub fn clear(files: &impl Files) -> io::Result<()> {
    files.remove(FileName::Mark)?;
    files.sync_folder()
}

/// Makes it one of no boot.
pub fn distrust(files: &impl Files) -> io::Result<()> {
    files.write(FileName::Mark, 0, &text(0))
}

fn text(machine: u64) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    text[..8].copy_from_slice(MAGIC);
    text[8..16].copy_from_slice(&machine.to_le_bytes());
    let sum = xxh3_64(&text[..16]);
    text[16..].copy_from_slice(&sum.to_le_bytes());
    text
}
