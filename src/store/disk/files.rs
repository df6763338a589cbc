//! The one file of the disk that touches the system, but for [`super::block`]. Names are numbers, so nothing that is asked for
//! can lead out of the folder.
//!
//! Long records are read past the system's page cache where that does not have them: a page that is put there costs more of
//! the processor than the device takes, and what is asked for again is in the node's own memory by then. One of a few goes
//! through it all the same ([`CACHED`]): so a machine with memory to spare has there what is asked for often, by and by.

use super::block::{ReadBlock, is_cached, read_block, unit_of};
use crate::lack::is_our_lack;
use crate::private;
use rustix::fs::{Advice, AtFlags, FallocateFlags, Mode, OFlags, fadvise, fallocate, ftruncate, openat, unlinkat};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many files are kept open at most, and so many segments besides to be read past the page cache.
const OPEN: usize = 256;
const OPEN_PAST: usize = 128;
/// A longer record is read past the page cache: of a shorter one the neighbours are in the same pages.
pub const SHORT: u64 = 64 * 1024;
/// Of so many long records that the page cache does not have one is read into it.
const CACHED: u64 = 8;
/// Of a unit: the file system was not asked yet.
const UNASKED: u64 = u64::MAX;

/// A file of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileName {
    Journal(u64),
    /// A journal that is not whole yet.
    Draft(u64),
    Segment(u64),
    /// A body that is too long for a record.
    Body(u64),
    /// While it is there, a process has the folder or has died with it; see [`super::mark`].
    Mark,
}

impl FileName {
    fn text(self) -> String {
        match self {
            FileName::Journal(number) => format!("{number:016x}.journal"),
            FileName::Draft(number) => format!("{number:016x}.draft"),
            FileName::Segment(number) => format!("{number:016x}.seg"),
            FileName::Body(number) => format!("{number:016x}.body"),
            FileName::Mark => "mark".to_owned(),
        }
    }

    fn parse(text: &str) -> Option<FileName> {
        if text == "mark" {
            return Some(FileName::Mark);
        }
        let (number, kind) = text.split_once('.')?;
        let number = u64::from_str_radix(number, 16).ok()?;
        let name = match kind {
            "journal" => FileName::Journal(number),
            "draft" => FileName::Draft(number),
            "seg" => FileName::Segment(number),
            "body" => FileName::Body(number),
            _ => return None,
        };
        (name.text() == text).then_some(name)
    }
}

/// The files of one folder. Where nothing says otherwise, what was written is there for every process at once, and after a
/// power cut perhaps, or in part.
pub trait Files: Send + Sync + 'static {
    /// An open file: it stays what it is when its name is gone.
    type Open: Clone + fmt::Debug + Send + Sync + 'static;
    fn list(&self) -> io::Result<Vec<(FileName, u64)>>;
    /// Makes a file anew, empty, and takes room for `length` bytes.
    fn create(&self, name: FileName, length: u64) -> io::Result<()>;
    /// Takes room for so many bytes of a file that is there.
    fn reserve(&self, name: FileName, length: u64) -> io::Result<()>;
    /// Gives back what was taken beyond its end.
    fn shorten(&self, name: FileName) -> io::Result<()>;
    fn open(&self, name: FileName) -> io::Result<Self::Open>;
    fn write_to(&self, file: &Self::Open, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// As much as is there, up to the length of `into`.
    fn read_from(&self, file: &Self::Open, at: u64, into: &mut [u8]) -> io::Result<usize>;
    fn write(&self, name: FileName, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_to(&self.open(name)?, at, bytes)
    }
    /// See [`Files::read_from`].
    fn read(&self, name: FileName, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.read_from(&self.open(name)?, at, into)
    }
    /// The same into memory of its own.
    fn read_new(&self, name: FileName, at: u64, length: u64) -> io::Result<ReadBlock> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = self.read(name, at, &mut bytes)?;
        bytes.truncate(read);
        Ok(ReadBlock::from(bytes))
    }
    /// The same as [`Files::read`] without waiting for a device: all of `into`, or [`io::ErrorKind::WouldBlock`], also where the
    /// file is not open or the system cannot tell.
    fn read_at_once(&self, name: FileName, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Returns when its bytes outlive a power cut. One that has failed says nothing ever after: it is not tried again.
    fn sync(&self, name: FileName) -> io::Result<()>;
    /// The same for which files there are.
    fn sync_folder(&self) -> io::Result<()>;
    fn rename(&self, from: FileName, to: FileName) -> io::Result<()>;
    /// It may be gone already.
    fn remove(&self, name: FileName) -> io::Result<()>;
}

/// How a file is open: what is read of it comes through the system's page cache, or past it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PageCache {
    Through,
    Past,
}

/// A folder of the system, which no other process uses.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    folder: File,
    /// What its files are open for.
    access: OFlags,
    open: Mutex<OpenFiles>,
    /// Its file system has not said yet that it cannot read without waiting.
    reads_at_once: AtomicBool,
    /// What is read past the page cache begins and ends at multiples of so many bytes; 0: it cannot be; [`UNASKED`].
    unit: AtomicU64,
    /// Counts what was long and not in the page cache.
    long: AtomicU64,
    /// Its lock is let go with it.
    _lock: Option<File>,
}

type OpenFiles = HashMap<(FileName, PageCache), Arc<File>>;

/// Why a folder cannot be had.
#[derive(Debug)]
pub enum Denied {
    /// Another process has it.
    InUse,
    /// It belongs to the node with this id.
    Foreign(String),
    /// Others may look into it, or it is another user's.
    NotPrivate,
    /// It is a link, or a file.
    NoFolder,
    System(io::Error),
}

impl From<io::Error> for Denied {
    fn from(cause: io::Error) -> Denied {
        Denied::System(cause)
    }
}

impl Folder {
    /// Makes it where it is not there. `id`: the node's.
    pub fn open(path: &Path, id: &str) -> Result<Folder, Denied> {
        private::make_folder(path).map_err(|cause| match cause.kind() {
            io::ErrorKind::AlreadyExists => Denied::NoFolder,
            _ => Denied::System(cause),
        })?;
        let folder = Folder::there(path, OFlags::RDWR)?;
        let lock = open_at(&folder.folder, "lock", OFlags::RDWR | OFlags::CREATE)?;
        if !private::lock(&lock)? {
            return Err(Denied::InUse);
        }
        belongs_to(&open_at(&folder.folder, "id", OFlags::RDWR | OFlags::CREATE)?, id)?;
        Ok(Folder { _lock: Some(lock), ..folder })
    }

    /// One that is there, to be read or emptied by whoever is no node; and whether it is ours until it is dropped. Else a node
    /// has it.
    pub fn inspected(path: &Path) -> Result<(Folder, bool), Denied> {
        let folder = Folder::there(path, OFlags::RDONLY)?;
        let lock = match open_at(&folder.folder, "lock", OFlags::RDWR) {
            // What may only be read can be locked too, but on NFS.
            Err(cause) if may_only_be_read(&cause) => open_at(&folder.folder, "lock", OFlags::RDONLY)?,
            lock => lock?,
        };
        let is_ours = private::lock(&lock)?;
        Ok((Folder { _lock: is_ours.then_some(lock), ..folder }, is_ours))
    }

    fn there(path: &Path, access: OFlags) -> Result<Folder, Denied> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(|cause| match cause {
            Errno::NOTDIR | Errno::LOOP => Denied::NoFolder,
            _ => Denied::System(cause.into()),
        })?;
        let folder = File::from(folder);
        if !private::is_own_folder(&folder.metadata()?) {
            return Err(Denied::NotPrivate);
        }
        let (open, reads_at_once) = (Mutex::default(), AtomicBool::new(true));
        let (unit, long) = (AtomicU64::new(UNASKED), AtomicU64::new(0));
        Ok(Folder { path: path.to_owned(), folder, access, open, reads_at_once, unit, long, _lock: None })
    }

    /// Those of bodies are many, and each is whoever's that reads or writes it.
    fn file(&self, name: FileName, by: PageCache) -> io::Result<Arc<File>> {
        let flags = match by {
            PageCache::Through => self.access,
            PageCache::Past => OFlags::RDONLY | OFlags::DIRECT,
        };
        if let FileName::Body(_) = name {
            return Ok(Arc::new(self.opened(name, flags)?));
        }
        if let Some(file) = self.files().get(&(name, by)) {
            return Ok(file.clone());
        }
        let file = Arc::new(self.opened(name, flags)?);
        self.keep(name, by, &file);
        Ok(file)
    }

    /// Where we have none left to open it with, those go that are open for what may come.
    fn opened(&self, name: FileName, flags: OFlags) -> io::Result<File> {
        match open_at(&self.folder, &name.text(), flags) {
            Err(cause) if is_our_lack(&cause) && let_go(&mut self.files()) => {
                open_at(&self.folder, &name.text(), flags)
            }
            opened => opened,
        }
    }

    fn keep(&self, name: FileName, by: PageCache, file: &Arc<File>) {
        let mut open = self.files();
        match by {
            PageCache::Through => {
                if let FileName::Segment(_) = name {
                    // Of a record all is read and nothing besides: in one piece, and what lies behind it is another URL's. A
                    // system that does not take the advice reads more.
                    let _ = fadvise(file, 0, None, Advice::Random);
                }
                if open.keys().filter(|(_, by)| *by == PageCache::Through).count() >= OPEN {
                    let_go(&mut open);
                }
            }
            // One that has been removed meanwhile is not kept.
            PageCache::Past if !open.contains_key(&(name, PageCache::Through)) => return,
            PageCache::Past => {
                if open.keys().filter(|(_, by)| *by == PageCache::Past).count() >= OPEN_PAST {
                    open.retain(|(_, by), _| *by == PageCache::Through);
                }
            }
        }
        open.insert((name, by), file.clone());
    }

    fn files(&self) -> MutexGuard<'_, OpenFiles> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads past the page cache. `None`: that cannot be done, or not now.
    fn read_past(&self, name: FileName, at: u64, length: u64) -> Option<io::Result<ReadBlock>> {
        let unable = || self.unit.store(0, Ordering::Relaxed);
        let unit = self.unit.load(Ordering::Relaxed);
        if unit == 0 {
            return None;
        }
        let is_no =
            |cause: &io::Error| matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported);
        let file = self.file(name, PageCache::Past);
        let file = file
            .inspect_err(|cause| {
                if is_no(cause) {
                    unable()
                }
            })
            .ok()?;
        let unit = if unit == UNASKED { unit_of(&file) } else { unit };
        self.unit.store(unit, Ordering::Relaxed);
        let read = if unit > 0 { read_block(&file, at, length, unit) } else { return None };
        match read {
            Err(cause) if is_no(&cause) => {
                unable();
                None
            }
            read => Some(read),
        }
    }
}

/// Of the others there are few, and without them nothing is kept of what is taken away. False: there are no more.
fn let_go(open: &mut OpenFiles) -> bool {
    let before = open.len();
    open.retain(|(name, _), _| !matches!(name, FileName::Segment(_)));
    open.len() < before
}

fn may_only_be_read(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// Where it is nobody's yet, it is this node's from now on.
fn belongs_to(file: &File, id: &str) -> Result<(), Denied> {
    let mut text = [0; 128];
    let length = file.read_at(&mut text, 0)?;
    match std::str::from_utf8(&text[..length]).map(str::trim_end) {
        Ok("") => Ok(file.write_all_at(format!("{id}\n").as_bytes(), 0)?),
        Ok(said) if said == id => Ok(()),
        Ok(said) => Err(Denied::Foreign(said.to_owned())),
        Err(_) => Err(Denied::Foreign("whose id cannot be read".to_owned())),
    }
}

fn open_at(folder: impl AsFd, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(folder, name, flags, Mode::from_raw_mode(private::FILE)).map(File::from)?)
}

fn take_room(file: &File, length: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, length.max(1)) {
        // Not every file system can.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(()) => Ok(()),
        Err(cause) => Err(cause.into()),
    }
}

impl Files for Folder {
    type Open = Arc<File>;

    fn list(&self) -> io::Result<Vec<(FileName, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if let Some(name) = entry.file_name().to_str().and_then(FileName::parse) {
                found.push((name, entry.metadata()?.size()));
            }
        }
        Ok(found)
    }

    fn create(&self, name: FileName, length: u64) -> io::Result<()> {
        let file = self.opened(name, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)?;
        if let Err(cause) = take_room(&file, length) {
            let _ = self.remove(name);
            return Err(cause);
        }
        if !matches!(name, FileName::Body(_)) {
            self.keep(name, PageCache::Through, &Arc::new(file));
        }
        Ok(())
    }

    fn reserve(&self, name: FileName, length: u64) -> io::Result<()> {
        take_room(&*self.file(name, PageCache::Through)?, length)
    }

    fn shorten(&self, name: FileName) -> io::Result<()> {
        let file = self.file(name, PageCache::Through)?;
        // To any other length nothing is given back.
        Ok(ftruncate(&file, file.metadata()?.len())?)
    }

    fn open(&self, name: FileName) -> io::Result<Arc<File>> {
        self.file(name, PageCache::Through)
    }

    fn write_to(&self, file: &Arc<File>, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn read_from(&self, file: &Arc<File>, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match file.read_at(&mut into[done..], at + done as u64) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(done)
    }

    fn read_new(&self, name: FileName, at: u64, length: u64) -> io::Result<ReadBlock> {
        let file = self.file(name, PageCache::Through)?;
        // Its middle says it: its ends share pages with others.
        let misses = length > SHORT && !is_cached(&file, at + length / 2);
        let is_past = misses && self.long.fetch_add(1, Ordering::Relaxed) % CACHED != CACHED - 1;
        let past = is_past.then(|| self.read_past(name, at, length)).flatten();
        past.unwrap_or_else(|| read_block(&file, at, length, 1))
    }

    fn read_at_once(&self, name: FileName, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let not_now = || io::Error::from(io::ErrorKind::WouldBlock);
        // To open one may take as long as to read it.
        let file = self
            .files()
            .get(&(name, PageCache::Through))
            .cloned()
            .filter(|_| self.reads_at_once.load(Ordering::Relaxed));
        let length = into.len();
        let read = preadv2(file.ok_or_else(not_now)?, &mut [IoSliceMut::new(into)], at, ReadWriteFlags::NOWAIT);
        match read {
            Ok(read) if read == length => Ok(read),
            // overlayfs and tmpfs of old kernels, ext2, gVisor: they will say no other.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.reads_at_once.store(false, Ordering::Relaxed);
                Err(not_now())
            }
            Ok(_) | Err(_) => Err(not_now()),
        }
    }

    fn sync(&self, name: FileName) -> io::Result<()> {
        self.file(name, PageCache::Through)?.sync_data()
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.folder)?)
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        rustix::fs::renameat(&self.folder, from.text(), &self.folder, to.text())?;
        let mut open = self.files();
        if let Some(file) = open.remove(&(from, PageCache::Through)) {
            open.insert((to, PageCache::Through), file);
        }
        Ok(())
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.files().retain(|(open, _), _| *open != name);
        match unlinkat(&self.folder, name.text(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(cause) => Err(cause.into()),
        }
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
