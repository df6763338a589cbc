//! One child process: `ringhold node`, started, awaited, told to end. Its end, and that of nothing else, is our doing:
//! signals go through the child's own handle, which holds its process id until it has been waited for.

use crate::config::Address;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// A process that was killed is gone sooner than that, unless it waits for a device.
const KILLED: Duration = Duration::from_secs(2);

/// A node's process.
pub struct Child {
    process: Process,
    /// Its end tells the child that we are gone, whatever killed us.
    pipe: ChildStdin,
    /// What it says, until it has said that it listens.
    lines: Option<Lines<BufReader<ChildStdout>>>,
    ready: String,
}

impl Child {
    /// Starts the process.
    pub fn start(program: &Path, id: &str, listen: &Address) -> io::Result<Child> {
        let mut process = Command::new(program)
            .arg0(shown_name())
            .args(["node", "--id", id, "--listen", &listen.to_string(), "--supervised"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at the terminal is for us; we end the children when the requests in flight are done.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("a pipe to the child is missing");
        let pipe = process.stdin.take().ok_or_else(missing)?;
        let lines = process.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Ok(Child { process, pipe, lines, ready: format!("ringhold node {id} listening on ") })
    }

    /// Hands it the configuration (one line of JSON) and waits until it says where it listens.
    pub async fn greet(&mut self, id: &str, config: &str, limit: Duration) -> io::Result<String> {
        let mut lines = self.lines.take().ok_or_else(|| io::Error::other("it was greeted before"))?;
        let greeting = async {
            self.pipe.write_all(format!("{config}\n").as_bytes()).await?;
            self.pipe.flush().await?;
            listening(&mut lines, &self.ready).await
        };
        let address = match timeout(limit, greeting).await {
            Ok(Ok(address)) => address,
            Ok(Err(e)) => return Err(explain(&mut self.process, e).await),
            Err(_) => return Err(io::Error::other(format!("it did not say within {limit:?} that it listens"))),
        };
        // Whatever else it says must not fill the pipe.
        tokio::spawn(pass_on(id.to_owned(), lines));
        Ok(address)
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for its end. Cancel safe.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// SIGTERM, `limit` for the requests in flight, SIGKILL.
    pub async fn stop(mut self, limit: Duration) {
        if let Some(pid) = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process(pid, Signal::TERM);
            // One that was stopped would not hear of it.
            let _ = kill_process(pid, Signal::CONT);
        }
        if timeout(limit, self.process.wait()).await.is_err() {
            tracing::warn!(pid = self.process.id(), "node did not end within {limit:?}: killed");
            // One that the kernel has wait for a device that is frozen or gone does not even end then.
            let _ = self.process.start_kill();
            if timeout(KILLED, self.process.wait()).await.is_err() {
                tracing::error!(
                    pid = self.process.id(),
                    "node is killed, and does not end before its device answers: left"
                );
            }
        }
    }
}

/// The name that lists of processes show: the program's, though it is started by its link in /proc.
fn shown_name() -> OsString {
    std::env::args_os().next().unwrap_or_else(|| "ringhold".into())
}

async fn listening(lines: &mut Lines<BufReader<ChildStdout>>, ready: &str) -> io::Result<String> {
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix(ready) {
            return Ok(address.trim().to_owned());
        }
        tracing::info!("node says: {line}");
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// A child that ended before it listened has said why on standard error; its exit status is what is left to say.
async fn explain(process: &mut Process, error: io::Error) -> io::Error {
    match timeout(Duration::from_millis(200), process.wait()).await {
        Ok(Ok(status)) => io::Error::other(format!("it ended before it listened ({status})")),
        _ => error,
    }
}

async fn pass_on(id: String, mut lines: Lines<BufReader<ChildStdout>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(node = id, "node says: {line}");
    }
}
