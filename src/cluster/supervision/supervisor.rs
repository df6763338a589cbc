//! The spawned nodes: started, restarted with back-off when they die, taken down with us.

use super::child::Child;
use crate::clock;
use crate::cluster::health::monitor::Health;
use crate::cluster::views::Node;
use crate::cluster::vital;
use crate::config::{Address, Config, authority};
use crate::net::drain::StartError;
use crate::private;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A node ends by itself within `timeouts.drain`; a little more lets it.
const SLACK: Duration = Duration::from_millis(500);
/// The mode of the folder of the nodes' sockets.

#[derive(Debug)]
pub struct Supervisor {
    plan: Arc<ChildPlan>,
    health: Arc<Health>,
    wards: Mutex<BTreeMap<String, Ward>>,
    folder: Mutex<Option<TempDir>>,
    sockets: PathBuf,
}

/// What every child is started with.
#[derive(Debug)]
struct ChildPlan {
    program: PathBuf,
    config: String,
    node_start: Duration,
    drain: Duration,
    /// Who wants to know where nodes listen.
    told: Option<mpsc::UnboundedSender<ChildEvent>>,
}

/// What became of a node's process.
#[derive(Debug)]
pub enum ChildEvent {
    Listens(String, Address),
    Ended(String),
}

#[derive(Debug)]
struct Ward {
    end: watch::Sender<bool>,
    task: JoinHandle<()>,
    restarts: Arc<AtomicU64>,
}

impl Supervisor {
    pub fn new(program: PathBuf, config: &Config, health: Arc<Health>) -> Result<Supervisor, StartError> {
        Supervisor::telling(program, config, health, None)
    }

    /// The same; `told` hears where the processes listen and when they end.
    pub fn telling(
        program: PathBuf,
        config: &Config,
        health: Arc<Health>,
        told: Option<mpsc::UnboundedSender<ChildEvent>>,
    ) -> Result<Supervisor, StartError> {
        let folder = private_folder()?;
        let line =
            serde_json::to_string(config).map_err(|e| StartError(format!("the configuration has no JSON: {e}")))?;
        let timeouts = &config.timeouts;
        let (node_start, drain) = (timeouts.node_start, timeouts.drain + SLACK);
        let plan = ChildPlan { program, config: line, node_start, drain, told };
        let sockets = folder.path().to_owned();
        Ok(Supervisor {
            plan: Arc::new(plan),
            health,
            wards: Mutex::default(),
            folder: Mutex::new(Some(folder)),
            sockets,
        })
    }

    /// The private folder of the sockets.
    pub fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// Keeps a process running for this node until [`Supervisor::release`] or [`Supervisor::stop`].
    pub fn keep(&self, node: &Arc<Node>) {
        let (end, ended) = watch::channel(false);
        let restarts = Arc::new(AtomicU64::new(0));
        let (plan, health, ward, count) = (self.plan.clone(), self.health.clone(), node.clone(), restarts.clone());
        let life = move || live(plan.clone(), health.clone(), ward.clone(), ended.clone(), count.clone());
        let ward = Ward { end, task: vital::keep("supervision", life), restarts };
        self.wards().insert(node.id.clone(), ward);
    }

    /// Ends the node's process, gently first. Returns when it has ended.
    pub async fn release(&self, id: &str) {
        let ward = self.wards().remove(id);
        if let Some(ward) = ward {
            ward.end.send_replace(true);
            let _ = ward.task.await;
        }
    }

    /// Ends all processes, at the same time, and removes the folder of their sockets.
    pub async fn stop(&self) {
        self.end_all().await;
        drop(self.folder.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Ends all processes, at the same time.
    pub async fn end_all(&self) {
        let wards = std::mem::take(&mut *self.wards());
        for ward in wards.values() {
            ward.end.send_replace(true);
        }
        for ward in wards.into_values() {
            let _ = ward.task.await;
        }
    }

    /// How often each node's process was started again.
    pub fn restarts(&self) -> Vec<(String, u64)> {
        self.wards().iter().map(|(id, ward)| (id.clone(), ward.restarts.load(Ordering::Relaxed))).collect()
    }

    fn wards(&self) -> MutexGuard<'_, BTreeMap<String, Ward>> {
        self.wards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn live(
    plan: Arc<ChildPlan>,
    health: Arc<Health>,
    node: Arc<Node>,
    mut end: watch::Receiver<bool>,
    restarts: Arc<AtomicU64>,
) {
    let mut backoff = Backoff::default();
    let mut listen = node.address.clone();
    loop {
        let born = clock::tick();
        // The port that it had is kept; when it cannot be had any more, any other will do.
        listen = one_life(&plan, &health, &node, &listen, &mut end).await.unwrap_or_else(|| any_port(&node.address));
        // Its end is known here before any probe can tell.
        health.refused(&node, true);
        plan.tell(|| ChildEvent::Ended(node.id.clone()));
        let pause = backoff.after(clock::tick().since(born));
        tokio::select! {
            () = told(&mut end) => return,
            () = sleep(pause) => {}
        }
        restarts.fetch_add(1, Ordering::Relaxed);
    }
}

impl ChildPlan {
    fn tell(&self, what: impl FnOnce() -> ChildEvent) {
        if let Some(told) = &self.told {
            let _ = told.send(what());
        }
    }
}

fn any_port(address: &Address) -> Address {
    match (address, address.host()) {
        (Address::Tcp(_), Some(host)) => Address::Tcp(authority(host, 0)),
        _ => address.clone(),
    }
}

/// From the start of the process to its end, by itself or because it was told. Where it listened, when it did.
async fn one_life(
    plan: &ChildPlan,
    health: &Health,
    node: &Arc<Node>,
    listen: &Address,
    end: &mut watch::Receiver<bool>,
) -> Option<Address> {
    let id = &node.id;
    let failed = |e: io::Error| tracing::error!(node = id, "node does not start: {e}");
    if let Address::Unix(path) = listen {
        make_room(path).map_err(failed).ok()?;
    }
    let mut child = Child::start(&plan.program, id, listen).map_err(failed).ok()?;
    let greeted = tokio::select! {
        () = told(end) => Err(None),
        greeted = child.greet(id, &plan.config, plan.node_start) => greeted.map_err(Some),
    };
    let address = match greeted {
        Ok(address) => address.parse().unwrap_or_else(|_| listen.clone()),
        // It serves nobody yet.
        Err(why) => {
            child.stop(Duration::ZERO).await;
            why.into_iter().for_each(failed);
            return None;
        }
    };
    tracing::info!(node = id, pid = child.pid(), %address, "node listens");
    plan.tell(|| ChildEvent::Listens(id.clone(), address.clone()));
    health.look(node);
    tokio::select! {
        () = told(end) => child.stop(plan.drain).await,
        status = child.ended() => match status {
            Ok(status) => tracing::warn!(node = id, "node has died: {status}"),
            Err(e) => tracing::warn!(node = id, "node cannot be waited for: {e}"),
        }
    }
    Some(address)
}

/// Waits until a node's process is to end; so it is when nobody is left to say so.
async fn told(end: &mut watch::Receiver<bool>) {
    let _ = end.wait_for(|end| *end).await;
}

/// How long to wait before the next start.
#[derive(Debug, Default)]
struct Backoff(u32);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const MOST: Duration = Duration::from_secs(5);
    /// Who has lived for so long was well.
    const WELL: Duration = Duration::from_secs(30);

    fn after(&mut self, lived: Duration) -> Duration {
        if lived >= Backoff::WELL {
            self.0 = 0;
        }
        let pause = Backoff::FIRST.saturating_mul(1 << self.0.min(16)).min(Backoff::MOST);
        self.0 = self.0.saturating_add(1);
        pause
    }
}

/// For a socket: its folder, which somebody may have cleared away, and no older socket in it.
/// Whoever made a folder in our place must not be given requests: no node is to listen there.
fn make_room(socket: &Path) -> io::Result<()> {
    let Some(folder) = socket.parent() else { return Ok(()) };
    private::make_folder(folder).map_err(|e| {
        io::Error::other(format!("the folder of the nodes' sockets, {}, cannot be made again: {e}", folder.display()))
    })?;
    if !std::fs::symlink_metadata(folder).is_ok_and(|found| private::is_own_folder(&found)) {
        let folder = folder.display();
        return Err(io::Error::other(format!("{folder} is not a folder that only we may look into: remove it")));
    }
    let _ = std::fs::remove_file(socket);
    Ok(())
}

/// A folder that only we may look into, with a name short enough for sockets.
fn private_folder() -> Result<TempDir, StartError> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let bases = runtime.into_iter().chain([std::env::temp_dir(), PathBuf::from("/tmp")]);
    let mut tried = Vec::new();
    for base in bases.filter(|base| base.is_absolute() && base.as_os_str().len() <= 60) {
        let private = std::fs::Permissions::from_mode(private::FOLDER);
        match tempfile::Builder::new().prefix("ringhold-").permissions(private).tempdir_in(&base) {
            Ok(folder) => return Ok(folder),
            Err(e) => tried.push(format!("{}: {e}", base.display())),
        }
    }
    Err(StartError(format!(
        "no private folder for the nodes' sockets could be made ({}): set TMPDIR to a folder that can be written",
        tried.join("; ")
    )))
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
