//! What stands around it: logs, folders, descriptors, program files, clocks.

use crate::support::cluster::program;
use crate::support::netns::Elsewhere;
use crate::support::unread::{READERS, stdout_closed_when_ready, stdout_until_ready};
use crate::support::*;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn origin() -> Origin {
    let origin = Origin::start();
    origin.on("/*", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "page"));
    origin
}

#[test]
fn a_node_that_there_is_no_way_to_is_named_and_not_taken_for_a_lack_of_ports() {
    let Some(elsewhere) = Elsewhere::make("a node that there is no way to") else { return };
    // The system says of both that no address is there to connect from.
    let script = "ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && exec \"$0\" \"$@\"";
    let prefix: Vec<String> = elsewhere.prefix().into_iter().chain(["sh", "-c", script]).map(str::to_owned).collect();
    let setup = Setup::default().nodes(1).set("proxy", "listen", vec![format!("{}:0", elsewhere.there)]);
    let setup = setup.set("cluster", "secret", "the-secret-of-this-cluster").set("timeouts", "node_start", "1s");
    let cluster = setup.node_at("far", "[2001:db8::1]:5001").start_by(&prefix);
    let is_named = |line: &str| line.contains("node far") && line.contains("has not answered");
    until_true("it is named", PATIENCE, || cluster.said().lines().any(is_named));
    let said = cluster.said();
    let line = said.lines().find(|line| is_named(line)).unwrap();
    assert!(line.contains("unreachable"), "{line}");
}

fn pids(cluster: &Cluster) -> BTreeSet<u32> {
    cluster.nodes().into_iter().map(|node| node.pid).collect()
}

/// Waits until three nodes run that are none of these, and all of them answer.
fn until_back(what: &str, cluster: &Cluster, old: &BTreeSet<u32>, origin: &Origin) {
    until_true(&format!("{what}: three new nodes run"), PATIENCE, || {
        let now = pids(cluster);
        now.len() == 3 && now.is_disjoint(old)
    });
    until_true(&format!("{what}: all nodes answer"), PATIENCE, || {
        let answers = (0..24).map(|n| cluster.get(&origin.url(&format!("/{n}"))));
        answers.filter(|answer| answer.status == 200).map(|answer| answer.node()).collect::<BTreeSet<_>>().len() == 3
    });
}

fn kill_all(cluster: &Cluster, signal: Signal) -> BTreeSet<u32> {
    let old = pids(cluster);
    old.iter().for_each(|pid| process::signal(*pid, signal));
    old
}

#[test]
fn nodes_that_die_come_back_when_nobody_reads_what_is_logged() {
    let origin = origin();
    for reader in READERS {
        let mut kept = None;
        let cluster = Setup::default().start_as(None, |command| kept = reader.stderr(command));
        for _ in 0..2 {
            let old = kill_all(&cluster, Signal::KILL);
            until_back(&format!("{reader:?}"), &cluster, &old, &origin);
        }
        let (_, hit) = (cluster.get(&origin.url("/0")), cluster.get(&origin.url("/0")));
        assert!(hit.is_hit(), "{reader:?}: {}", hit.head.line);
    }
}

#[test]
fn an_access_log_that_nobody_reads_costs_no_request_and_does_not_keep_it_from_ending() {
    let origin = origin();
    let setup = Setup::default().set("log", "access", "text");
    let mut cluster = setup.start_as(None, stdout_until_ready);
    let mut client = cluster.connect();
    let long = "x".repeat(4000);
    for n in 0..100 {
        assert_eq!(client.get(&origin.url(&format!("/{long}{n}"))).status, 200);
    }
    drop(client);
    let begun = std::time::Instant::now();
    assert_eq!(cluster.terminate(Signal::TERM).code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?} to end", begun.elapsed());
}

#[test]
fn lines_of_the_access_log_that_cannot_be_written_are_counted_and_warned_of_once() {
    let origin = origin();
    let cluster = Setup::default().set("log", "access", "text").start_as(None, stdout_closed_when_ready);
    let mut client = cluster.connect();
    for n in 0..100 {
        assert_eq!(client.get(&origin.url(&format!("/{n}"))).status, 200);
        std::thread::sleep(Duration::from_millis(3));
    }
    let of_log = |line: &&str| line.starts_with("ringhold_front_lost_total{what=\"log_line\"}");
    until_true("all of them are counted", PATIENCE, || {
        let metrics = cluster.manage("GET", "/metrics", "").text();
        let lost: f64 = metrics.lines().find(of_log).unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        // The first may have been written before the reader had left.
        lost >= 99.0
    });
    let warnings = cluster.said().matches("lines of the access log were lost").count();
    assert_eq!(warnings, 1, "{}", cluster.said());
}

fn socket_folder(cluster: &Cluster) -> PathBuf {
    let nodes = cluster.nodes();
    let listen = process::value_of(&nodes[0].arguments, "--listen").expect("a node is told where to listen");
    let socket = listen.strip_prefix("unix:").expect("a Unix socket").to_owned();
    Path::new(&socket).parent().expect("it is in a folder").to_owned()
}

#[test]
fn nodes_start_again_when_the_folder_of_their_sockets_is_gone() {
    let origin = origin();
    let cluster = Cluster::start();
    let folder = socket_folder(&cluster);

    // The last one that ends takes the folder with it.
    let old = kill_all(&cluster, Signal::TERM);
    until_back("all were told to end", &cluster, &old, &origin);

    fs::remove_dir_all(&folder).expect("it can be removed");
    let old = kill_all(&cluster, Signal::KILL);
    until_back("the folder was removed", &cluster, &old, &origin);

    for id in ["n1", "n2", "n3"] {
        assert_eq!(cluster.manage("DELETE", &format!("/v1/nodes/{id}"), "").status / 100, 2, "{id}");
    }
    until_true("none is left", PATIENCE, || cluster.nodes().is_empty());
    let added = cluster.manage("POST", "/v1/nodes", r#"{"id":"n4","spawn":true}"#);
    assert_eq!(added.status / 100, 2, "{}", added.text());
    until_true("the new one answers", PATIENCE, || cluster.get(&origin.url("/new")).status == 200);
}

#[test]
fn a_folder_that_somebody_else_put_in_the_place_of_the_sockets_gets_no_request() {
    let origin = origin();
    let cluster = Cluster::start();
    let folder = socket_folder(&cluster);
    fs::remove_dir_all(&folder).expect("it can be removed");
    fs::create_dir(&folder).expect("it can be made");
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("it can be opened");
    kill_all(&cluster, Signal::KILL);
    // Told once more after a pause, in which a node that had been started all the same has had its time to listen.
    let told = || cluster.said().matches("only we may look into").count();
    until_true("it is told of each node, and again", PATIENCE, || told() >= 6);
    assert!(fs::read_dir(&folder).expect("it is there").next().is_none(), "no node listens there");
    fs::remove_dir(&folder).expect("it is empty");
    until_true("nodes answer again", PATIENCE, || cluster.get(&origin.url("/0")).status == 200);
}

#[test]
fn nodes_are_of_the_fronts_own_program_after_its_file_was_replaced_or_removed() {
    let origin = origin();
    let folder = tempfile::TempDir::with_prefix("rh").expect("a temporary folder");
    let file = folder.path().join("ringhold");
    fs::copy(program(), &file).expect("the program can be copied");
    let cluster = Setup::default().start_as(Some(&file), |_| ());

    // As package managers do: the new one is written beside it and renamed.
    let other = folder.path().join("new");
    fs::write(&other, "#!/bin/sh\nexit 9\n").expect("a file can be written");
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it can be run");
    fs::rename(&other, &file).expect("it can be replaced");
    let old = kill_all(&cluster, Signal::KILL);
    until_back("the file was replaced", &cluster, &old, &origin);

    fs::remove_file(&file).expect("it can be removed");
    let old = kill_all(&cluster, Signal::KILL);
    until_back("the file was removed", &cluster, &old, &origin);
}
