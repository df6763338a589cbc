//! One URL under a crowd: more nodes than its owner serve it, and the origin sees one request.
#![allow(clippy::disallowed_methods)]

mod support;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::load::Load;
use support::*;

/// Who answered, and how often.
type Answered = Mutex<BTreeMap<String, usize>>;

/// Four nodes, and a crowd that asks for one page until `enough` of who has answered; how often the origin was asked.
fn crowd(
    setup: Setup,
    answered: &'static Answered,
    check: support::load::Check,
    enough: fn(&BTreeMap<String, usize>) -> bool,
) -> (Cluster, usize) {
    let _alone = alone();
    // As it is by default, but that a debug build takes longer.
    let setup = if RELEASE { setup } else { setup.set("timeouts", "peer", "2s") }.nodes(4);
    let (origin, cluster) = (Origin::start(), setup.start());
    origin.on("/page", |x| {
        std::thread::sleep(Duration::from_millis(400));
        x.reply(200, "Cache-Control: max-age=3600\r\n", "the page")
    });
    let urls = Arc::new(vec![origin.url("/page")]);
    // The owner has begun to fetch it; nobody has it yet.
    let mut first = cluster.connect();
    first.request("GET", &urls[0], "", b"").expect("the proxy listens");
    origin.until_asked("/page", 1);
    let running = Load { proxy: cluster.proxy, connections: 64, urls, check }.start();
    running.until(2000, Instant::now() + Duration::from_secs(1));
    until_true("enough nodes have answered", PATIENCE, || enough(&answered.lock().unwrap()));
    running.finish().assert_none_failed(2000);
    (cluster, origin.count("/page"))
}

fn note(answered: &Answered, answer: &Response) -> Result<(), String> {
    *answered.lock().unwrap().entry(answer.node()).or_default() += 1;
    if answer.text() == "the page" { Ok(()) } else { Err(format!("a wrong body: {}", answer.text())) }
}

fn detours(cluster: &Cluster) -> f64 {
    let text = cluster.manage("GET", "/metrics", "").text();
    let line = text.lines().find_map(|line| line.strip_prefix("ringhold_front_detours_total "));
    line.expect("detours are counted").parse().unwrap()
}

/// What the nodes asked each other, and what the front said.
fn questions(cluster: &Cluster) -> String {
    let text = cluster.manage("GET", "/metrics", "").text();
    let lines = text.lines().filter(|line| line.starts_with("ringhold_node_peer_"));
    lines.collect::<Vec<_>>().join("\n") + "\n" + &cluster.said()
}

#[test]
fn a_url_that_everyone_asks_for_has_two_owners_and_costs_the_origin_one_request() {
    static ANSWERED: Answered = Mutex::new(BTreeMap::new());
    let enough = |nodes: &BTreeMap<String, usize>| nodes.values().filter(|n| **n >= 200).count() == 2;
    let (cluster, fetched) = crowd(Setup::default(), &ANSWERED, |_, answer| note(&ANSWERED, answer), enough);
    let nodes = ANSWERED.lock().unwrap();
    assert_eq!(nodes.len(), 2, "two nodes, no more: {nodes:?}");
    assert_eq!(fetched, 1, "{nodes:?}\n{}", questions(&cluster));
    assert!(detours(&cluster) >= 200.0);
}

#[test]
fn without_hot_keys_the_owner_alone_serves_it() {
    static ANSWERED: Answered = Mutex::new(BTreeMap::new());
    let setup = Setup::default().set("ring", "hot_keys", false);
    let (cluster, fetched) = crowd(setup, &ANSWERED, |_, answer| note(&ANSWERED, answer), |_| true);
    assert_eq!((ANSWERED.lock().unwrap().len(), fetched), (1, 1));
    assert_eq!(detours(&cluster), 0.0);
}

#[test]
fn what_is_more_than_bounded_loads_allow_spills_and_costs_the_origin_one_request() {
    static ANSWERED: Answered = Mutex::new(BTreeMap::new());
    let setup = Setup::default().set("ring", "hot_keys", false).set("ring", "load_factor", 1.25);
    let enough = |nodes: &BTreeMap<String, usize>| nodes.values().filter(|n| **n >= 50).count() >= 3;
    let (cluster, fetched) = crowd(setup, &ANSWERED, |_, answer| note(&ANSWERED, answer), enough);
    assert_eq!(fetched, 1, "{:?}\n{}", ANSWERED.lock().unwrap(), questions(&cluster));
}
