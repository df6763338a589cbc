//! What the admin API changed, kept in `[state] path`/members.json. The configuration file is never written.

use super::spec::{MAX_ADDED, Spec};
use crate::config::{ClusterConfig, MAX_WEIGHT, NodeConfig, NodePlace};
use crate::net::drain::StartError;
use crate::private;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// In the folder of the state: held by the front that has it, and its process id is in it.
const LOCK: &str = "lock";

/// The difference between the file's nodes and the members, and the epoch of the last ring. `N` is how a node is
/// written: checked, or as it stands in the state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delta<N = NodeConfig> {
    pub epoch: u64,
    /// Of the ring with that epoch, in hex.
    #[serde(default)]
    pub digest: String,
    #[serde(default = "Vec::new")]
    added: Vec<N>,
    /// Ids of the file's nodes that were removed.
    #[serde(default)]
    removed: BTreeSet<String>,
    /// New weights of the file's nodes.
    #[serde(default)]
    weights: BTreeMap<String, u32>,
    #[serde(default)]
    pub draining: BTreeSet<String>,
}

impl Default for Delta {
    fn default() -> Delta {
        let (added, removed, weights, draining) = Default::default();
        Delta { epoch: 0, digest: String::new(), added, removed, weights, draining }
    }
}

impl Delta {
    /// The members: the file's nodes with the changes.
    pub fn apply(&self, file: &[NodeConfig]) -> Vec<NodeConfig> {
        let kept = file.iter().filter(|n| !self.removed.contains(&n.id)).cloned().map(|mut node| {
            node.weight = self.weights.get(&node.id).copied().unwrap_or(node.weight);
            node
        });
        kept.chain(self.added.iter().cloned()).collect()
    }

    /// Without what the file has made meaningless: changes of nodes that it no longer names, and added nodes that
    /// it names now (the file is the newer word, unless its node was removed in favour of the added one).
    pub fn without_leftovers(mut self, file: &[NodeConfig]) -> Delta {
        let named = |id: &str| file.iter().any(|n| n.id == id);
        self.removed.retain(|id| named(id));
        self.weights.retain(|id, _| named(id));
        let removed = &self.removed;
        self.added.retain(|n| !named(&n.id) || removed.contains(&n.id));
        let added = &self.added;
        self.draining.retain(|id| named(id) || added.iter().any(|n| n.id == *id));
        self
    }

    /// What it makes of the file's nodes, for people; `None`: nothing.
    pub fn changes(&self) -> Option<String> {
        let list = |ids: Vec<&str>| ids.join(", ");
        let ids = |what: &str, ids: Vec<&str>| (!ids.is_empty()).then(|| format!("{what} {}", list(ids)));
        let weights = self.weights.iter().map(|(id, weight)| format!("weight of {id}: {weight}"));
        let said: Vec<String> = None
            .into_iter()
            .chain(ids("removed", self.removed.iter().map(String::as_str).collect()))
            .chain(ids("added", self.added.iter().map(|n| n.id.as_str()).collect()))
            .chain(ids("draining", self.draining.iter().map(String::as_str).collect()))
            .chain(weights)
            .collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    pub fn add(&mut self, node: &NodeConfig, file: &[NodeConfig]) {
        // The file's own node comes back as it was.
        if file.contains(node) && self.removed.remove(&node.id) {
            return;
        }
        if file.iter().any(|n| n.id == node.id) {
            self.removed.insert(node.id.clone());
        }
        self.added.push(node.clone());
    }

    pub fn remove(&mut self, id: &str, file: &[NodeConfig]) {
        self.added.retain(|n| n.id != id);
        self.weights.remove(id);
        self.draining.remove(id);
        if file.iter().any(|n| n.id == id) {
            self.removed.insert(id.to_owned());
        }
    }

    pub fn set_weight(&mut self, id: &str, weight: u32, file: &[NodeConfig]) {
        if let Some(node) = self.added.iter_mut().find(|n| n.id == id) {
            node.weight = weight;
        } else if file.iter().any(|n| n.id == id && n.weight == weight) {
            self.weights.remove(id);
        } else {
            self.weights.insert(id.to_owned(), weight);
        }
    }
}

impl<N> Delta<N> {
    fn with_added<M>(&self, added: Vec<M>) -> Delta<M> {
        let (removed, weights, draining) = (self.removed.clone(), self.weights.clone(), self.draining.clone());
        Delta { epoch: self.epoch, digest: self.digest.clone(), added, removed, weights, draining }
    }
}

impl Delta<Spec> {
    fn checked(&self, cluster: &ClusterConfig) -> Result<Delta, String> {
        if let Some((id, weight)) = self.weights.iter().find(|(_, w)| !(1..=MAX_WEIGHT).contains(*w)) {
            return Err(format!("node `{id}`: {weight} is not a weight"));
        }
        let mut added: Vec<NodeConfig> = Vec::new();
        for spec in &self.added {
            let node = spec.clone().into_node(cluster, String::new)?;
            if added.iter().any(|n| n.id == node.id) {
                return Err(format!("node `{}` is added twice", node.id));
            }
            added.push(node);
        }
        if added.iter().filter(|node| node.place == NodePlace::Spawn).count() > MAX_ADDED {
            return Err(format!("more than {MAX_ADDED} nodes are added to be run here"));
        }
        Ok(self.with_added(added))
    }
}

/// Replaces a file whole, in a folder that is made where there is none.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    // Of a name alone it is empty.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut new = tempfile::Builder::new().prefix(".new").tempfile_in(folder)?;
    new.write_all(text)?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    File::open(folder)?.sync_all()
}

/// The folder of the state is this process's own for as long as it has this; the kernel gives it back with the process,
/// however that ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Somebody else has it.
#[derive(Debug)]
pub struct LockHeld {
    pub pid: Option<u32>,
}

impl Lock {
    /// Makes the folder where there is none.
    pub fn take(folder: &Path) -> io::Result<Result<Lock, LockHeld>> {
        fs::create_dir_all(folder)?;
        let path = folder.join(LOCK);
        let writable = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        // Another user may have made it, for example by a command.
        Lock::on(writable.or_else(|_| File::open(&path))?)
    }

    fn on(mut file: File) -> io::Result<Result<Lock, LockHeld>> {
        if private::lock(&file)? {
            // For whoever finds it held. It is held all the same where that cannot be written.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            return Ok(Ok(Lock { _file: file }));
        }
        let mut text = String::new();
        let _ = file.read_to_string(&mut text);
        Ok(Err(LockHeld { pid: text.trim().parse().ok() }))
    }
}

impl LockHeld {
    /// For who was to have it; `source` is the configuration that names the folder.
    pub fn refusal(&self, folder: &Path, source: &str) -> StartError {
        let who = self.pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
        StartError(format!(
            "{}: {who} runs with this state already: end it, or give this one a folder of its own by `[state] path` ({source})",
            folder.display()
        ))
    }
}

/// Takes away the changes in a folder that no front has: the file that was removed. `None`: there was none, or a front has
/// the folder.
pub fn forget_changes(folder: &Path) -> io::Result<Option<PathBuf>> {
    // Not made here: it would belong to whoever gives the command.
    let lock = File::open(folder.join(LOCK)).map(Some).or_else(is_absent)?;
    let Ok(_lock) = lock.map(Lock::on).transpose()?.transpose() else { return Ok(None) };
    let path = StateFile::in_folder(folder).path;
    fs::remove_file(&path).map(|()| Some(path)).or_else(is_absent)
}

fn is_absent<T>(e: io::Error) -> io::Result<Option<T>> {
    if e.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(e) }
}

/// Where the changes are kept.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub fn in_folder(folder: &Path) -> StateFile {
        StateFile { path: folder.join("members.json") }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was saved; nothing when there is no file yet. A broken file stops the start: to go on without it would
    /// bring back nodes that were removed.
    pub fn load(&self, cluster: &ClusterConfig) -> Result<Delta, StartError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            // Nothing was kept where there is no folder: what the path says is a file.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Delta::default()),
            Err(e) => return Err(self.broken(&e.to_string(), "make it readable")),
        };
        let cure = "correct it, or move it away to start from the configuration file alone";
        let delta: Delta<Spec> = serde_json::from_str(&text).map_err(|e| self.broken(&e.to_string(), cure))?;
        delta.checked(cluster).map_err(|e| self.broken(&e, cure))
    }

    /// Replaces the file whole: whoever reads it, also after a power cut, sees the old or the new state.
    pub fn save(&self, delta: &Delta) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(&delta.with_added(delta.added.iter().map(Spec::from).collect()))?;
        text.push(b'\n');
        replace(&self.path, &text)
    }

    fn broken(&self, what: &str, cure: &str) -> StartError {
        StartError(format!("{}: {what}: {cure}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodePlace;

    fn node(id: &str) -> NodeConfig {
        NodeConfig { id: id.into(), place: NodePlace::Spawn, weight: 1 }
    }

    #[test]
    fn what_is_saved_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFile::in_folder(&folder.path().join("deep/er"));
        assert_eq!(state.load(&ClusterConfig::default()).unwrap(), Delta::default());
        let mut delta = Delta { epoch: 7, digest: "ab".into(), ..Delta::default() };
        delta.add(&node("n4"), &[node("n1")]);
        delta.remove("n1", &[node("n1")]);
        state.save(&delta).unwrap();
        assert_eq!(state.load(&ClusterConfig::default()).unwrap(), delta);
        let left: Vec<_> = fs::read_dir(state.path().parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file stays behind");
    }

    #[test]
    fn a_folder_has_one_owner_and_its_changes_go_only_when_it_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFile::in_folder(folder.path());
        state.save(&Delta::default()).unwrap();
        let lock = Lock::take(folder.path()).unwrap().unwrap();
        let held = Lock::take(folder.path()).unwrap().unwrap_err();
        assert_eq!(held.pid, Some(std::process::id()));
        assert_eq!(forget_changes(folder.path()).unwrap(), None);
        drop(lock);
        assert_eq!(forget_changes(folder.path()).unwrap().as_deref(), Some(state.path()));
        assert_eq!(forget_changes(folder.path()).unwrap(), None);
        assert_eq!(forget_changes(&folder.path().join("none")).unwrap(), None);
    }

    #[test]
    fn what_overrides_the_file_is_told() {
        let file = [node("n1"), node("n2"), node("n3")];
        let mut delta = Delta { epoch: 7, ..Delta::default() };
        assert_eq!(delta.changes(), None);
        delta.remove("n1", &file);
        delta.remove("n2", &file);
        delta.set_weight("n3", 4, &file);
        delta.add(&node("n9"), &file);
        delta.draining.insert("n3".into());
        let told = "removed n1, n2; added n9; draining n3; weight of n3: 4";
        assert_eq!(delta.changes().as_deref(), Some(told));
    }

    #[test]
    fn a_broken_file_names_itself_and_the_cure_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFile::in_folder(folder.path());
        let spoiled = [
            "",
            "{\"epoch\":",
            "{\"epoch\":1,\"addded\":[]}",
            r#"{"epoch":1,"added":[{"id":"n1"}]}"#,
            r#"{"epoch":1,"weights":{"n1":0}}"#,
            r#"{"epoch":1,"added":[{"spawn":true}]}"#,
        ];
        for text in spoiled {
            fs::write(state.path(), text).unwrap();
            let error = state.load(&ClusterConfig::default()).unwrap_err().to_string();
            assert!(error.starts_with(&state.path().display().to_string()), "{error}");
            assert!(error.ends_with("move it away to start from the configuration file alone"), "{error}");
            assert!(!error.contains('\n'), "one line: {error}");
            assert_eq!(fs::read_to_string(state.path()).unwrap(), text);
        }
    }

    #[test]
    fn the_file_is_the_newer_word_on_a_node_that_was_added_before() {
        let mut delta = Delta::default();
        delta.add(&NodeConfig { weight: 5, ..node("n4") }, &[]);
        let file = [node("n4")];
        assert_eq!(delta.without_leftovers(&file).apply(&file), file);
    }

    #[test]
    fn a_node_added_in_place_of_a_removed_one_stays_in_its_place() {
        let file = [node("n1")];
        let other = NodeConfig { weight: 5, ..node("n1") };
        let mut delta = Delta::default();
        delta.remove("n1", &file);
        delta.add(&other, &file);
        assert_eq!(delta.without_leftovers(&file).apply(&file), [other]);
    }

    #[test]
    fn a_removed_node_that_the_file_forgets_and_names_again_is_there_again() {
        let mut delta = Delta::default();
        delta.remove("n1", &[node("n1")]);
        assert!(delta.apply(&[node("n1")]).is_empty());
        let delta = delta.without_leftovers(&[]);
        assert_eq!(delta.apply(&[node("n1")]), [node("n1")]);
    }
}
