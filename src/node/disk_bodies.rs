//! The thread that writes bodies into files of their own, while they come, so that who keeps the journal never waits for them.

use crate::store::disk::{BodyFile, BodyWriter, FileName, Files, Folder};
use bytes::Bytes;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::sync::Notify;

/// Something to be done with such a file.
pub enum BodyJob {
    /// With room for so many bytes.
    Begin(BodyFile, u64, Arc<BodyProgress>),
    /// Goes on with one behind the blocks that it has.
    Resume(BodyFile, Arc<BodyProgress>),
    Write(u64, Bytes),
    /// Nothing more comes.
    Finish(u64),
    /// Nor is it to be whole: it stays as a record names it.
    Leave(u64),
    /// It is removed, whether it is being written or not. Who has it open reads on.
    Remove(u64),
}

/// How far a file is.
#[derive(Debug, Default)]
pub struct BodyProgress {
    readable: AtomicU64,
    is_whole: AtomicBool,
    failed: Mutex<Option<io::Error>>,
    has_failed: AtomicBool,
    changed: Notify,
}

impl BodyProgress {
    /// Of one of which so many bytes are there.
    pub fn from(readable: u64) -> BodyProgress {
        BodyProgress { readable: AtomicU64::new(readable), ..BodyProgress::default() }
    }

    /// Bytes of the body that can be read.
    pub fn readable(&self) -> u64 {
        self.readable.load(Ordering::Acquire)
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Why it failed; told once.
    pub fn why(&self) -> Option<io::Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until all has been written, or it has failed; whether it is whole.
    pub async fn until_whole(&self) -> bool {
        loop {
            // Made before the check, so that a notification between the two is not lost.
            let changed = self.changed.notified();
            if self.is_whole.load(Ordering::Acquire) || self.has_failed() {
                return !self.has_failed();
            }
            changed.await;
        }
    }

    fn is_at(&self, readable: u64) {
        self.readable.store(readable, Ordering::Release);
    }

    fn end(&self, length: u64) {
        self.is_at(length);
        self.is_whole.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    fn fail(&self, cause: io::Error) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
        self.abandon();
    }

    /// No more of it is written, by no fault of the disk.
    fn abandon(&self) {
        self.has_failed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// The thread. It ends with this.
pub struct BodyThread {
    tell: Sender<BodyJob>,
    behind: Arc<AtomicU64>,
}

impl BodyThread {
    pub fn start(folder: &Arc<Folder>) -> io::Result<BodyThread> {
        let (tell, told) = channel();
        let (folder, behind) = (folder.clone(), Arc::<AtomicU64>::default());
        let waits = behind.clone();
        thread::Builder::new().name("disk-bodies".to_owned()).spawn(move || write(&folder, &told, &waits))?;
        Ok(BodyThread { tell, behind })
    }

    pub fn tell(&self, job: BodyJob) {
        if let BodyJob::Write(_, piece) = &job {
            self.behind.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        // One that has ended has said so to whoever waits for it.
        let _ = self.tell.send(job);
    }

    /// Bytes that wait to be written.
    pub fn behind(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }
}

fn write(folder: &Arc<Folder>, told: &Receiver<BodyJob>, behind: &AtomicU64) {
    let mut open: HashMap<u64, (BodyWriter<Folder>, Arc<BodyProgress>)> = HashMap::new();
    while let Ok(job) = told.recv() {
        match job {
            BodyJob::Begin(file, reserve, progress) => match BodyWriter::begin(folder.clone(), file, reserve) {
                Ok(writer) => _ = open.insert(file.number, (writer, progress)),
                Err(cause) => progress.fail(cause),
            },
            BodyJob::Resume(file, progress) => match BodyWriter::resume(folder.clone(), file) {
                Ok(writer) => _ = open.insert(file.number, (writer, progress)),
                Err(cause) => progress.fail(cause),
            },
            BodyJob::Write(number, piece) => {
                behind.fetch_sub(piece.len() as u64, Ordering::Relaxed);
                let Some((writer, progress)) = open.get_mut(&number) else { continue };
                match writer.write(&piece) {
                    Ok(readable) => progress.is_at(readable),
                    Err(cause) => {
                        progress.fail(cause);
                        open.remove(&number);
                    }
                }
            }
            BodyJob::Finish(number) => {
                let Some((mut writer, progress)) = open.remove(&number) else { continue };
                match writer.finish() {
                    Ok(length) => progress.end(length),
                    Err(cause) => progress.fail(cause),
                }
            }
            BodyJob::Leave(number) => _ = open.remove(&number),
            BodyJob::Remove(number) => {
                open.remove(&number).iter().for_each(|(_, progress)| progress.abandon());
                if let Err(cause) = folder.remove(FileName::Body(number)) {
                    tracing::debug!("disk: a body's file cannot be removed: {cause}");
                }
            }
        }
    }
    // Whoever waits for one that is not whole waits in vain.
    open.into_values().for_each(|(_, progress)| progress.fail(io::ErrorKind::Interrupted.into()));
}
