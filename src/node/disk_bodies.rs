//! The thread that writes bodies into files of their own, while they come, so that who keeps the journal never waits for them.

use crate::clock::{Tick, tick};
use crate::store::disk::{BodyFile, BodyWriter, FileName, Files, Folder};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::Notify;

/// Something to be done with such a file.
pub enum BodyJob {
    /// With room for so many bytes.
    Begin(BodyFile, u64, Arc<BodyProgress>),
    /// Goes on with one behind the blocks that it has.
    Resume(BodyFile, Arc<BodyProgress>),
    /// The next piece that waits in its progress ([`BodyThread::write`]).
    Write(u64),
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
    /// What is still to be written: it can be let go while a disk is at something else, or hangs.
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    pieces: VecDeque<Bytes>,
    /// Where they are counted.
    pace: Option<Arc<BodyPace>>,
    /// Nothing more is taken.
    is_over: bool,
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
        self.give_up();
    }

    /// What of it is not written is not to be any more, and is let go.
    pub fn give_up(&self) {
        let mut waiting = self.waiting();
        waiting.is_over = true;
        let bytes: usize = std::mem::take(&mut waiting.pieces).iter().map(Bytes::len).sum();
        waiting.pace.iter().for_each(|pace| _ = pace.behind.fetch_sub(bytes as u64, Ordering::Relaxed));
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread. It ends with this.
pub struct BodyThread {
    tell: Sender<BodyJob>,
    pace: Arc<BodyPace>,
}

/// How the thread gets on with what it has to write.
#[derive(Debug, Default)]
struct BodyPace {
    /// Bytes that wait.
    behind: AtomicU64,
    /// What is to be done, with what is being done.
    jobs: AtomicU64,
    /// When something was done last, or began to be waited for ([`Tick`]).
    moved: AtomicU64,
}

impl BodyPace {
    fn told(&self) {
        if self.jobs.fetch_add(1, Ordering::Relaxed) == 0 {
            self.moves();
        }
    }

    fn done(&self) {
        self.jobs.fetch_sub(1, Ordering::Relaxed);
        self.moves();
    }

    fn moves(&self) {
        self.moved.store(tick().0, Ordering::Relaxed);
    }
}

impl BodyThread {
    pub fn start(folder: &Arc<Folder>) -> io::Result<BodyThread> {
        let (tell, told) = channel();
        let (folder, pace) = (folder.clone(), Arc::<BodyPace>::default());
        let paced = pace.clone();
        thread::Builder::new().name("disk-bodies".to_owned()).spawn(move || write(&folder, &told, &paced))?;
        Ok(BodyThread { tell, pace })
    }

    pub fn tell(&self, job: BodyJob) {
        self.pace.told();
        // One that has ended has said so to whoever waits for it.
        let _ = self.tell.send(job);
    }

    /// The next piece of a body.
    pub fn write(&self, number: u64, progress: &BodyProgress, piece: Bytes) {
        let mut waiting = progress.waiting();
        if waiting.is_over {
            return;
        }
        self.pace.behind.fetch_add(piece.len() as u64, Ordering::Relaxed);
        waiting.pieces.push_back(piece);
        waiting.pace.get_or_insert_with(|| self.pace.clone());
        drop(waiting);
        self.tell(BodyJob::Write(number));
    }

    /// Bytes that wait to be written.
    pub fn behind(&self) -> u64 {
        self.pace.behind.load(Ordering::Relaxed)
    }

    /// For how long nothing has been done of what waits.
    pub fn stands_since(&self) -> Duration {
        match self.pace.jobs.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            _ => tick().since(Tick(self.pace.moved.load(Ordering::Relaxed))),
        }
    }
}

type OpenBodies = HashMap<u64, (BodyWriter<Folder>, Arc<BodyProgress>)>;

fn write(folder: &Arc<Folder>, told: &Receiver<BodyJob>, pace: &BodyPace) {
    let mut open = OpenBodies::new();
    while let Ok(job) = told.recv() {
        carry_out(folder, &mut open, job, pace);
        pace.done();
    }
    // Whoever waits for one that is not whole waits in vain.
    open.into_values().for_each(|(_, progress)| progress.fail(io::ErrorKind::Interrupted.into()));
}

fn carry_out(folder: &Arc<Folder>, open: &mut OpenBodies, job: BodyJob, pace: &BodyPace) {
    match job {
        BodyJob::Begin(file, reserve, progress) => match BodyWriter::begin(folder.clone(), file, reserve) {
            Ok(writer) => _ = open.insert(file.number, (writer, progress)),
            Err(cause) => progress.fail(cause),
        },
        BodyJob::Resume(file, progress) => match BodyWriter::resume(folder.clone(), file) {
            Ok(writer) => _ = open.insert(file.number, (writer, progress)),
            Err(cause) => progress.fail(cause),
        },
        BodyJob::Write(number) => {
            let Some((writer, progress)) = open.get_mut(&number) else { return };
            let Some(piece) = progress.waiting().pieces.pop_front() else { return };
            pace.behind.fetch_sub(piece.len() as u64, Ordering::Relaxed);
            match writer.write(&piece) {
                Ok(readable) => progress.is_at(readable),
                Err(cause) => {
                    progress.fail(cause);
                    open.remove(&number);
                }
            }
        }
        BodyJob::Finish(number) => {
            let Some((mut writer, progress)) = open.remove(&number) else { return };
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
