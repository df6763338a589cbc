//! The disk behind the memory of a node: append-only segments, one journal that is the only truth, an index in memory.
//!
//! - `place`, `index`, `journal`, `record`, `admit`, `plan`: eight bytes for a place; which URLs are there; what became so, in
//!   order; a stored response as it lies there; what is worth writing; how large the parts are
//! - `deciding`: what is to be done, without waiting (`notes`: what it keeps beside the index; `going`: what lies in the segment that goes next); `writer`: does it, in order; `read`: brings back; `recover`, `mark`: the next start
//! - `apart`, `bodies`: bodies that are too long for a record: the files that they lie in, and which of them there are
//! - `inspect`: what people want to know of a folder
//! - `files`: the one trait that touches the system; `block`: how a long record is read in one piece
//!
//! docs/disk.md says what of it users rely on.

mod admit;
mod apart;
mod block;
mod bodies;
mod deciding;
mod files;
mod going;
mod index;
mod inspect;
mod journal;
mod mark;
mod notes;
mod place;
mod plan;
mod read;
mod record;
mod recover;
mod writer;

pub use admit::{Skipped, stays};
pub use apart::{BodyFile, BodyWriter, Unread, read_apart};
pub use deciding::Disk;
pub use files::{Denied, FileName, Files, Folder};
pub use inspect::{FolderReport, look, verify, wipe};
pub use mark::{Ended, FolderMark, machine as boot_of_machine};
pub use notes::{DiskAccount, DiskLookup, ForgottenUrl};
pub use place::IndexSlot;
pub use plan::DiskPlan;
pub use read::{ReadPace, ReadRecord, read};
pub use record::Previous;
pub use recover::{Opening, Recovered, open};
pub use writer::{DiskJob, JobDone, is_full};

#[cfg(test)]
mod model;
