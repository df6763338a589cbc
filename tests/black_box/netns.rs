//! Partitions between machines that are network namespaces with a cable between any two of them: one pair is parted,
//! wholly or in one direction, while both go on seeing everybody else.

use crate::support::cable::{Cable, Cut, Machine, wanted};
use crate::support::load::{Load, Running};
use crate::support::objects::{edition, is_whole, objects_at, renew};
use crate::support::standalone::Standalone;
use crate::support::zookeeper::{self, Zookeeper};
use crate::support::*;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const OBJECTS: usize = 500;
const SESSION: Duration = Duration::from_secs(2);

/// Epoch and digest of the front's ring, and its members.
fn ring(front: &Cluster) -> (u64, String, Vec<String>) {
    let ring = front.manage("GET", "/v1/ring", "").json();
    let members = ring["members"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned());
    (ring["epoch"].as_u64().unwrap(), ring["digest"].as_str().unwrap().to_owned(), members.collect())
}

fn is_up(front: &Cluster, id: &str) -> bool {
    front.manage("GET", &format!("/v1/nodes/{id}"), "").json()["up"] == true
}

fn connected(front: &Cluster) -> bool {
    front.manage("GET", "/v1/cluster", "").json()["zookeeper"]["state"] == "connected"
}

fn leads(front: &Cluster) -> bool {
    front.manage("GET", "/metrics", "").text().contains("ringhold_leader 1")
}

fn weigh(front: &Cluster, node: &str, weight: usize) -> u16 {
    front.manage("PATCH", &format!("/v1/nodes/{node}"), &format!("{{\"weight\":{weight}}}")).status
}

fn load(front: &Cluster, urls: &std::sync::Arc<Vec<String>>) -> Running {
    Load { proxy: front.proxy, connections: 8, urls: urls.clone(), check: is_whole }.start()
}

/// So many more requests, and at least until then.
fn more(running: &Running, requests: usize, moment: Instant) {
    running.until(running.done() + requests, moment);
}

/// A URL that this node owns.
fn owned<'a>(front: &Cluster, urls: &'a [String], node: &str) -> &'a str {
    let mut client = front.connect();
    urls.iter().find(|url| client.get(url).node() == node).expect("every node owns something")
}

/// Whether that node answers, and as it was last purged.
fn answers_for(front: &Cluster, url: &str, node: &str, of: usize) -> bool {
    let answer = front.get(url);
    assert_eq!(edition(&answer), of, "what was purged is never answered again: {}", answer.cache_status());
    answer.node() == node
}

/// The next edition of an object, for which the one before is purged: what the purge says.
fn purge(front: &Cluster, origin: &Origin, url: &str, edition: usize) -> (u16, String) {
    renew(origin, url, edition);
    let purged = front.manage("DELETE", &format!("/v1/cache?url={url}"), "");
    (purged.status, purged.text())
}

/// Past the harness: these are the figures of a drill.
fn figure(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(format!("drill: {text}\n").as_bytes());
}

fn cable(near: &Machine, far: &Machine) -> Cable {
    Cable::between(near, far).expect("a cable can be laid")
}

fn finish(running: Running, drill: &str) {
    let report = running.finish();
    figure(&format!("{drill}: {} requests, {} failed", report.answered.len(), report.failures.len()));
    report.assert_none_failed(1500);
}

#[test]
fn a_front_and_a_node_that_are_parted_while_both_reach_the_origin_cost_nobody_a_request() {
    if !wanted("namespaces: a front parted from one node") {
        return;
    }
    let _alone = alone();
    let (here, there) = (Machine::this(), Machine::another().unwrap());
    let (to_origin, link) = (cable(&here, &there), cable(&here, &there));
    let (origin, urls) = objects_at(to_origin.near.address, OBJECTS);
    let secret = Setup::default().set("cluster", "secret", "the-secret-of-this-drill");
    let node = Standalone::start_by(&there.prefix(), link.far.address, "r1", &secret);
    let front = secret.nodes(2).node_at("r1", &node.address.to_string()).start();
    until_true("all nodes are up", PATIENCE, || ["n1", "n2", "r1"].iter().all(|id| is_up(&front, id)));
    let (before, url) = (ring(&front), owned(&front, &urls, "r1"));
    let running = load(&front, &urls);
    for (edition, cut) in (1..).zip(Cut::ALL) {
        more(&running, 300, Instant::now() + Duration::from_secs(1));
        link.cut(cut);
        let begun = Instant::now();
        let (status, said) = purge(&front, &origin, url, edition);
        assert!(status == 202 && said.contains("\"r1\""), "{cut:?}: {status} {said}");
        until_true("the node is passed over", PATIENCE, || !is_up(&front, "r1"));
        let noticed = begun.elapsed();
        assert!(noticed < Duration::from_millis(1500) || !RELEASE, "{cut:?}: passed over after {noticed:?}");
        more(&running, 300, begun + Duration::from_secs(4));
        assert!(!is_up(&front, "r1"), "{cut:?}");
        assert!(!answers_for(&front, url, "r1", edition), "{cut:?}");
        assert_eq!(ring(&front), before, "{cut:?}: a partition changes no ring");
        link.mend(cut);
        let mended = Instant::now();
        until_true("the node is back", PATIENCE, || is_up(&front, "r1"));
        until_true("it answers for what it owns", PATIENCE, || answers_for(&front, url, "r1", edition));
        figure(&format!("front and node, {cut:?}: passed over after {noticed:?}, back after {:?}", mended.elapsed()));
    }
    more(&running, 300, Instant::now());
    finish(running, "a front parted from one node");
    assert_eq!(ring(&front), before);
    assert_eq!(front.node_total("strangers"), 0, "every request was proved");
}

/// Two fronts here, a node on one machine, two on another, and ZooKeeper on a third: every one of the three has a cable
/// to here, the nodes' machines one to ZooKeeper's, and so has the other front, which leads.
struct Machines {
    front: Cluster,
    leader: Cluster,
    _nodes: [Standalone; 3],
    _zookeeper: Zookeeper,
    front_to_zookeeper: Cable,
    node_to_zookeeper: Cable,
    link: Cable,
    _more: [Cable; 3],
    _machines: [Machine; 3],
}

/// The port of ZooKeeper on a machine of its own.
const PORT: u16 = 2181;

impl Machines {
    fn start() -> Machines {
        let here = Machine::this();
        let machines = [(); 3].map(|()| Machine::another().expect("another machine"));
        let [one, two, keeper] = &machines;
        let (link, rack) = (cable(&here, one), cable(&here, two));
        let (front_to_zookeeper, node_to_zookeeper) = (cable(&here, keeper), cable(one, keeper));
        let rack_to_zookeeper = cable(two, keeper);
        // The origin listens at this end of the first node's cable.
        two.finds_by(link.near.address, rack.near.address);
        let at = |cable: &Cable| SocketAddr::new(cable.far.address, PORT);
        let zookeeper = Zookeeper::elsewhere(&keeper.prefix(), at(&front_to_zookeeper));
        let setup = |cable: &Cable| {
            let setup = Setup::default().nodes(0).set("cluster", "secret", "the-secret-of-this-drill");
            setup.set("zookeeper", "connect", at(cable).to_string()).set("zookeeper", "session", "2s")
        };
        let node = |machine: &Machine, cable: &Cable, keeper: &Cable, id| {
            Standalone::start_by(&machine.prefix(), cable.far.address, id, &setup(keeper))
        };
        let nodes = [
            node(one, &link, &node_to_zookeeper, "r1"),
            node(two, &rack, &rack_to_zookeeper, "r2"),
            node(two, &rack, &rack_to_zookeeper, "r3"),
        ];
        // How others would reach them, if they did.
        let front = |cable: &Cable| setup(cable).set("zookeeper", "advertise", cable.near.address.to_string()).start();
        let leader_to_zookeeper = cable(&here, keeper);
        let leader = front(&leader_to_zookeeper);
        until_true("it leads", PATIENCE, || leads(&leader));
        let front = front(&front_to_zookeeper);
        let more = [rack, rack_to_zookeeper, leader_to_zookeeper];
        let all = Machines {
            front,
            leader,
            _nodes: nodes,
            _zookeeper: zookeeper,
            front_to_zookeeper,
            node_to_zookeeper,
            link,
            _more: more,
            _machines: machines,
        };
        until_true("the ring has three nodes", 3 * PATIENCE, || all.is_whole());
        all
    }

    fn is_whole(&self) -> bool {
        let up = || ["r1", "r2", "r3"].iter().all(|id| is_up(&self.front, id));
        let whole = |front: &Cluster| connected(front) && ring(front).2 == ["r1", "r2", "r3"];
        whole(&self.front) && whole(&self.leader) && ring(&self.front) == ring(&self.leader) && up()
    }
}

#[test]
fn a_node_parted_from_zookeeper_alone_leaves_the_ring_with_its_session_and_comes_back() {
    if !wanted("namespaces: a node parted from ZooKeeper") || !zookeeper::wanted("namespaces: ZooKeeper") {
        return;
    }
    let _alone = alone();
    let machines = Machines::start();
    let front = &machines.front;
    let (origin, urls) = objects_at(machines.link.near.address, OBJECTS);
    let (url, running) = (owned(front, &urls, "r1"), load(front, &urls));
    for (edition, cut) in (1..).zip(Cut::ALL) {
        let (epoch, ..) = ring(front);
        more(&running, 200, Instant::now() + Duration::from_secs(1));
        machines.node_to_zookeeper.cut(cut);
        let begun = Instant::now();
        until_true("the node leaves the ring", PATIENCE, || ring(front).2 == ["r2", "r3"]);
        let left = begun.elapsed();
        assert!(connected(front), "{cut:?}");
        let (status, said) = purge(front, &origin, url, edition);
        assert!(status == 200 && said.contains("\"r1\""), "{cut:?}: the front reaches it: {status} {said}");
        until_true("others answer for what it owned", PATIENCE, || !answers_for(front, url, "r1", edition));
        more(&running, 200, begun + 2 * SESSION);
        assert_eq!((ring(front).0, ring(front).2.len()), (epoch + 1, 2), "{cut:?}: one change");
        machines.node_to_zookeeper.mend(cut);
        let mended = Instant::now();
        until_true("the node is back on the ring", 2 * PATIENCE, || machines.is_whole());
        until_true("it answers for what it owns", PATIENCE, || answers_for(front, url, "r1", edition));
        figure(&format!("node and ZooKeeper, {cut:?}: left after {left:?}, back after {:?}", mended.elapsed()));
        assert_eq!(ring(front).0, epoch + 2, "{cut:?}: one change back");
    }
    finish(running, "a node parted from ZooKeeper");
}

/// A front loses ZooKeeper, and nothing else, in each of these ways.
fn front_parted(cuts: &[Cut]) {
    if !wanted("namespaces: a front parted from ZooKeeper") || !zookeeper::wanted("namespaces: ZooKeeper") {
        return;
    }
    let _alone = alone();
    let machines = Machines::start();
    let front = &machines.front;
    let (origin, urls) = objects_at(machines.link.near.address, OBJECTS);
    let running = load(front, &urls);
    for (edition, &cut) in (1..).zip(cuts) {
        let url = owned(front, &urls, "r1");
        more(&running, 200, Instant::now() + Duration::from_secs(1));
        let before = ring(front);
        machines.front_to_zookeeper.cut(cut);
        let begun = Instant::now();
        until_true("it notices", PATIENCE, || !connected(front));
        let noticed = begun.elapsed();
        assert_eq!(weigh(&machines.leader, "r2", edition + 1), 200, "{cut:?}: the other front goes on");
        more(&running, 200, begun + 3 * SESSION);
        let refused = front.manage("PATCH", "/v1/nodes/r1", r#"{"weight":2}"#);
        assert_eq!(refused.status, 503, "{cut:?}: {}", refused.text());
        assert_eq!(front.manage("GET", "/readyz", "").status, 200, "{cut:?}");
        assert_eq!(ring(front), before, "{cut:?}: its ring stands");
        let (status, said) = purge(front, &origin, url, edition);
        assert!(status == 202 && said.contains("unsure"), "{cut:?}: who has joined is not known: {status} {said}");
        assert!(answers_for(front, url, "r1", edition), "{cut:?}");
        assert!(leads(&machines.leader) && ring(&machines.leader).0 == before.0 + 1, "{cut:?}");
        machines.front_to_zookeeper.mend(cut);
        let mended = Instant::now();
        until_true("it is connected again, and has followed", 2 * PATIENCE, || machines.is_whole());
        figure(&format!("front and ZooKeeper, {cut:?}: noticed after {noticed:?}, back after {:?}", mended.elapsed()));
        assert_eq!(ring(front).0, before.0 + 1, "{cut:?}: nobody had left");
        assert_eq!(purge(front, &origin, url, edition).0, 200, "{cut:?}");
    }
    finish(running, "a front parted from ZooKeeper");
    assert_eq!(weigh(front, "r1", 2), 200);
    assert!(leads(&machines.leader) && !leads(front));
}

#[test]
fn a_front_parted_from_zookeeper_alone_serves_by_the_ring_it_has() {
    front_parted(&Cut::ALL);
}
