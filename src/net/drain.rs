//! Ending well: a signal that every task can wait for.

use tokio::sync::watch;

/// Told once, by [`Shutdown::channel`]'s sender, that the process is to end: take no new work, finish what runs.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Begins the shutdown of everything that holds a [`Shutdown`].
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

impl Shutdown {
    pub fn channel() -> (Trigger, Shutdown) {
        let (tx, rx) = watch::channel(false);
        (Trigger(tx), Shutdown(rx))
    }
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }
    /// Waits until it begins (at once when it has, or when the trigger is gone). Cancel safe.
    pub async fn begun(&mut self) {
        let _ = self.0.wait_for(|begun| *begun).await;
    }
}

impl Trigger {
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

/// Why a role could not start or had to end: one line for the person at the terminal that names the cure.
#[derive(Debug)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}
