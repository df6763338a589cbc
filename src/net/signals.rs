//! The signals that end a process, and those that must not.

use super::drain::{Shutdown, StartError, Trigger};
use std::io;
use std::sync::mpsc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ended at once by a second signal.
const IMPATIENT: i32 = 130;
/// What other programs use these for, and a terminal or a timer sends: each would end the process, with all that it holds.
/// (SIGPIPE is ignored without a line: it is told wherever it matters, as an error of the write.)
const HARMLESS: [(libc::c_int, &str, &str); 10] = [
    (libc::SIGHUP, "SIGHUP", "there is no reload; restart to have the configuration read again"),
    (libc::SIGUSR1, "SIGUSR1", "there is no log file to be reopened"),
    (libc::SIGUSR2, "SIGUSR2", NOTHING),
    (libc::SIGALRM, "SIGALRM", NOTHING),
    (libc::SIGVTALRM, "SIGVTALRM", NOTHING),
    (libc::SIGPROF, "SIGPROF", NOTHING),
    (libc::SIGIO, "SIGIO", NOTHING),
    (libc::SIGPWR, "SIGPWR", NOTHING),
    (libc::SIGSTKFLT, "SIGSTKFLT", NOTHING),
    (libc::SIGXFSZ, "SIGXFSZ", "a file may not become larger; see ulimit -f"),
];
const NOTHING: &str = "it means nothing here";

/// Those, and the real-time signals, with name and reason.
fn harmless() -> impl Iterator<Item = (libc::c_int, String, &'static str)> {
    let named = HARMLESS.iter().map(|(number, name, why)| (*number, (*name).to_owned(), *why));
    let first = libc::SIGRTMIN();
    named.chain((first..=libc::SIGRTMAX()).map(move |number| (number, format!("SIGRTMIN+{}", number - first), NOTHING)))
}

/// Which signals end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    OnAnySignal,
    /// Ctrl-C in a terminal reaches children too, but a front that drains still needs its nodes.
    OnTerminate,
}

/// Until [`watch`] is there to say so, none of the harmless ones ends the process: a child is sent what its whole process
/// group is sent, from its first moment.
pub fn ignore_harmless() {
    for (number, ..) in harmless() {
        // SAFETY: no handler is installed, and none was before.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
}

/// SIGTERM and SIGINT begin the shutdown; the second one ends the process at once, where a person may have sent it.
pub fn watch(ending: Ending) -> Result<Shutdown, StartError> {
    let (trigger, shutdown) = Shutdown::channel();
    let (ready, registered) = mpsc::channel();
    let watch = move || _ = ready.send(until_ended(ending, &trigger, &ready));
    let cannot = |cause: &dyn std::fmt::Display| StartError(format!("cannot watch for signals: {cause}"));
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(|cause| cannot(&cause))?;
    match registered.recv() {
        Ok(Ok(())) => Ok(shutdown),
        Ok(Err(cause)) => Err(cannot(&cause)),
        Err(cause) => Err(cannot(&cause)),
    }
}

type Ready = mpsc::Sender<io::Result<()>>;

/// Runs for as long as the process does; says `ready` once signals cannot be missed any more.
fn until_ended(ending: Ending, trigger: &Trigger, ready: &Ready) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        for (number, name, why) in harmless() {
            match signal(SignalKind::from_raw(number)) {
                Ok(received) => drop(tokio::spawn(tell(received, name, why))),
                // Some sandboxes and debuggers keep a few for themselves; it stays ignored, without a line.
                Err(e) => tracing::debug!("{name} cannot be watched: {e}"),
            }
        }
        _ = ready.send(Ok(()));
        let name = next(&mut terminate, &mut interrupt, ending).await;
        match ending {
            Ending::OnAnySignal => {
                tracing::info!(
                    "{name}: no new connections; what is under way may finish; a second signal ends it at once"
                );
            }
            // The parent has sent it, and said why.
            Ending::OnTerminate => tracing::debug!("{name}"),
        }
        trigger.begin();
        loop {
            let name = next(&mut terminate, &mut interrupt, ending).await;
            match ending {
                Ending::OnAnySignal => {
                    tracing::warn!("{name} again: ended at once");
                    std::process::exit(IMPATIENT);
                }
                // To the whole group, and by the parent: systemd does so by default. What holds up the end is cut by the parent.
                Ending::OnTerminate => tracing::debug!("{name} again"),
            }
        }
    })
}

async fn tell(mut received: Signal, name: String, why: &'static str) {
    while received.recv().await.is_some() {
        tracing::warn!("{name} is ignored: {why}");
    }
}

/// The name of the next one that counts.
async fn next(terminate: &mut Signal, interrupt: &mut Signal, ending: Ending) -> &'static str {
    loop {
        tokio::select! {
            _ = terminate.recv() => return "SIGTERM",
            _ = interrupt.recv() => if ending == Ending::OnAnySignal { return "SIGINT" },
        }
    }
}
