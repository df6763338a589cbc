//! The HTTP working group's cache-tests, through a running ringhold, held against `tests/cache-tests/scoreboard.txt`.
//! `make test` installs them (`npm ci --prefix tests/cache-tests`); `RINGHOLD_RECORD_SCOREBOARD=1` records what is new.
#![allow(clippy::disallowed_methods)]

#[path = "cache-tests/scoreboard.rs"]
mod scoreboard;
mod support;

use scoreboard::{Line, Scoreboard};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Setup, tools};

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

/// Runs a suite through a cluster of three nodes.
fn run(setup: Setup, suite: &str) -> Vec<Line> {
    let cluster = setup.nodes(3).start();
    let mut command = tools::command("node");
    command.arg("run.mjs").arg(cluster.proxy.to_string()).args(["--suite", suite]).current_dir(folder());
    let output = tools::run(&mut command, LIMIT);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(Line::of_json).collect()
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

#[test]
fn targeted_fields_are_obeyed_where_configured() {
    // Surrogate-Control is older than RFC 9213; the suite's tests of it fit all the same.
    let fields = vec!["CDN-Cache-Control", "Surrogate-Control"];
    hold("targeted fields", Setup::default().set("cache", "targeted", fields), "targeted");
}
