//! Lines for a reader who may be slow, or gone: a bounded queue, and a thread of its own that writes. Who has a line to
//! say never waits and never fails; what finds no room is dropped and counted.

use crate::clock::tick;
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Lines that wait to be written.
const LINES: usize = 16 * 1024;
/// Bytes of them: a URL can be as long as a head.
const BYTES: usize = 4 << 20;
/// What is written at once, unless one line is longer.
const BLOCK: usize = 64 * 1024;
/// How long an ending process waits for a reader.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// Between two looks at a writer that is to end.
const LOOK: Duration = Duration::from_millis(1);

/// Whether a line could be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    Yes,
    Dropped,
}

/// Where lines are put.
#[derive(Clone, Debug)]
pub struct Lines {
    queue: SyncSender<Item>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes in the queue.
    waiting: AtomicUsize,
    lost: AtomicU64,
}

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    End,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    queue: SyncSender<Item>,
    thread: JoinHandle<()>,
}

impl Lines {
    /// Starts the thread, which writes to `out` past the locks of the standard library: they would be held for as long as
    /// a reader does not read. `name` is the thread's, and what people are told when lines were lost.
    pub fn to(out: impl AsFd + Send + 'static, name: &'static str) -> io::Result<(Lines, Writer)> {
        let (queue, items) = sync_channel(LINES);
        let lines = Lines { queue: queue.clone(), shared: Arc::default() };
        let shared = lines.shared.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || write(&out, name, &items, &shared))?;
        Ok((lines, Writer { queue, thread }))
    }

    /// Hands over a line, its end included.
    pub fn put(&self, line: Vec<u8>) -> Logged {
        let size = line.len();
        let fits = self.shared.waiting.fetch_add(size, Ordering::Relaxed).saturating_add(size) <= BYTES;
        if fits && self.queue.try_send(Item::Line(line)).is_ok() {
            return Logged::Yes;
        }
        self.shared.waiting.fetch_sub(size, Ordering::Relaxed);
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
        Logged::Dropped
    }

    /// How many lines were dropped, or could not be written.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

static LOG: OnceLock<Lines> = OnceLock::new();

/// Notes that these are the lines of this process's log, for [`log_lost`].
pub fn set_log(lines: &Lines) {
    let _ = LOG.set(lines.clone());
}

/// How many lines of this process's log were lost.
pub fn log_lost() -> u64 {
    LOG.get().map_or(0, Lines::lost)
}

impl Writer {
    /// Waits until all that was handed over is written, for [`LAST_WORDS`] at most: nobody may be reading.
    pub fn finish(self) {
        let asked = tick();
        let _ = self.queue.try_send(Item::End);
        while !self.thread.is_finished() && tick().since(asked) < LAST_WORDS {
            thread::sleep(LOOK);
            // The queue may have been full.
            let _ = self.queue.try_send(Item::End);
        }
    }
}

/// Where `tracing` writes: an event is one call of `write`.
impl io::Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let _ = self.put(event.to_vec());
        Ok(event.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(out: &impl AsFd, name: &str, items: &Receiver<Item>, shared: &Shared) {
    let (mut block, mut told) = (Vec::with_capacity(BLOCK), 0);
    loop {
        let item = items.try_recv().or_else(|_| {
            // Once the reader has caught up, and where it can be heard.
            let lost = shared.lost.load(Ordering::Relaxed);
            if lost > told {
                tracing::warn!("{} lines of the {name} were lost: its reader is too slow, or gone", lost - told);
                told = lost;
            }
            items.recv()
        });
        let Ok(Item::Line(line)) = item else { return };
        block.extend_from_slice(&line);
        let (mut lines, mut over) = (1, false);
        while block.len() < BLOCK && !over {
            match items.try_recv() {
                Ok(Item::Line(line)) => {
                    block.extend_from_slice(&line);
                    lines += 1;
                }
                Ok(Item::End) => over = true,
                Err(_) => break,
            }
        }
        if write_all(out, &block).is_err() {
            shared.lost.fetch_add(lines, Ordering::Relaxed);
            told += lines;
        }
        shared.waiting.fetch_sub(block.len(), Ordering::Relaxed);
        block.clear();
        if over {
            return;
        }
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
        let (lines, writer) = Lines::to(out, "test log").unwrap();
        for n in 0..1000 {
            assert_eq!(lines.put(format!("{n}\n").into_bytes()), Logged::Yes);
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
        let (lines, writer) = Lines::to(out, "test log").unwrap();
        let line = vec![b'x'; 64 * 1024];
        let taken = (0..1000).take_while(|_| lines.put(line.clone()) == Logged::Yes).count();
        assert!(taken * line.len() <= BYTES + (1 << 20), "{taken} lines of 64 KiB were taken");
        assert_eq!(lines.lost(), 1);
        let asked = tick();
        writer.finish();
        assert!(tick().since(asked) < LAST_WORDS * 3, "the end waits for nobody");
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (lines, writer) = Lines::to(full, "test log").unwrap();
        assert_eq!(lines.put(b"a line\n".to_vec()), Logged::Yes);
        writer.finish();
        assert_eq!(lines.lost(), 1);
    }
}
