//! One URL under a crowd: more nodes than its owner serve it, and the origin sees one request.

use crate::support::load::Load;
use crate::support::standalone::Standalone;
use crate::support::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Who answered, and how often.
type Answered = Mutex<BTreeMap<String, usize>>;

/// Four nodes, two fronts before them, and a crowd at both that asks for one page: all at once to begin with, then until
/// `enough` of who has answered; how often the origin was asked.
fn crowd(
    setup: Setup,
    answered: &'static Answered,
    check: crate::support::load::Check,
    enough: fn(&BTreeMap<String, usize>) -> bool,
) -> (Fronts, usize) {
    let _alone = alone();
    // As it is by default, but that a debug build takes longer.
    let setup = if RELEASE { setup } else { setup.unhurried().set("timeouts", "peer", "2s") };
    let (origin, fronts) = (Origin::start(), Fronts::start(setup));
    origin.on("/page", |x| {
        std::thread::sleep(Duration::from_millis(400));
        x.reply(200, "Cache-Control: max-age=3600\r\n", "the page")
    });
    let urls = Arc::new(vec![origin.url("/page")]);
    // Nobody has it, and nobody has begun to fetch it.
    let mut clients: Vec<Connection> = (0..64).map(|i| fronts.both[i % 2].connect()).collect();
    clients.iter_mut().for_each(|client| client.request("GET", &urls[0], "", b"").expect("the proxy listens"));
    for client in &mut clients {
        check(&urls[0], &client.response("GET").expect("an answer")).unwrap();
    }
    assert_eq!(origin.count("/page"), 1, "{}", fronts.questions());
    let load = |front: &Cluster| Load { proxy: front.proxy, connections: 32, urls: urls.clone(), check }.start();
    let running: Vec<_> = fronts.both.iter().map(load).collect();
    running.iter().for_each(|running| running.until(1000, Instant::now() + Duration::from_secs(1)));
    until_true("enough nodes have answered", PATIENCE, || enough(&answered.lock().unwrap()));
    running.into_iter().for_each(|running| running.finish().assert_none_failed(1000));
    (fronts, origin.count("/page"))
}

/// Two fronts, each of which knows the same four nodes.
struct Fronts {
    both: [Cluster; 2],
    _nodes: Vec<Standalone>,
}

impl Fronts {
    fn start(setup: Setup) -> Fronts {
        let setup = setup.set("cluster", "secret", "the-secret-of-this-crowd").nodes(0);
        let nodes: Vec<_> = (1..=4).map(|n| Standalone::start(&format!("n{n}"), &setup)).collect();
        let at =
            |setup: Setup, (n, node): (usize, &Standalone)| setup.node_at(&format!("n{n}"), &node.address.to_string());
        let setup = (1..).zip(&nodes).fold(setup, at);
        let both = [setup.start(), setup.start()];
        for front in &both {
            until_true("all nodes are up", PATIENCE, || front.manage("GET", "/v1/cluster", "").json()["up"] == 4);
        }
        Fronts { both, _nodes: nodes }
    }

    fn detours(&self) -> u64 {
        self.both.iter().map(|front| front.metric("ringhold_front_detours_total")).sum()
    }

    /// What the nodes asked each other, and what the fronts said.
    fn questions(&self) -> String {
        questions(&self.both[0]) + &self.both[1].said()
    }
}

fn note(answered: &Answered, answer: &Response) -> Result<(), String> {
    *answered.lock().unwrap().entry(answer.node()).or_default() += 1;
    if answer.text() == "the page" { Ok(()) } else { Err(format!("a wrong body: {}", answer.text())) }
}

fn questions(cluster: &Cluster) -> String {
    let text = cluster.manage("GET", "/metrics", "").text();
    let lines = text.lines().filter(|line| line.starts_with("ringhold_node_peer_"));
    lines.collect::<Vec<_>>().join("\n") + "\n" + &cluster.said()
}

#[test]
fn a_url_that_everyone_asks_for_has_two_owners_and_costs_the_origin_one_request() {
    static ANSWERED: Answered = Mutex::new(BTreeMap::new());
    let enough = |nodes: &BTreeMap<String, usize>| nodes.values().filter(|n| **n >= 200).count() == 2;
    let (fronts, fetched) = crowd(Setup::default(), &ANSWERED, |_, answer| note(&ANSWERED, answer), enough);
    let nodes = ANSWERED.lock().unwrap();
    assert_eq!(nodes.len(), 2, "two nodes, no more: {nodes:?}");
    assert_eq!(fetched, 1, "{nodes:?}\n{}", fronts.questions());
    assert!(fronts.detours() >= 200);
}

#[test]
fn without_hot_keys_the_owner_alone_serves_it() {
    static ANSWERED: Answered = Mutex::new(BTreeMap::new());
    let setup = Setup::default().set("ring", "hot_keys", false);
    let (fronts, fetched) = crowd(setup, &ANSWERED, |_, answer| note(&ANSWERED, answer), |_| true);
    assert_eq!((ANSWERED.lock().unwrap().len(), fetched), (1, 1));
    assert_eq!(fronts.detours(), 0);
}

#[test]
fn what_is_more_than_bounded_loads_allow_spills_and_costs_the_origin_one_request() {
    static ANSWERED: Answered = Mutex::new(BTreeMap::new());
    let setup = Setup::default().set("ring", "hot_keys", false).set("ring", "load_factor", 1.25);
    let enough = |nodes: &BTreeMap<String, usize>| nodes.values().filter(|n| **n >= 50).count() >= 3;
    let (fronts, fetched) = crowd(setup, &ANSWERED, |_, answer| note(&ANSWERED, answer), enough);
    assert_eq!(fetched, 1, "{:?}\n{}", ANSWERED.lock().unwrap(), fronts.questions());
}
