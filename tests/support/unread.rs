//! Where a program writes to that nobody reads.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;

/// What has become of the reader of a log.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// It has left: writing fails.
    Gone,
    /// The disk is full: writing fails.
    Full,
    /// It is there and reads nothing: writing waits for ever.
    Asleep,
}

pub const READERS: [Reader; 3] = [Reader::Gone, Reader::Full, Reader::Asleep];

impl Reader {
    /// Standard error for a program; the other end has to be kept for as long as it runs.
    pub fn stderr(self, command: &mut Command) -> Option<File> {
        match self {
            Reader::Full => {
                command.stderr(File::options().write(true).open("/dev/full").expect("the device is there"));
                None
            }
            Reader::Gone => {
                let (_, writer) = pipe();
                command.stderr(Stdio::from(OwnedFd::from(writer)));
                None
            }
            Reader::Asleep => {
                let (reader, writer) = pipe();
                fill(&writer);
                command.stderr(Stdio::from(OwnedFd::from(writer)));
                Some(reader)
            }
        }
    }
}

/// A pipe for standard output of which the first lines are read, up to the ready line, and then nothing.
pub fn stdout_until_ready(command: &mut Command) {
    read_until_ready(command, |reader| {
        // It stays open, and unread, until the test's process ends.
        loop {
            thread::park();
            let _ = &reader;
        }
    });
}

/// The same, and then its reader leaves: writing fails.
pub fn stdout_closed_when_ready(command: &mut Command) {
    read_until_ready(command, drop);
}

fn read_until_ready(command: &mut Command, then: impl FnOnce(File) + Send + 'static) {
    let (reader, writer) = pipe();
    command.stdout(Stdio::from(OwnedFd::from(writer)));
    let path = command.get_current_dir().expect("it has a folder").join("stdout");
    thread::spawn(move || {
        // In small pieces, so that what follows stays in the pipe.
        let mut lines = BufReader::with_capacity(1, reader);
        let (mut said, mut line) = (String::new(), String::new());
        while !line.starts_with("ringhold is ready") && lines.read_line(&mut line).is_ok_and(|n| n > 0) {
            said.push_str(&line);
            if !line.starts_with("ringhold is ready") {
                line.clear();
            }
        }
        fs::write(path, said).expect("a file can be written");
        then(lines.into_inner());
    });
}

fn pipe() -> (File, File) {
    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (reader, writer) = rustix::pipe::pipe_with(flags).expect("a pipe");
    (reader.into(), writer.into())
}

/// Writes until nothing fits.
fn fill(writer: &File) {
    let flags = rustix::fs::fcntl_getfl(writer).expect("it has flags");
    rustix::fs::fcntl_setfl(writer, flags | rustix::fs::OFlags::NONBLOCK).expect("flags can be set");
    let mut out = writer;
    for size in [4096, 1] {
        while out.write(&vec![b'.'; size]).is_ok() {}
    }
    rustix::fs::fcntl_setfl(writer, flags).expect("flags can be set");
}
