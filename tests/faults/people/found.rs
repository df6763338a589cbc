//! Which configuration counts, and which nodes it has.

use super::{check, run_with};
use crate::support::cluster::run;
use crate::support::*;
use rustix::process::Signal;
use std::path::Path;

#[test]
fn a_file_that_does_not_speak_of_nodes_has_the_built_in_three() {
    let origin = Origin::start();
    origin.on("/", |x| x.reply(200, "", "page"));
    let cluster = Setup::default().silent_on_nodes().start();
    let ids: Vec<String> = cluster.nodes().into_iter().map(|n| n.id).collect();
    assert_eq!(ids, ["n1", "n2", "n3"]);
    assert_eq!(cluster.get(&origin.url("/")).status, 200);
    for text in ["", "[cache]\nmemory = '8MiB'\n"] {
        let (code, said) = check(text);
        assert!(code == Some(0) && said.contains("3 nodes (3 spawned)"), "{said}");
    }
}

#[test]
fn an_empty_list_of_nodes_is_none_and_the_role_front_has_none() {
    let (code, said) = check("nodes = []\n");
    assert!(code == Some(0) && said.contains("0 nodes"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    Setup::default().silent_on_nodes().write_into(folder.path());
    let mut front = cluster::command(folder.path(), &["front", "--config", "cluster.toml"]).spawn().unwrap();
    let said = until("it says what it is", PATIENCE, || {
        let said = std::fs::read_to_string(folder.path().join("stdout")).unwrap();
        said.contains("ringhold is ").then_some(said)
    });
    let nodes = process::nodes_of(front.id());
    process::signal(front.id(), Signal::TERM);
    front.wait().unwrap();
    assert!(nodes.is_empty() && said.starts_with("ringhold is not ready: "), "{said}");
}

#[test]
fn with_zookeeper_the_built_in_three_are_named_after_this_machine() {
    if !zookeeper::wanted("ZooKeeper: the built-in nodes") {
        return;
    }
    let zookeeper = zookeeper::Zookeeper::alone();
    let setup = Setup::default().silent_on_nodes().set("zookeeper", "connect", zookeeper.connect());
    let cluster = setup.set("zookeeper", "advertise", "127.0.0.9").start();
    until_true("all are up", PATIENCE, || cluster.manage("GET", "/v1/cluster", "").json()["up"] == 3);
    let ids: Vec<String> = cluster.nodes().into_iter().map(|n| n.id).collect();
    assert_eq!(ids, ["127.0.0.9-n1", "127.0.0.9-n2", "127.0.0.9-n3"]);
}

/// The file of a stranger in the folder where one stands.
fn strangers_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/cluster.toml"), "[admin]\nlisten = '127.0.0.1:1'\n").unwrap();
    folder
}

#[test]
fn a_file_of_the_folder_where_one_stands_counts_in_the_repository_alone() {
    let folder = strangers_folder();
    let (_, said) = run(folder.path(), &["check"]);
    assert!(!said.contains("127.0.0.1:1"), "{said}");
    let (_, said) = run(folder.path(), &["nodes", "list"]);
    assert!(!said.contains("127.0.0.1:1 "), "no command goes there: {said}");
    let elsewhere = [("CARGO_MANIFEST_DIR", Path::new("/some/other/crate"))];
    let said = run_with(folder.path(), &["check"], &elsewhere);
    assert!(!said.contains("127.0.0.1:1"), "{said}");
    let under_cargo = [("CARGO_MANIFEST_DIR", Path::new(env!("CARGO_MANIFEST_DIR")))];
    let said = run_with(folder.path(), &["check"], &under_cargo);
    assert!(said.starts_with("config/cluster.toml: ok") && said.contains("admin on 127.0.0.1:1"), "{said}");
}

#[test]
fn the_file_that_the_environment_names_counts_and_one_that_is_named_counts_more() {
    let folder = strangers_folder();
    let write =
        |name, port| std::fs::write(folder.path().join(name), format!("[admin]\nlisten = '127.0.0.1:{port}'\n"));
    write("of-environment.toml", 7).unwrap();
    write("named.toml", 8).unwrap();
    let variable = [("RINGHOLD_CONFIG", Path::new("of-environment.toml"))];
    assert!(run_with(folder.path(), &["check"], &variable).starts_with("of-environment.toml: ok"));
    assert!(run_with(folder.path(), &["check", "--config", "named.toml"], &variable).starts_with("named.toml: ok"));
    let said = run_with(folder.path(), &["check"], &[("RINGHOLD_CONFIG", Path::new("/nowhere.toml"))]);
    assert!(said.starts_with("/nowhere.toml: cannot be read") && said.contains("RINGHOLD_CONFIG"), "{said}");
}
