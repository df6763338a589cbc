//! What a person meets: configuration, saved state, signals, and what the program says.

#[path = "people/answers.rs"]
mod answers;
#[path = "people/checked.rs"]
mod checked;
#[path = "people/commands.rs"]
mod commands;
#[path = "people/found.rs"]
mod found;
#[path = "people/metrics.rs"]
mod metrics;
#[path = "people/signals.rs"]
mod signals;
#[path = "people/state.rs"]
mod state;

use crate::support::Cluster;
use crate::support::cluster::{command, run};
use std::path::Path;

/// Runs a client command against a cluster: its exit code and what it said.
fn ask(cluster: &Cluster, words: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &[words, &["--admin", &cluster.admin.to_string()]].concat())
}

/// Runs `ringhold check` on a file of this text.
fn check(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cluster.toml"), text).unwrap();
    run(folder.path(), &["check", "--config", "cluster.toml"])
}

/// Runs the program with some of its environment set.
fn run_with(folder: &Path, words: &[&str], variables: &[(&str, &Path)]) -> String {
    let mut command = command(folder, words);
    let status = command.envs(variables.iter().copied()).status().unwrap();
    let read = |name| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    format!("{}{}{status}", read("stdout"), read("stderr"))
}
