//! Fronts and nodes that find each other through a real ZooKeeper, and what they do when parts of that go away.
#![allow(clippy::disallowed_methods)]

#[path = "zookeeper/faults.rs"]
mod faults;
#[path = "zookeeper/history.rs"]
mod history;
#[path = "zookeeper/moved.rs"]
mod moved;
#[path = "zookeeper/parted.rs"]
mod parted;
#[path = "zookeeper/refused.rs"]
mod refused;
mod support;
use history::History;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use support::cluster::command;
use support::cluster::run;
use support::load::{Load, Report, Running};
use support::objects::{edition as edition_of, is_whole, objects, renew};
use support::relay::Relay;
use support::zookeeper::{Zookeeper, wanted, with_client};
use support::*;

const SESSION: Duration = Duration::from_secs(2);
/// ZooKeeper ends sessions on its own tick.
const TICK: Duration = Duration::from_millis(500);
const OBJECTS: usize = 500;

/// A machine of the cluster: a front with nodes, at an address of its own.
fn machine(zookeeper: &str, number: u8, nodes: usize) -> Setup {
    let host = format!("127.0.0.{number}");
    let setup = Setup::default().nodes(nodes).set("proxy", "listen", vec![format!("{host}:0")]);
    let setup = setup.set("admin", "listen", format!("{host}:0")).set("zookeeper", "connect", zookeeper);
    setup.set("zookeeper", "session", "2s").set("zookeeper", "advertise", host)
}

/// Three machines with two, one and one nodes, when all of them route by one ring of four.
fn three(zookeeper: &str) -> Vec<Cluster> {
    let machines: Vec<Cluster> = [(2, 2), (3, 1), (4, 1)].map(|(n, nodes)| machine(zookeeper, n, nodes).start()).into();
    until_ring(&machines, 4);
    machines
}

fn until_ring(fronts: &[Cluster], nodes: usize) {
    until_true(&format!("all fronts route by one ring of {nodes}"), 3 * PATIENCE, || {
        let rings: Vec<_> = fronts.iter().map(ring).collect();
        let up = fronts.iter().all(|f| cluster(f)["up"] == nodes);
        up && rings.iter().all(|r| r.1 == rings[0].1 && r.2.len() == nodes)
    });
}

fn cluster(front: &Cluster) -> serde_json::Value {
    front.manage("GET", "/v1/cluster", "").json()
}

/// Epoch, digest and members.
fn ring(front: &Cluster) -> (u64, String, Vec<String>) {
    let ring = front.manage("GET", "/v1/ring", "").json();
    let members = ring["members"].as_array().unwrap().iter().map(|m| format!("{}*{}", m["id"], m["weight"]));
    (ring["epoch"].as_u64().unwrap(), ring["digest"].as_str().unwrap().to_owned(), members.collect())
}

fn id_of(front: &Cluster) -> String {
    format!("{}-{}", front.proxy.ip(), front.proxy.port())
}

/// Which of them leads, as it says itself.
fn leader(fronts: &[Cluster]) -> usize {
    let leads = |front: &Cluster| cluster(front)["leader"] == id_of(front);
    until("somebody leads", PATIENCE, || fronts.iter().position(leads))
}

fn connected(front: &Cluster) -> bool {
    cluster(front)["zookeeper"]["state"] == "connected"
}

fn weigh(front: &Cluster, node: &str, weight: u32) -> Response {
    front.manage("PATCH", &format!("/v1/nodes/{node}"), &format!("{{\"weight\":{weight}}}"))
}

fn load(front: &Cluster, urls: &Arc<Vec<String>>) -> Running {
    Load { proxy: front.proxy, connections: 8, urls: urls.clone(), check: is_whole }.start()
}

fn none_failed(loads: Vec<Running>, drill: &str) {
    let reports: Vec<Report> = loads.into_iter().map(Running::finish).collect();
    let requests: usize = reports.iter().map(|r| r.answered.len()).sum();
    figure(&format!("{drill}: {requests} requests, none failed"));
    reports.iter().for_each(|r| r.assert_none_failed(200));
}

/// Past the harness: these are the figures of a drill.
fn figure(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(format!("drill: {text}\n").as_bytes());
}

#[test]
fn three_machines_form_one_cluster_that_any_front_manages() {
    if !wanted("ZooKeeper: three machines") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let fronts = three(&zookeeper.connect());
    let overview = cluster(&fronts[1]);
    assert_eq!((overview["mode"].as_str(), overview["fronts"].as_array().unwrap().len()), (Some("zookeeper"), 3));
    let leader = leader(&fronts);
    let other = &fronts[(leader + 1) % 3];
    let (epoch, ..) = ring(other);
    assert_eq!(weigh(other, "127.0.0.2-n1", 3).status, 200);
    assert_eq!(ring(other).0, epoch + 1, "the answer comes when the ring has followed");
    assert_eq!(other.manage("PATCH", "/v1/nodes/127.0.0.3-n1", r#"{"state":"draining"}"#).status, 200);
    until_true("all fronts know", PATIENCE, || fronts.iter().all(|f| ring(f).2.len() == 3));
    assert_eq!(other.manage("PATCH", "/v1/nodes/127.0.0.3-n1", r#"{"state":"active"}"#).status, 200);
    assert_eq!(weigh(other, "nobody", 3).status, 404);
    assert_eq!(weigh(other, "127.0.0.2-n1", 0).status, 422);
    let added = other.manage("POST", "/v1/nodes", r#"{"id":"n9","spawn":true}"#);
    let id = added.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((added.status, id.as_str()), (201, format!("{}-n9", other.proxy.ip()).as_str()));
    until_ring(&fronts, 5);
    // Removed through a front that does not run it.
    let third = &fronts[(leader + 2) % 3];
    assert_eq!(third.manage("DELETE", &format!("/v1/nodes/{id}"), "").status, 202);
    until_true("its process ends", PATIENCE, || other.nodes().iter().all(|n| n.id != id));
    until_ring(&fronts, 4);
}

#[test]
fn clients_find_a_live_front_by_themselves() {
    if !wanted("ZooKeeper: clients find a front") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let mut fronts = three(&zookeeper.connect());
    let origin = Origin::start();
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "the page"));
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    let url = origin.url("/page");
    let get = || run(folder.path(), &["get", &url, "--zookeeper", &zookeeper.connect()]);
    assert_eq!(get(), (Some(0), "the page".to_owned()));
    let pac = |front: &Cluster| front.manage("GET", "/proxy.pac", "").text();
    for front in &fronts {
        until_true("every front is listed", PATIENCE, || {
            fronts.iter().all(|f| pac(front).contains(&f.proxy.to_string()))
        });
    }
    fronts[0].terminate(Signal::KILL);
    assert_eq!(get(), (Some(0), "the page".to_owned()), "a dead front is passed over");
    let dead = fronts[0].proxy.to_string();
    until_true("it is listed no more", PATIENCE, || fronts[1..].iter().all(|f| !pac(f).contains(&dead)));
}

#[test]
fn killing_the_leading_front_costs_nobody_a_request() {
    if !wanted("ZooKeeper: kill -9 of the leading front") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::of(3);
    let (_origin, urls) = objects(OBJECTS);
    let mut fronts = three(&zookeeper.connect());
    let history = History::of(&zookeeper, &fronts);
    let mut dead = fronts.remove(leader(&fronts));
    let loads: Vec<Running> = fronts.iter().map(|f| load(f, &urls)).collect();
    let survivor = format!("{}-n1", fronts[0].proxy.ip());
    loads[0].until(300, Instant::now() + Duration::from_secs(1));
    let killed = Instant::now();
    dead.terminate(Signal::KILL);
    let led = until("another leads", PATIENCE, || {
        fronts.iter().any(|f| cluster(f)["leader"] == id_of(f)).then(|| killed.elapsed())
    });
    let changed = weigh(&fronts[0], &survivor, 2);
    assert_eq!(changed.status, 200, "{}", changed.text());
    let weight = format!("\"{survivor}\"*2");
    let managed =
        until("the ring follows the call", PATIENCE, || ring(&fronts[0]).2.contains(&weight).then(|| killed.elapsed()));
    let nodes = 4 - dead.file().parent().map_or(0, |_| if dead.proxy.ip().to_string() == "127.0.0.2" { 2 } else { 1 });
    until_ring(&fronts, nodes);
    none_failed(loads, "kill -9 of the leading front and its nodes");
    let epochs = history.one();
    figure(&format!("another front led after {led:?}, an admin call was through after {managed:?}; {epochs} epochs"));
    let limit = SESSION + Duration::from_secs(1) + if RELEASE { Duration::ZERO } else { TICK };
    assert!(led < limit && managed < limit, "led after {led:?}, managed after {managed:?}");
}

#[test]
fn killing_zookeepers_leader_changes_nothing() {
    if !wanted("ZooKeeper: kill -9 of its leader") {
        return;
    }
    let _alone = alone();
    let mut zookeeper = Zookeeper::of(3);
    let (_origin, urls) = objects(OBJECTS);
    let fronts = three(&zookeeper.connect());
    let before = ring(&fronts[0]);
    let history = History::of(&zookeeper, &fronts);
    let loads: Vec<Running> = fronts.iter().map(|f| load(f, &urls)).collect();
    loads[0].until(300, Instant::now() + Duration::from_secs(1));
    let killed = Instant::now();
    zookeeper.kill(zookeeper.leader());
    // For two session times nobody's place is lost, although every session has to find another server.
    loads[0].until(600, killed + 3 * SESSION);
    until_true("all fronts are connected", PATIENCE, || fronts.iter().all(connected));
    assert_eq!(fronts.iter().map(ring).collect::<Vec<_>>(), vec![before.clone(); 3], "no ring change");
    none_failed(loads, "kill -9 of ZooKeeper's leader");
    assert_eq!(history.one(), 1, "no write");
    let changed = weigh(&fronts[1], "127.0.0.2-n1", 2);
    let overview = || fronts.iter().map(|f| cluster(f).to_string()).collect::<Vec<_>>().join("\n");
    assert_eq!(changed.status, 200, "{}: {}", changed.text(), overview());
}

#[test]
fn without_any_zookeeper_the_ring_stands_also_over_a_restart() {
    if !wanted("ZooKeeper: the whole ensemble down") {
        return;
    }
    let _alone = alone();
    let mut zookeeper = Zookeeper::of(3);
    let (_origin, urls) = objects(OBJECTS);
    let mut fronts = three(&zookeeper.connect());
    let history = History::of(&zookeeper, &fronts);
    let before = ring(&fronts[0]);
    let again = fronts.pop().unwrap();
    let loads: Vec<Running> = fronts.iter().map(|f| load(f, &urls)).collect();
    loads[0].until(300, Instant::now() + Duration::from_secs(1));
    zookeeper.kill_all();
    let down = Instant::now();
    until_true("all fronts notice", PATIENCE, || fronts.iter().all(|f| !connected(f)));
    for front in &fronts {
        let refused = weigh(front, "127.0.0.2-n1", 7);
        assert_eq!((refused.status, refused.get("content-type").unwrap().as_str()), (503, "application/problem+json"));
        assert!(refused.json()["detail"].as_str().unwrap().contains("ZooKeeper is gone"), "{}", refused.text());
        assert_eq!(front.manage("GET", "/readyz", "").status, 200);
        assert!(front.manage("GET", "/metrics", "").text().contains("ringhold_zookeeper_connected 0"));
    }
    let again = again.restart();
    let restarted = down.elapsed();
    assert_eq!(ring(&again), before, "it has its saved ring");
    let mut client = again.connect();
    assert!(urls.iter().all(|url| client.get(url).status == 200));
    let outage = Duration::from_secs(if RELEASE { 60 } else { 15 });
    loads[0].until(600, down + outage);
    assert_eq!(ring(&fronts[0]), before);
    zookeeper.start_all();
    let back = Instant::now();
    until_true("all fronts are connected", 3 * PATIENCE, || fronts.iter().chain([&again]).all(connected));
    let reconnected = back.elapsed();
    let changed = until("an admin call works again", 3 * PATIENCE, || {
        Some(weigh(&fronts[0], "127.0.0.2-n1", 7)).filter(|answer| answer.status == 200)
    });
    assert_eq!(changed.status, 200);
    fronts.push(again);
    until_true("the ring follows everywhere", PATIENCE, || {
        fronts.iter().all(|f| ring(f).2.contains(&"\"127.0.0.2-n1\"*7".to_owned()))
    });
    until_ring(&fronts, 4);
    none_failed(loads, "the whole ensemble down");
    let epochs = history.one();
    figure(&format!(
        "down for {outage:?}, a front restarted within {restarted:?} of it; reconnected after {reconnected:?}; {epochs} epochs"
    ));
}

fn refusals(front: &Cluster) -> u64 {
    front.metric("ringhold_ring_writes_refused_total")
}

#[test]
fn a_leader_that_sleeps_for_three_sessions_does_not_write_when_it_wakes() {
    if !wanted("ZooKeeper: SIGSTOP of the leading front") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::of(3);
    let (_origin, urls) = objects(OBJECTS);
    let mut fronts = three(&zookeeper.connect());
    let setup = Setup::default().set("zookeeper", "connect", zookeeper.connect()).set("zookeeper", "session", "2s");
    let guest = standalone::Standalone::start("guest", &setup);
    until_ring(&fronts, 5);
    let history = History::of(&zookeeper, &fronts);
    let sleeper = fronts.remove(leader(&fronts));
    let loads: Vec<Running> = fronts.iter().map(|f| load(f, &urls)).collect();
    loads[0].until(300, Instant::now() + Duration::from_secs(1));
    // It has seen a node go and is about to write the ring without it, when that has been gone for some seconds.
    process::signal(guest.pid(), Signal::KILL);
    until_true("it sees the node go", PATIENCE, || {
        let members = cluster(&sleeper)["members"].as_array().unwrap().clone();
        members.iter().any(|m| m["id"] == "guest" && m["registered"] == false)
    });
    sleeper.signal(Signal::STOP);
    let slept = Instant::now();
    let node = format!("{}-n1", fronts[0].proxy.ip());
    until_true("another leads", PATIENCE, || fronts.iter().any(|f| cluster(f)["leader"] == id_of(f)));
    for weight in [2, 3, 4] {
        assert_eq!(weigh(&fronts[1], &node, weight).status, 200);
    }
    until_true("the others write the ring without the node", PATIENCE, || ring(&fronts[0]).2.len() == 4);
    loads[0].until(600, slept + 3 * SESSION);
    let (epoch, digest, _) = ring(&fronts[0]);
    sleeper.signal(Signal::CONT);
    until_true("it is connected again", PATIENCE, || connected(&sleeper) && ring(&sleeper).0 >= epoch);
    assert_eq!((ring(&sleeper).0, ring(&sleeper).1), (epoch, digest), "what was written meanwhile stands");
    assert_eq!(refusals(&sleeper), 1, "it had a ring to write when it woke");
    assert!(cluster(&sleeper)["leader"] != id_of(&sleeper), "it queues up again");
    assert_eq!(weigh(&sleeper, &node, 5).status, 200, "and takes admin calls again");
    none_failed(loads, "SIGSTOP of the leading front");
    fronts.push(sleeper);
    until_ring(&fronts, 4);
    figure(&format!("its write was refused when it woke; {} epochs, each written once", history.one()));
}

#[test]
fn a_leader_whose_lock_is_gone_is_refused_and_queues_up_again() {
    if !wanted("ZooKeeper: a write without the lock") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let fronts = three(&zookeeper.connect());
    let history = History::of(&zookeeper, &fronts);
    let old = leader(&fronts);
    assert_eq!(refusals(&fronts[old]), 0);
    // As if its session had ended while it did not know: its record says that it leads, its lock is another's.
    with_client(&zookeeper.connect(), async |client| {
        let locks = client.list_children("/ringhold/election").await.unwrap();
        let lowest = locks.iter().min_by_key(|l| l.rsplit('-').next().unwrap().to_owned()).unwrap();
        client.delete(&format!("/ringhold/election/{lowest}"), None).await.unwrap();
    });
    let node = format!("{}-n1", fronts[(old + 1) % 3].proxy.ip());
    for weight in [2, 3, 4] {
        assert_eq!(weigh(&fronts[(old + 1) % 3], &node, weight).status, 200);
    }
    until_true("its write was refused", PATIENCE, || refusals(&fronts[old]) == 1);
    until_true("one front leads", PATIENCE, || {
        let leads = |f: &&Cluster| f.manage("GET", "/metrics", "").text().contains("ringhold_leader 1");
        fronts.iter().filter(leads).count() == 1
    });
    assert!(leader(&fronts) != old);
    until_ring(&fronts, 4);
    figure(&format!("a write without the lock refused; {} epochs, each written once", history.one()));
}

#[test]
fn a_machine_cut_off_from_zookeeper_goes_on_serving_and_its_nodes_come_back() {
    if !wanted("ZooKeeper: a partition") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::of(3);
    let relay = Relay::to(&zookeeper.connect());
    let (origin, urls) = objects(OBJECTS);
    let through = relay.address.to_string();
    let all = zookeeper.connect();
    // The machine behind the relay is the first to lead.
    let mut fronts = vec![machine(&through, 3, 1).start()];
    fronts.extend([machine(&all, 2, 2).start(), machine(&all, 4, 1).start()]);
    until_ring(&fronts, 4);
    let history = History::of(&zookeeper, &fronts);
    let loads: Vec<Running> = fronts.iter().map(|f| load(f, &urls)).collect();
    loads[0].until(200, Instant::now() + Duration::from_secs(1));
    let ways = [(true, true, "both ways"), (true, false, "there"), (false, true, "back")];
    for (round, (there, back, name)) in ways.into_iter().enumerate() {
        let before = ring(&fronts[0]);
        relay.cut(there, back);
        let cut = Instant::now();
        until_true("it notices", PATIENCE, || !connected(&fronts[0]));
        until_true("the others go on without its node", PATIENCE, || fronts[1..].iter().all(|f| ring(f).2.len() == 3));
        let gone = cut.elapsed();
        assert_eq!(ring(&fronts[0]).1, before.1, "its own ring stands");
        assert_eq!(weigh(&fronts[0], "127.0.0.2-n1", 2).status, 503);
        until_true("one of the others leads", PATIENCE, || {
            fronts[1..].iter().any(|f| cluster(f)["leader"] == id_of(f))
        });
        // A purge on either side of the cut, which everybody hears of by way of the nodes.
        let url = &urls[round];
        for (edition, (front, expected)) in [(1, 200), (0, 202)].into_iter().enumerate() {
            renew(&origin, url, edition + 1);
            let purged = fronts[front].manage("DELETE", &format!("/v1/cache?url={url}"), "");
            assert_eq!(purged.status, expected, "{name}: {}", purged.text());
            fronts.iter().for_each(|f| assert_eq!(edition_of(&f.get(url)), edition + 1, "{name}"));
        }
        relay.mend();
        let mended = Instant::now();
        until_ring(&fronts, 4);
        fronts.iter().for_each(|f| assert_eq!(edition_of(&f.get(url)), 2, "{name}"));
        figure(&format!("cut off {name}: off the ring after {gone:?}, back on it after {:?}", mended.elapsed()));
    }
    none_failed(loads, "front and node cut off from ZooKeeper");
    figure(&format!("{} epochs, each written once", history.one()));
}

#[test]
fn a_node_started_by_hand_registers_itself_and_takes_its_place_back() {
    if !wanted("ZooKeeper: a node by hand") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let fronts = vec![machine(&zookeeper.connect(), 2, 1).start()];
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    fs_write(folder.path(), "[zookeeper]\nconnect = 'nowhere:1'\nsession = '2s'\n");
    let hosts = zookeeper.connect();
    let words = ["node", "--config", "node.toml", "--id", "by-hand", "--listen", "127.0.0.1:0", "--zookeeper", &hosts];
    let mut node = command(folder.path(), &words).spawn().unwrap();
    until_ring(&fronts, 2);
    let (epoch, ..) = ring(&fronts[0]);
    process::signal(node.id(), Signal::KILL);
    node.wait().unwrap();
    // Another process under the same id, on another port, before the session of the first one is over.
    let mut node = command(folder.path(), &words).spawn().unwrap();
    let address = until("it listens", PATIENCE, || {
        let said = std::fs::read_to_string(folder.path().join("stdout")).unwrap_or_default();
        Some(said.split_once("listening on ")?.1.lines().next()?.trim().to_owned())
    });
    until_true("its new address is known", PATIENCE, || {
        fronts[0].manage("GET", "/v1/nodes/by-hand", "").json()["address"] == address.as_str()
    });
    until_ring(&fronts, 2);
    thread::sleep(SESSION + 2 * TICK);
    assert_eq!(ring(&fronts[0]).0, epoch, "the ring has not changed");
    process::signal(node.id(), Signal::TERM);
    let told = Instant::now();
    assert!(node.wait().unwrap().success());
    until_ring(&fronts, 1);
    // Its place is kept for this long, in case it comes back.
    let linger = Duration::from_secs(4);
    assert!(told.elapsed() < linger + SESSION, "it says goodbye: {:?}", told.elapsed());
}

fn fs_write(folder: &std::path::Path, text: &str) {
    std::fs::write(folder.join("node.toml"), text).unwrap();
}

#[test]
fn what_was_purged_at_one_front_is_not_served_by_the_copy_of_another() {
    if !wanted("ZooKeeper: a purge and the copies of another front") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let start = |number| machine(&zookeeper.connect(), number, 1).set("hot", "memory", "8MiB").start();
    let fronts = vec![start(2), start(3)];
    until_ring(&fronts, 2);
    let origin = Origin::start();
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "old"));
    let url = origin.url("/page");
    let mut client = fronts[1].connect();
    until_true("the other front has a copy", PATIENCE, || {
        client.get(&url);
        fronts[1].metric("ringhold_front_hot_hits_total") > 0
    });
    // While it is asked again, which takes longer than a copy stands, others are there who would be served the copy.
    origin.on("/page", |x| {
        thread::sleep(Duration::from_secs(4));
        x.reply(200, "Cache-Control: max-age=600\r\n", "new")
    });
    let over = AtomicBool::new(false);
    let (purged, after) = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = fronts[1].connect();
                let asks = std::iter::from_fn(|| client.try_ask("GET", &url, "", b"").ok());
                asks.take_while(|_| !over.load(Ordering::Relaxed)).for_each(drop);
            });
        }
        let purged = fronts[0].manage("DELETE", &format!("/v1/cache?url={url}"), "").status;
        let mut client = fronts[1].connect();
        let after = client.try_ask("GET", &url, "", b"").map(|answer| answer.text());
        over.store(true, Ordering::Relaxed);
        (purged, after.unwrap_or_else(|e| e.to_string()))
    });
    assert_eq!((purged, after.as_str()), (200, "new"));
}
