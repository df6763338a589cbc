//! Lines for a reader who may be slow, or gone: a bounded buffer, and a thread of its own that writes. Who has a line to
//! say never waits for the reader and never fails; what finds no room is dropped and counted.

use crate::clock::{Tick, tick};
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes that wait to be written: a URL can be as long as a head.
const BYTES: usize = 4 << 20;
/// What is written at once, and what an empty buffer keeps of its size.
const BLOCK: usize = 64 * 1024;
/// How long many lines are gathered before they are written: so often at most the writer is woken.
pub const GATHER: Duration = Duration::from_millis(2);
/// How long an ending process waits for a reader.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// Between two warnings that lines were lost: nothing may be writable for days.
const BETWEEN: Duration = Duration::from_secs(60);
/// Between two looks at a writer that is to end.
const LOOK: Duration = Duration::from_millis(1);

/// Whether a line could be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    Yes,
    Dropped,
}

/// Where lines are put.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<SharedLines>);

#[derive(Debug, Default)]
struct SharedLines {
    waiting: Mutex<WaitingLines>,
    /// Something waits where nothing did, or it is the end.
    came: Condvar,
}

#[derive(Debug, Default)]
struct WaitingLines {
    text: Vec<u8>,
    /// So many lines are in it.
    lines: u64,
    /// Bytes that the writer has taken and not written.
    writing: usize,
    /// For whatever reason: there was no room, or they could not be written.
    lost: u64,
    ends: bool,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    lines: Lines,
    thread: JoinHandle<()>,
}

impl Lines {
    /// Starts the thread, which writes to `out` past the locks of the standard library: they would be held for as long as
    /// a reader does not read. `name` is the thread's, and what people are told when lines were lost; `gather`: how long a
    /// line may wait for others.
    pub fn to(out: impl AsFd + Send + 'static, name: &'static str, gather: Duration) -> io::Result<(Lines, Writer)> {
        let lines = Lines::default();
        let of_writer = lines.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || of_writer.write(&out, name, gather))?;
        Ok((lines.clone(), Writer { lines, thread }))
    }

    /// Hands over a line, its end included.
    pub fn put(&self, line: &[u8]) -> Logged {
        let mut waiting = self.waiting();
        if waiting.text.len() + waiting.writing + line.len() > BYTES {
            waiting.lost += 1;
            return Logged::Dropped;
        }
        let is_first = waiting.text.is_empty();
        waiting.text.extend_from_slice(line);
        waiting.lines += 1;
        drop(waiting);
        if is_first {
            self.0.came.notify_one();
        }
        Logged::Yes
    }

    /// How many lines were dropped, or could not be written.
    pub fn lost(&self) -> u64 {
        self.waiting().lost
    }

    /// Never held while anything is written, or told.
    fn waiting(&self) -> MutexGuard<'_, WaitingLines> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, out: &impl AsFd, name: &str, gather: Duration) {
        let (mut block, mut loss) = (Vec::new(), Loss::default());
        loop {
            let mut waiting = self.waiting();
            // Once the reader has caught up, or cannot.
            if (waiting.text.is_empty() || loss.goes_on)
                && loss.is_to_be_told(waiting.lost, waiting.ends)
                && !(loss.goes_on && self.is_log())
            {
                let more = loss.tell(waiting.lost);
                drop(waiting);
                tracing::warn!("{more} lines of the {name} were lost: its reader is too slow, or gone");
                continue;
            }
            let is_idle = |waiting: &mut WaitingLines| waiting.text.is_empty() && !waiting.ends;
            waiting = self.0.came.wait_while(waiting, is_idle).unwrap_or_else(PoisonError::into_inner);
            if waiting.text.len() < BLOCK && !waiting.ends && !gather.is_zero() {
                drop(waiting);
                thread::sleep(gather);
                waiting = self.waiting();
            }
            if waiting.text.is_empty() {
                return;
            }
            std::mem::swap(&mut waiting.text, &mut block);
            let lines = std::mem::take(&mut waiting.lines);
            waiting.writing = block.len();
            drop(waiting);
            loss.goes_on = write_all(out, &block).is_err();
            block.clear();
            block.shrink_to(BLOCK);
            let mut waiting = self.waiting();
            waiting.writing = 0;
            waiting.lost += if loss.goes_on { lines } else { 0 };
        }
    }

    /// Whether a warning about these lines is one of them: while none can be written, it would be one more that is lost.
    fn is_log(&self) -> bool {
        LOG.get().is_some_and(|log| Arc::ptr_eq(&log.0, &self.0))
    }
}

/// What the writer has told of lines that were lost.
#[derive(Default)]
struct Loss {
    told: u64,
    at: Option<Tick>,
    /// The last of them could not be written.
    goes_on: bool,
}

impl Loss {
    /// `ends`: there is no later.
    fn is_to_be_told(&self, lost: u64, ends: bool) -> bool {
        lost > self.told && (ends || self.at.is_none_or(|at| tick().since(at) >= BETWEEN))
    }

    fn tell(&mut self, lost: u64) -> u64 {
        self.at = Some(tick());
        lost - std::mem::replace(&mut self.told, lost)
    }
}

static LOG: OnceLock<Lines> = OnceLock::new();
static ACCESS: OnceLock<Lines> = OnceLock::new();

/// Notes that these are the lines of this process's log, for [`log_lost`].
pub fn set_log(lines: &Lines) {
    let _ = LOG.set(lines.clone());
}

/// How many lines of this process's log were lost.
pub fn log_lost() -> u64 {
    LOG.get().map_or(0, Lines::lost)
}

/// The same of its access log, for [`access_lost`].
pub fn set_access(lines: &Lines) {
    let _ = ACCESS.set(lines.clone());
}

pub fn access_lost() -> u64 {
    ACCESS.get().map_or(0, Lines::lost)
}

impl Writer {
    /// Waits until all that was handed over is written, for [`LAST_WORDS`] at most: nobody may be reading.
    pub fn finish(self) {
        let asked = tick();
        self.lines.waiting().ends = true;
        self.lines.0.came.notify_one();
        while !self.thread.is_finished() && tick().since(asked) < LAST_WORDS {
            thread::sleep(LOOK);
        }
    }
}

/// Where `tracing` writes: an event is one call of `write`.
impl io::Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let _ = self.put(event);
        Ok(event.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(out: &impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(out, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody has made it non-blocking: a terminal is shared.
            Err(Errno::AGAIN) => thread::sleep(LOOK),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn lines_are_written_in_order_and_the_last_ones_before_the_end() {
        let (out, mut reader) = UnixStream::pair().unwrap();
        let (lines, writer) = Lines::to(out, "test log", GATHER).unwrap();
        for n in 0..1000 {
            assert_eq!(lines.put(format!("{n}\n").as_bytes()), Logged::Yes);
        }
        writer.finish();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, (0..1000).map(|n| format!("{n}\n")).collect::<String>());
        assert_eq!(lines.lost(), 0);
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_nothing_else() {
        let (out, _reader) = UnixStream::pair().unwrap();
        let (lines, writer) = Lines::to(out, "test log", GATHER).unwrap();
        let line = vec![b'x'; 64 * 1024];
        let taken = (0..1000).take_while(|_| lines.put(&line) == Logged::Yes).count();
        assert!(taken * line.len() <= BYTES + (1 << 20), "{taken} lines of 64 KiB were taken");
        assert_eq!(lines.lost(), 1);
        let asked = tick();
        writer.finish();
        assert!(tick().since(asked) < LAST_WORDS * 3, "the end waits for nobody");
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (lines, writer) = Lines::to(full, "test log", GATHER).unwrap();
        assert_eq!(lines.put(b"a line\n"), Logged::Yes);
        writer.finish();
        assert_eq!(lines.lost(), 1);
    }
}
