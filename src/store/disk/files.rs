//! The one file of the disk that touches the system. Names are numbers, so nothing that is asked for can lead out of the
//! folder.

use crate::private;
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, fallocate, openat, unlinkat};
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many files are kept open at most.
const OPEN: usize = 256;

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
    /// Returns when its bytes outlive a power cut. One that has failed says nothing ever after: it is not tried again.
    fn sync(&self, name: FileName) -> io::Result<()>;
    /// The same for which files there are.
    fn sync_folder(&self) -> io::Result<()>;
    fn rename(&self, from: FileName, to: FileName) -> io::Result<()>;
    /// It may be gone already.
    fn remove(&self, name: FileName) -> io::Result<()>;
}

/// A folder of the system, which no other process uses.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    folder: File,
    open: Mutex<HashMap<FileName, Arc<File>>>,
    /// Its lock is let go with it.
    _lock: Option<File>,
}

/// Why a folder cannot be had.
#[derive(Debug)]
pub enum Denied {
    /// Another process has it.
    InUse,
    /// It belongs to the node with this id.
    Foreign(String),
    /// Others may look into it, or it is another user's.
    NotPrivate,
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
        private::make_folder(path)?;
        let folder = Folder::there(path)?.locked(OFlags::CREATE)?;
        belongs_to(&open_at(&folder.folder, "id", OFlags::RDWR | OFlags::CREATE)?, id)?;
        Ok(folder)
    }

    /// One that is there, for whoever is no node; and whether it is ours until it is dropped. Else a node has it.
    pub fn inspected(path: &Path) -> Result<(Folder, bool), Denied> {
        match Folder::there(path)?.locked(OFlags::empty()) {
            Ok(folder) => Ok((folder, true)),
            Err(Denied::InUse) => Ok((Folder::there(path)?, false)),
            Err(denied) => Err(denied),
        }
    }

    fn there(path: &Path) -> Result<Folder, Denied> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
        if !private::is_own_folder(&folder.metadata()?) {
            return Err(Denied::NotPrivate);
        }
        Ok(Folder { path: path.to_owned(), folder, open: Mutex::default(), _lock: None })
    }

    fn locked(self, flags: OFlags) -> Result<Folder, Denied> {
        let lock = open_at(&self.folder, "lock", OFlags::RDWR | flags)?;
        if private::lock(&lock)? { Ok(Folder { _lock: Some(lock), ..self }) } else { Err(Denied::InUse) }
    }

    /// Those of bodies are many, and each is whoever's that reads or writes it.
    fn file(&self, name: FileName) -> io::Result<Arc<File>> {
        if let FileName::Body(_) = name {
            return Ok(Arc::new(open_at(&self.folder, &name.text(), OFlags::RDWR)?));
        }
        if let Some(file) = self.files().get(&name) {
            return Ok(file.clone());
        }
        let file = Arc::new(open_at(&self.folder, &name.text(), OFlags::RDWR)?);
        self.keep(name, &file);
        Ok(file)
    }

    fn keep(&self, name: FileName, file: &Arc<File>) {
        let mut open = self.files();
        if open.len() >= OPEN {
            open.clear();
        }
        open.insert(name, file.clone());
    }

    fn files(&self) -> MutexGuard<'_, HashMap<FileName, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let file = open_at(&self.folder, &name.text(), OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)?;
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, length.max(1)) {
            // Not every file system can.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) | Ok(()) => {}
            Err(cause) => {
                let _ = self.remove(name);
                return Err(cause.into());
            }
        }
        if !matches!(name, FileName::Body(_)) {
            self.keep(name, &Arc::new(file));
        }
        Ok(())
    }

    fn open(&self, name: FileName) -> io::Result<Arc<File>> {
        self.file(name)
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

    fn sync(&self, name: FileName) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.folder)?)
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        rustix::fs::renameat(&self.folder, from.text(), &self.folder, to.text())?;
        let mut open = self.files();
        if let Some(file) = open.remove(&from) {
            open.insert(to, file);
        }
        Ok(())
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.files().remove(&name);
        match unlinkat(&self.folder, name.text(), AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(cause) => Err(cause.into()),
        }
    }
}
