//! Saved state beside the file, and whose it is.

use super::ask;
use crate::support::cluster::{command, run};
use crate::support::*;
use rustix::process::Signal;

fn ready(cluster: &Cluster) -> u16 {
    cluster.manage("GET", "/readyz", "").status
}

fn remove_all(cluster: &Cluster) -> String {
    let mut last = String::new();
    for id in ["n1", "n2", "n3"] {
        let (code, said) = ask(cluster, &["nodes", "remove", id, "--drain", "0s"]);
        assert_eq!(code, Some(0), "{said}");
        last = said;
    }
    last
}

#[test]
fn state_that_overrides_the_file_is_told_at_the_start_and_there_is_a_way_back() {
    let cluster = Cluster::start();
    let last = remove_all(&cluster);
    assert!(last.contains("last node") && last.contains("nodes add"), "{last}");
    assert!(cluster.said().contains("last node"), "{}", cluster.said());
    let cluster = cluster.restart();
    let said = cluster.said();
    assert!(said.contains("members.json") && said.contains("cluster.toml") && said.contains("n1, n2, n3"), "{said}");
    assert!(said.contains("ringhold is not ready: ") && said.contains("nodes reset"), "{said}");
    assert!(!said.contains("ringhold is ready") && ready(&cluster) == 503, "{said}");
    let (code, said) = ask(&cluster, &["nodes", "reset"]);
    assert!(code == Some(0) && said.contains("n3"), "{said}");
    until_true("it can serve", PATIENCE, || ready(&cluster) == 200);
    until_true("it says so", PATIENCE, || cluster.said().contains("ringhold is ready: export"));
    let said = cluster.restart().said();
    assert!(!said.contains("nodes reset"), "nothing is changed any more: {said}");
}

#[test]
fn a_state_that_is_a_file_is_named_and_nothing_is_kept() {
    let (origin, mut cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/", |x| x.reply(200, "", "page"));
    cluster.terminate(Signal::TERM);
    let path = cluster.file().with_file_name("state");
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    cluster = cluster.again();
    assert_eq!(cluster.get(&origin.url("/")).text(), "page");
    let said = cluster.said();
    assert!(
        said.contains(path.to_str().unwrap()) && said.contains("nothing will be kept there; see [state] path"),
        "{said}"
    );
    assert!(!said.contains("asked to validate"), "{said}");
}

#[test]
fn a_reset_undoes_every_kind_of_change() {
    let cluster = Cluster::start();
    for (method, path, body) in [
        ("PATCH", "/v1/nodes/n1", r#"{"weight":3}"#),
        ("PATCH", "/v1/nodes/n2", r#"{"state":"draining"}"#),
        ("DELETE", "/v1/nodes/n3", ""),
        ("POST", "/v1/nodes", r#"{"id":"n9","spawn":true}"#),
    ] {
        assert!(cluster.manage(method, path, body).status < 300);
    }
    until_true("n3 is gone", PATIENCE, || cluster.manage("GET", "/v1/nodes/n3", "").status == 404);
    assert_eq!(cluster.manage("POST", "/v1/nodes", r#"{"id":"n3","spawn":true,"weight":7}"#).status, 201);
    let answer = cluster.manage("POST", "/v1/nodes/reset", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    until_true("it is as the file says", PATIENCE, || {
        let nodes = cluster.manage("GET", "/v1/nodes", "").json()["nodes"].clone();
        let shown = nodes.as_array().unwrap().iter().map(|n| format!("{} {} {}", n["id"], n["weight"], n["state"]));
        shown.collect::<Vec<_>>() == ["\"n1\" 1 \"active\"", "\"n2\" 1 \"active\"", "\"n3\" 1 \"active\""]
    });
}

#[test]
fn a_reset_works_while_nothing_runs_and_on_a_broken_file() {
    for spoiled in [false, true] {
        let mut cluster = Cluster::start();
        remove_all(&cluster);
        cluster.terminate(Signal::TERM);
        if spoiled {
            std::fs::write(cluster.folder().join("state/members.json"), "{").unwrap();
        }
        let words =
            ["nodes", "reset", "--config", cluster.folder().join("cluster.toml").to_str().unwrap()].map(str::to_owned);
        let folder = tempfile::tempdir().unwrap();
        let (code, said) = run(folder.path(), &words.each_ref().map(String::as_str));
        assert_eq!(code, Some(0), "{said}");
        let cluster = cluster.restart();
        assert_eq!((ready(&cluster), cluster.nodes().len()), (200, 3), "{}", cluster.said());
    }
}

#[test]
fn a_second_instance_on_the_same_state_is_refused_and_told_who_has_it() {
    let mut cluster = Cluster::start();
    let (code, said) = run_beside(&cluster);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&cluster.pid().to_string()) && said.contains("[state] path"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(cluster.manage("GET", "/readyz", "").status, 200);
    // A lock whose holder was killed holds up nobody.
    cluster.terminate(Signal::KILL);
    assert_eq!(ready(&cluster.restart()), 200);
}

/// Starts a second instance from the same file, which must end.
fn run_beside(cluster: &Cluster) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = cluster.file().display().to_string();
    let mut second = command(folder.path(), &["serve", "--config", &file]).spawn().unwrap();
    let ended = (0..2000).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        second.try_wait().unwrap()
    });
    process::signal(second.id(), Signal::TERM);
    second.wait().unwrap();
    let said = std::fs::read_to_string(folder.path().join("stderr")).unwrap();
    (ended.and_then(|status| status.code()), said)
}
