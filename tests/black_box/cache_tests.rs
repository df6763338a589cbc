//! The HTTP working group's cache-tests, through a running ringhold, held against `tests/cache-tests/SUITE.scoreboard.txt`: in clear, and
//! inside the TLS of tunnels that it answers in the origin's name.
//! `make test` installs them (`npm ci --prefix tests/cache-tests`); `RINGHOLD_RECORD_SCOREBOARD=1` records what is new.

#[path = "../cache-tests/scoreboard.rs"]
mod scoreboard;
use crate::support::{Authority, PATIENCE, Setup, tools, until_true};
use scoreboard::{Line, Scoreboard};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// It pauses for 3 s, several times in some tests, and all its tests run at once.
const LIMIT: Duration = Duration::from_secs(180);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cache-tests")
}

/// Under `make test` the suite is no tool that may be missing: it is the yardstick of the cache.
fn wanted(test: &str) -> bool {
    if !tools::demanded() {
        tools::left_out(test, "`make test` runs it (RINGHOLD_TOOLS=1)");
        return false;
    }
    assert!(tools::is_there("node"), "{test}: node is not on this machine");
    let there = folder().join("node_modules/http-cache-tests").is_dir();
    assert!(there, "{test}: not installed; `npm ci --prefix tests/cache-tests` installs it");
    true
}

/// Runs a suite through a cluster of three nodes, or of one with a disk.
fn run(setup: Setup, suite: &str) -> Vec<Line> {
    // An invalidation that other nodes are told of waits for a moment for their disks, which are as busy as this machine is.
    let (nodes, has_disk) = if setup.has_disk() { (1, true) } else { (3, false) };
    let cluster = setup.nodes(nodes).start();
    until_true("the disk is on", PATIENCE, || !has_disk || cluster.metric("ringhold_node_disk_state") == 2);
    let mut command = tools::command("node");
    command.arg("run.mjs").arg(cluster.proxy.to_string()).args(["--suite", suite]).current_dir(folder());
    let output = tools::run(&mut command, LIMIT);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(Line::of_json).collect()
}

/// The same with an origin that has a certificate, in tunnels that are answered in its name.
fn run_inside(setup: Setup, suite: &str) -> Vec<Line> {
    let (authority, files) = (Authority::new(), TempDir::with_prefix("rh").unwrap());
    authority.issue(&["localhost"]).write(files.path(), "origin");
    let roots = authority.write(&files.path().join("roots.pem")).display().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("localhost:{}", listener.local_addr().unwrap().port());
    let setup = setup.set("https", "hosts", vec![host]).set("https", "roots", vec![roots]);
    // What takes long here are handshakes with the suite's single thread.
    let setup = setup.unhurried().set("timeouts", "connect", "20s");
    let cluster = setup.nodes(3).start();
    std::fs::copy(cluster.folder().join("state/ca/ca.pem"), files.path().join("ca.pem")).unwrap();
    let mut command = tools::command("node");
    command.arg("run.mjs").arg(cluster.proxy.to_string()).args(["--suite", suite, "--tls"]).arg(files.path());
    let output = tools::run_with(command.current_dir(folder()), OwnedFd::from(listener).into(), LIMIT);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(Line::of_json).collect()
}

/// Every line of the scoreboard, but for those that it says are others there.
fn hold_inside(name: &str, setup: Setup, suite: &str) {
    if !wanted(name) {
        return;
    }
    let found = run_inside(setup, suite);
    eprintln!("{}", scoreboard::table(name, &found));
    let apart = Scoreboard::read(&folder().join(format!("{suite}.scoreboard.txt"))).inside().compare(&found);
    assert!(apart.is_empty(), "{name}: other than the scoreboard says:\n{}", apart.join("\n"));
}

fn hold(name: &str, setup: Setup, suite: &str) {
    if !wanted(name) {
        return;
    }
    let found = run(setup, suite);
    eprintln!("{}", scoreboard::table(name, &found));
    let mut board = Scoreboard::read(&folder().join(format!("{suite}.scoreboard.txt")));
    let worse = board.compare(&found);
    assert!(worse.is_empty(), "{name}: worse than the scoreboard says:\n{}", worse.join("\n"));
    let news = board.news(&found);
    if std::env::var_os("RINGHOLD_RECORD_SCOREBOARD").is_some_and(|v| v == "1") {
        board.grow(&found);
    } else if !news.is_empty() {
        eprintln!("{name}: {} to be recorded with RINGHOLD_RECORD_SCOREBOARD=1:\n{}", news.len(), news.join("\n"));
    }
}

#[test]
fn the_suite_passes_with_the_hot_copy() {
    hold("the suite, with the hot copy", Setup::default().set("hot", "memory", "128MiB"), "default");
}

#[test]
fn the_suite_passes_without_the_hot_copy() {
    hold("the suite, without the hot copy", Setup::default(), "default");
}

/// Memory has room for nothing: what is stored is on disk, or nowhere.
#[test]
fn the_suite_passes_where_every_hit_comes_from_disk() {
    let setup = Setup::default().unhurried().set("cache", "memory", "64").set("access", "open", vec!["127.0.0.1/32"]);
    let setup = setup.set("disk", "size", "64MiB").set("disk", "path", "disk").set("disk", "admit", "always");
    hold("the suite, from disk", setup.set("timeouts", "disk", "10s"), "default");
}

#[test]
fn targeted_fields_are_obeyed_where_configured() {
    // Surrogate-Control is older than RFC 9213; the suite's tests of it fit all the same.
    hold("targeted fields", targeted(), "targeted");
}

fn targeted() -> Setup {
    Setup::default().set("cache", "targeted", vec!["CDN-Cache-Control", "Surrogate-Control"])
}

#[test]
fn the_suite_passes_inside_tls_with_the_hot_copy() {
    hold_inside("inside TLS, with the hot copy", Setup::default().set("hot", "memory", "128MiB"), "default");
}

#[test]
fn the_suite_passes_inside_tls_without_the_hot_copy() {
    hold_inside("inside TLS, without the hot copy", Setup::default(), "default");
}

#[test]
fn targeted_fields_are_obeyed_inside_tls_where_configured() {
    hold_inside("targeted fields inside TLS", targeted(), "targeted");
}
