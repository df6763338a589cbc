//! The threads that wait for the disk, so that the node's own never does: one writes, in order, and three read.

use super::disk_bodies::BodyThread;
use super::random::random;
use crate::net::descriptors::{self, lack_of};
use crate::store::disk::{
    BodyFile, Denied, DiskJob, Files, Folder, FolderMark, JobDone, Opening, Previous, ReadPace, ReadRecord, Recovered,
    Unread, boot_of_machine, open, read, read_apart,
};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

const READERS: usize = 3;
/// So many reads wait at most; others are misses at once.
const WAITING: usize = 256;
/// For so many bytes at a time; a longer record is read alone.
const ROOM: u64 = 16 * 1024 * 1024;
/// In blocks of so many.
const BLOCK: u64 = 64 * 1024;
/// A folder that another process has is asked for again so often, so many times at once, and then at this distance.
const SOON: (Duration, u32) = (Duration::from_millis(100), 10);
const LATER: Duration = Duration::from_secs(10);
/// So many jobs are done together.
const TOGETHER: usize = 64;
/// What comes while others are done waits for the same sync, so many times.
const ROUNDS: usize = 16;

/// What the writer is told.
pub type Told = Vec<DiskJob>;

/// What the writer tells.
pub enum News {
    /// The folder says that it is not to be believed, until what is told while it is read can be written.
    Marked,
    Opened(Readers, Box<Recovered>),
    /// Another process has the folder; it is asked for again.
    Waits(String),
    /// It cannot be had; what to do about it.
    Denied(String),
    Done(Vec<JobDone>),
}

/// Starts the threads. The writer ends when nobody can tell it anything any more.
pub fn start(folder: &Path, id: &str, opening: Opening) -> io::Result<(Sender<Told>, UnboundedReceiver<News>)> {
    let (tell, told) = channel();
    let (news, heard) = unbounded_channel();
    let (folder, id) = (folder.to_owned(), id.to_owned());
    let write = move || write(&folder, &id, &opening, &told, &news);
    thread::Builder::new().name("disk-writer".to_owned()).spawn(write)?;
    Ok((tell, heard))
}

fn write(path: &Path, id: &str, opening: &Opening, told: &Receiver<Told>, news: &UnboundedSender<News>) {
    let Some(folder) = folder(path, id, told, news) else { return };
    let folder = Arc::new(folder);
    let marked = || drop(news.send(News::Marked));
    let opened = open(folder.clone(), opening, marked).and_then(|(writer, mark, found)| {
        let readers = Readers::start(&folder, mark)?;
        Ok((writer, found, readers))
    });
    let (mut writer, found, readers) = match opened {
        Ok(opened) => opened,
        Err(cause) => return drop(news.send(News::Denied(cure(path, &cause)))),
    };
    if news.send(News::Opened(readers, Box::new(found))).is_err() {
        return;
    }
    let mut rounds = 0;
    loop {
        let next = match writer.owes_a_sync() {
            true if rounds < ROUNDS => told.try_recv().ok(),
            true => None,
            false => {
                rounds = 0;
                let Ok(jobs) = told.recv() else { return };
                Some(jobs)
            }
        };
        let done = match next {
            Some(jobs) => {
                rounds += 1;
                let more = told.try_iter().take(TOGETHER);
                writer.run(jobs.into_iter().chain(more.flatten()))
            }
            None => {
                rounds = 0;
                writer.sync()
            }
        };
        if !done.is_empty() && news.send(News::Done(done)).is_err() {
            return;
        }
    }
}

/// Waits for it where another process has it: the one before this may not have ended yet.
fn folder(path: &Path, id: &str, told: &Receiver<Told>, news: &UnboundedSender<News>) -> Option<Folder> {
    let shown = path.display();
    for round in 0_u32.. {
        let why = match Folder::open(path, id) {
            Ok(folder) => return Some(folder),
            Err(Denied::InUse) => {
                if round == SOON.1 {
                    let what = "another process has it: end that one, or give each its own [disk] path";
                    _ = news
                        .send(News::Waits(format!("{shown} cannot be used yet, {what}; it is tried again and again")));
                }
                let pause = if round < SOON.1 { SOON.0 } else { LATER };
                match told.recv_timeout(pause) {
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Ok(_) | Err(RecvTimeoutError::Timeout) => continue,
                }
            }
            Err(Denied::Foreign(of)) => {
                format!(
                    "{shown} belongs to the node {of}, not to {id}: give this one another [disk] path, or remove the folder"
                )
            }
            Err(Denied::NotPrivate) => format!("{shown} is not a folder of this user's alone: chmod 700 and chown it"),
            Err(Denied::NoFolder) => {
                format!(
                    "{shown} is a link, or no folder: remove it, or set [disk] path to where the folders themselves are"
                )
            }
            Err(Denied::System(cause)) => cure(path, &cause),
        };
        _ = news.send(News::Denied(why));
        return None;
    }
    None
}

fn cure(path: &Path, cause: &io::Error) -> String {
    let cure = match cause.kind() {
        io::ErrorKind::PermissionDenied => "let the user that ringhold runs as write there, or set [disk] path",
        io::ErrorKind::ReadOnlyFilesystem => "mount its file system for writing, or set [disk] path",
        io::ErrorKind::NotADirectory => "what it is to be in is no folder: set [disk] path to one",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some room there",
        // No file waits so: a thread cannot be started.
        io::ErrorKind::WouldBlock => {
            "raise the limit of threads (`TasksMax=` in a systemd unit, pids.max of a container)"
        }
        _ if let Some(lack) = lack_of(cause) => {
            return format!("{} cannot be used ({cause}): {}", path.display(), descriptors::cure(lack));
        }
        _ => "see what the system's log says of it, or set [disk] path",
    };
    format!("{} cannot be used ({cause}): {cure}", path.display())
}

/// An open file of a folder.
pub type OpenBody = <Folder as Files>::Open;

pub type ReadAnswer = Result<Vec<ReadRecord>, Unread>;
/// And the file, for whoever goes on.
pub type BodyAnswer = Result<(Bytes, OpenBody), Unread>;

enum ReadQuestion {
    Record { lineage: u64, key: Box<[u8]>, from: Previous, told: oneshot::Sender<ReadAnswer> },
    Body { file: BodyFile, open: Option<OpenBody>, at: u64, told: oneshot::Sender<BodyAnswer> },
}

impl ReadQuestion {
    fn answer(self, folder: &Folder) {
        // Who has asked may have gone, or given up.
        match self {
            ReadQuestion::Record { lineage, key, from, told } if !told.is_closed() => {
                let _ = told.send(read(folder, lineage, &key, from, ReadPace::Waiting));
            }
            ReadQuestion::Body { file, open, at, told } if !told.is_closed() => {
                let open = open.map_or_else(|| folder.open(file.name()), Ok).map_err(Unread::System);
                let piece = open.and_then(|open| Ok((read_apart(folder, &open, file, at)?, open)));
                let _ = told.send(piece);
            }
            _ => {}
        }
    }
}

/// With the room that it takes.
type ReadTurn = (ReadQuestion, OwnedSemaphorePermit);

/// What waits to be read. For each question one thread is woken: a channel that several receive from wakes one to receive and
/// another to wait in its place.
#[derive(Default)]
struct ReadQueue {
    waiting: Mutex<(VecDeque<ReadTurn>, bool)>,
    more: Condvar,
}

impl ReadQueue {
    fn waiting(&self) -> MutexGuard<'_, (VecDeque<ReadTurn>, bool)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: too many wait already.
    fn put(&self, question: ReadQuestion, room: OwnedSemaphorePermit) -> Option<()> {
        let mut waiting = self.waiting();
        if waiting.0.len() >= WAITING {
            return None;
        }
        waiting.0.push_back((question, room));
        drop(waiting);
        self.more.notify_one();
        Some(())
    }

    /// Waits for the next; `None`: there will be none.
    fn next(&self) -> Option<ReadTurn> {
        let is_idle = |(waiting, is_over): &mut (VecDeque<ReadTurn>, bool)| waiting.is_empty() && !*is_over;
        let mut waiting = self.more.wait_while(self.waiting(), is_idle).unwrap_or_else(PoisonError::into_inner);
        waiting.0.pop_front()
    }
}

/// Who may ask; when it is dropped nothing more is asked.
#[derive(Default)]
struct ReadQueueEnd(Arc<ReadQueue>);

impl Drop for ReadQueueEnd {
    fn drop(&mut self) {
        self.0.waiting().1 = true;
        self.0.more.notify_all();
    }
}

/// The threads that read. They end with it.
pub struct Readers {
    folder: Arc<Folder>,
    asker: ReadAsker,
    /// To the thread that writes bodies into files of their own.
    bodies: BodyThread,
    mark: Arc<FolderMark<Folder>>,
}

impl Readers {
    fn start(folder: &Arc<Folder>, mark: Arc<FolderMark<Folder>>) -> io::Result<Readers> {
        let end = ReadQueueEnd::default();
        let questions = end.0.clone();
        for _ in 0..READERS {
            let (folder, questions) = (folder.clone(), questions.clone());
            let answer = move || {
                // Room is held until it is read, whoever still waits for that.
                while let Some((question, _room)) = questions.next() {
                    question.answer(&folder);
                }
            };
            thread::Builder::new().name("disk-reader".to_owned()).spawn(answer)?;
        }
        let bodies = BodyThread::start(folder)?;
        let asker = ReadAsker { queue: Arc::new(end), room: Arc::new(Semaphore::new((ROOM / BLOCK) as usize)) };
        Ok(Readers { folder: folder.clone(), asker, bodies, mark })
    }

    /// What the system has in memory, read by who asks. `None`: it has to be waited for.
    pub fn at_once(&self, lineage: u64, key: &[u8], from: Previous) -> Option<ReadAnswer> {
        if !ReadPace::AtOnce.suits(from.slot) {
            return None;
        }
        let read = read(&*self.folder, lineage, key, from, ReadPace::AtOnce);
        Some(read).filter(|read| !read.as_ref().is_err_and(Unread::is_only_not_at_once))
    }

    /// Where to ask.
    pub fn asker(&self) -> ReadAsker {
        self.asker.clone()
    }

    /// Where bodies are written.
    pub fn bodies(&self) -> &BodyThread {
        &self.bodies
    }

    /// Has the folder say that it is not to be believed, by a thread that waits for nobody; `done` says that it does.
    pub fn distrust(&self, done: &Arc<AtomicBool>) {
        let (mark, done) = (self.mark.clone(), done.clone());
        let distrust = move || done.store(mark.distrust().is_ok(), Ordering::Release);
        if let Err(cause) = thread::Builder::new().name("disk-mark".to_owned()).spawn(distrust) {
            tracing::debug!("disk: no thread can be started: {cause}");
        }
    }
}

/// Asks the threads that read.
#[derive(Clone)]
pub struct ReadAsker {
    queue: Arc<ReadQueueEnd>,
    room: Arc<Semaphore>,
}

impl ReadAsker {
    /// Waits until there is room for it. `None`: too many wait already, or nobody reads any more.
    pub async fn ask(self, lineage: u64, key: Box<[u8]>, from: Previous) -> Option<oneshot::Receiver<ReadAnswer>> {
        let (told, answer) = oneshot::channel();
        self.put(from.slot.length(), ReadQuestion::Record { lineage, key, from, told }).await?;
        Some(answer)
    }

    /// The same for a piece of a body that lies in a file of its own.
    pub async fn ask_apart(
        self,
        file: BodyFile,
        open: Option<OpenBody>,
        at: u64,
    ) -> Option<oneshot::Receiver<BodyAnswer>> {
        let (told, answer) = oneshot::channel();
        self.put(2 * BLOCK, ReadQuestion::Body { file, open, at, told }).await?;
        Some(answer)
    }

    async fn put(self, bytes: u64, question: ReadQuestion) -> Option<()> {
        let blocks = bytes.min(ROOM).div_ceil(BLOCK) as u32;
        let room = self.room.acquire_many_owned(blocks).await.ok()?;
        self.queue.0.put(question, room)
    }
}

/// A number of this boot of the machine; where the system has none, each start is taken for one after a power cut.
pub fn machine() -> u64 {
    boot_of_machine().unwrap_or_else(|| random() | 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::IndexSlot;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_read_waits_until_there_is_room_for_it() {
        let path = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open(&path.path().join("n1"), "n1").unwrap());
        let (mark, _) = FolderMark::take(folder.clone(), 1).unwrap();
        let readers = Readers::start(&folder, Arc::new(mark)).unwrap();
        let ask = |length| {
            let from = Previous { segment: 1, slot: IndexSlot::new(1, 0, length) };
            readers.asker().ask(7, b"http://a.example/".as_slice().into(), from)
        };
        let all = readers.asker.room.clone().acquire_many_owned((ROOM / BLOCK) as u32).await.unwrap();
        assert!(timeout(Duration::from_millis(20), ask(64)).await.is_err());
        drop(all);
        // One that is longer than all the room is read too, and then the next.
        for length in [2 * ROOM, 64] {
            let told = ask(length).await.unwrap().await.unwrap();
            assert!(matches!(told, Err(Unread::System(_))), "there is no such segment: {told:?}");
        }
    }
}
