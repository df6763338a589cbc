//! Nodes die, stall, come and go under load, and no client notices.
#![allow(clippy::disallowed_methods)]

mod support;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::load::{Load, Report, Running};
use support::objects::{is_whole, objects};
use support::*;

const OBJECTS: usize = 2000;
const REQUESTS: usize = 10_000;

fn load(cluster: &Cluster, urls: &Arc<Vec<String>>) -> Running {
    Load { proxy: cluster.proxy, connections: 64, urls: urls.clone(), check: is_whole }.start()
}

/// Runs a load, and the event in the midst of it; with the moment of the event.
fn disturb(cluster: &Cluster, urls: &Arc<Vec<String>>, event: impl FnOnce()) -> (Report, Instant) {
    let (running, begun) = (load(cluster, urls), Instant::now());
    running.until(REQUESTS / 3, begun + Duration::from_millis(1500));
    let at = Instant::now();
    event();
    running.until(REQUESTS, at + Duration::from_secs(3));
    (running.finish(), at)
}

/// Which node answers for each URL.
fn placement(cluster: &Cluster, urls: &[String]) -> BTreeMap<String, String> {
    let mut client = cluster.connect();
    urls.iter().map(|url| (url.clone(), client.get(url).node())).collect()
}

fn owned_by(cluster: &Cluster, urls: &[String], node: &str) -> String {
    let mut client = cluster.connect();
    urls.iter().find(|url| client.get(url).node() == node).expect("every node owns something").clone()
}

fn until_answered_by(cluster: &Cluster, url: &str, wanted: impl Fn(&str) -> bool) {
    until_true("another node answers", PATIENCE, || wanted(&cluster.get(url).node()));
}

#[test]
fn no_get_fails_when_a_node_is_killed() {
    let _alone = alone();
    let ((_origin, urls), cluster) = (objects(OBJECTS), Cluster::start());
    let (report, _) = disturb(&cluster, &urls, || cluster.signal_node("n2", Signal::KILL));
    report.assert_none_failed(REQUESTS);
}

#[test]
fn no_get_fails_when_a_node_is_stopped_and_throughput_recovers() {
    let _alone = alone();
    let ((_origin, urls), cluster) = (objects(OBJECTS), Cluster::start());
    let (report, at) = disturb(&cluster, &urls, || cluster.signal_node("n2", Signal::STOP));
    report.assert_none_failed(REQUESTS);
    let before = report.rate(at - Duration::from_secs(1), at);
    let after = report.rate(at + Duration::from_millis(1500), at + Duration::from_millis(2500));
    assert!(after > 0.6 * before || !RELEASE, "{before:.0} requests/s before, {after:.0} after 1.5 s");
}

#[test]
fn joining_and_leaving_fail_no_get_and_move_only_the_share_that_must_move() {
    let _alone = alone();
    let ((_origin, urls), cluster) = (objects(OBJECTS), Cluster::start());
    let before = placement(&cluster, &urls);

    let (report, _) = disturb(&cluster, &urls, || {
        let added = cluster.manage("POST", "/v1/nodes", r#"{"id":"n4","spawn":true}"#);
        assert!((200..300).contains(&added.status), "{} {}", added.head.line, added.text());
    });
    report.assert_none_failed(REQUESTS);
    let joined = placement(&cluster, &urls);
    let moved: Vec<_> = urls.iter().filter(|url| before[*url] != joined[*url]).collect();
    assert!(moved.iter().all(|url| joined[*url] == "n4"), "a key moved between nodes that stayed");
    let share = moved.len() as f64 / OBJECTS as f64;
    assert!((0.18..0.33).contains(&share), "{share} of the keys moved to the fourth node");

    let (report, _) = disturb(&cluster, &urls, || {
        let removed = cluster.manage("DELETE", "/v1/nodes/n4?drain=5s", "");
        assert!((200..300).contains(&removed.status), "{} {}", removed.head.line, removed.text());
    });
    report.assert_none_failed(REQUESTS);
    until_true("the process of n4 ends", PATIENCE, || cluster.nodes().iter().all(|n| n.id != "n4"));
    assert_eq!(placement(&cluster, &urls), before, "leaving moves back what joining had moved, and nothing else");
}

#[test]
fn a_node_that_comes_back_takes_its_keys_again() {
    let ((_origin, urls), cluster) = (objects(OBJECTS), Cluster::start());
    let url = owned_by(&cluster, &urls, "n2");
    let old = cluster.node("n2").pid;
    cluster.signal_node("n2", Signal::KILL);
    until_true("n2 runs again", PATIENCE, || cluster.nodes().iter().any(|n| n.id == "n2" && n.pid != old));
    until_answered_by(&cluster, &url, |node| node == "n2");
}

#[test]
fn a_node_that_was_away_does_not_serve_what_was_invalidated_meanwhile() {
    let ((origin, urls), cluster) = (objects(OBJECTS), Cluster::start());
    let url = owned_by(&cluster, &urls, "n2");
    let path = url[url.find("/o/").unwrap()..].to_owned();
    assert!(cluster.get(&url).is_hit());
    cluster.signal_node("n2", Signal::STOP);
    until_answered_by(&cluster, &url, |node| node != "n2");
    origin.on(&path, |x| x.reply(200, "Cache-Control: max-age=3600\r\n", "changed"));
    assert_eq!(cluster.ask("POST", &url, "", b"x").status, 200);
    cluster.signal_node("n2", Signal::CONT);
    until_true("n2 is back", PATIENCE, || {
        let answer = cluster.get(&url);
        assert_eq!(answer.text(), "changed", "{}", answer.cache_status());
        answer.node() == "n2"
    });
}

#[test]
fn a_post_under_way_is_never_sent_twice() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let gate = Gate::default();
    let held = gate.clone();
    origin.on("/post", move |x| match x.method() {
        "POST" => held.wait().and_then(|()| x.reply(200, "", "")),
        _ => x.reply(200, "Cache-Control: no-store\r\n", ""),
    });
    let url = origin.url("/post");
    let owner = cluster.get(&url).node();
    let mut client = cluster.connect();
    client.request("POST", &url, "", b"once").unwrap();
    until_true("it arrives", PATIENCE, || origin.heads("/post").iter().any(|head| head.word(0) == "POST"));
    cluster.signal_node(&owner, Signal::KILL);
    if let Ok(answer) = client.response("POST") {
        assert!((502..=504).contains(&answer.status), "{}", answer.head.line);
        assert!(answer.head.has("proxy-status"));
    }
    gate.open();
    assert_eq!(origin.heads("/post").iter().filter(|head| head.word(0) == "POST").count(), 1);
}

#[test]
fn a_node_that_dies_midway_is_a_broken_transfer_never_a_short_success() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let gate = Gate::default();
    let held = gate.clone();
    origin.on("/half", move |x| {
        x.begin_chunked("Cache-Control: max-age=60\r\n")?;
        x.chunk(vec![b'x'; 256 * 1024])?;
        held.wait()?;
        x.end_chunked("")
    });
    let mut client = cluster.connect();
    client.request("GET", &origin.url("/half"), "", b"").unwrap();
    let (head, _) = client.final_head().unwrap();
    cluster.signal_node(&client::node_of(&head), Signal::KILL);
    assert!(client.body("GET", &head, |_| {}).is_err());
    gate.open();
}

#[test]
fn a_slow_origin_is_not_a_silent_node() {
    let setup = Setup::default().set("timeouts", "probe", "100ms").set("timeouts", "probe_interval", "50ms");
    let (origin, cluster) = (Origin::start(), setup.start());
    origin.on("/slow", |x| {
        std::thread::sleep(Duration::from_secs(1));
        x.reply(200, "Cache-Control: no-store\r\n", "late")
    });
    let answers = [0, 1].map(|_| cluster.get(&origin.url("/slow")));
    assert!(answers.iter().all(|a| a.status == 200 && a.text() == "late"));
    assert_eq!(answers[0].node(), answers[1].node());
    assert_eq!(origin.count("/slow"), 2);
}

#[test]
fn an_origin_that_fails_is_not_blamed_on_its_node() {
    let ((_origin, urls), cluster) = (objects(OBJECTS), Cluster::start());
    let before = placement(&cluster, &urls[..100]);
    // Another origin: a kept connection that turns out to be closed may be tried once more.
    let failing = Origin::start();
    failing.on("/reset/*", |x| x.reset());
    for i in 0..50 {
        assert_eq!(cluster.get(&failing.url(&format!("/reset/{i}"))).status, 502);
    }
    assert_eq!(placement(&cluster, &urls[..100]), before);
    assert_eq!(failing.count("/reset/*"), 50, "an origin's failure is not tried again elsewhere");
}

#[test]
fn without_any_node_it_is_503_and_it_serves_as_soon_as_there_is_one() {
    let (origin, folder) = (Origin::start(), tempfile::TempDir::with_prefix("rh").unwrap());
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "page"));
    let socket = format!("unix:{}", folder.path().join("far.sock").display());
    let cluster = Setup::default().nodes(0).node_at("far", &socket).start();
    let answer = cluster.get(&origin.url("/page"));
    assert_eq!(answer.status, 503);
    assert!(answer.head.has("proxy-status"), "{:?}", answer.head);
    let arguments = ["node", "--id", "far", "--listen", &socket];
    let mut node = cluster::command(folder.path(), &arguments).spawn().unwrap();
    until_true("it serves", PATIENCE, || cluster.get(&origin.url("/page")).status == 200);
    assert_eq!(cluster.get(&origin.url("/page")).node(), "far");
    process::signal(node.id(), Signal::KILL);
    node.wait().unwrap();
    until_true("it is noticed", PATIENCE, || cluster.get(&origin.url("/page")).status == 503);
}

#[test]
fn two_stopped_nodes_of_three_stop_nobody() {
    let ((_origin, urls), cluster) = (objects(OBJECTS), Cluster::start());
    ["n1", "n2"].iter().for_each(|id| cluster.signal_node(id, Signal::STOP));
    let mut client = cluster.connect();
    for url in &urls[..50] {
        assert_eq!(client.get(url).status, 200);
    }
}
