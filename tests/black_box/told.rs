//! Purges and invalidations where there are several fronts: they reach every node and front that may hold a copy, and who
//! could not be told validates what it held before it answers with any of that.

use crate::support::relay::Relay;
use crate::support::standalone::Standalone;
use crate::support::zookeeper::{Zookeeper, wanted, with_client};
use crate::support::*;
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SESSION: Duration = Duration::from_secs(2);
const HOT: &str = "8MiB";
/// After the secret of [`machine`].
const NEXT: &str = "the-next-secret-of-this-cluster";

/// A machine of the cluster: a front with a node, at an address of its own.
fn machine(zookeeper: &str, number: u8) -> Setup {
    let host = format!("127.0.0.{number}");
    let setup = Setup::default().nodes(1).set("proxy", "listen", vec![format!("{host}:0")]);
    let setup = setup.set("admin", "listen", format!("{host}:0")).set("zookeeper", "connect", zookeeper);
    let setup = setup.set("zookeeper", "session", "2s").set("zookeeper", "advertise", host);
    setup.set("cluster", "secret", "the-secret-of-this-cluster")
}

fn until_ring(fronts: &[&Cluster], nodes: usize) {
    until_true(&format!("all fronts route by one ring of {nodes}"), 3 * PATIENCE, || {
        let ring = |front: &&Cluster| front.manage("GET", "/v1/ring", "").json();
        let rings: Vec<_> = fronts.iter().map(ring).collect();
        let up = fronts.iter().all(|f| f.manage("GET", "/v1/cluster", "").json()["up"] == nodes);
        let whole = |r: &serde_json::Value| r["members"].as_array().is_some_and(|m| m.len() == nodes);
        up && rings.iter().all(|r| r["digest"] == rings[0]["digest"] && whole(r))
    });
}

fn connected(front: &Cluster) -> bool {
    front.manage("GET", "/v1/cluster", "").json()["zookeeper"]["state"] == "connected"
}

/// Without the node of that machine: `127.0.0.3-n1`.
fn is_off(front: &Cluster, node: &str) -> bool {
    let ring = front.manage("GET", "/v1/ring", "").json();
    ring["members"].as_array().unwrap().iter().all(|member| member["id"] != node)
}

fn is_up(front: &Cluster, node: &str) -> bool {
    front.manage("GET", &format!("/v1/nodes/{node}"), "").json()["up"] == true
}

fn purge(front: &Cluster, url: &str) -> (u16, serde_json::Value) {
    let answer = front.manage("DELETE", &format!("/v1/cache?url={url}"), "");
    (answer.status, answer.json())
}

/// Who missed it, by what the purge says.
fn missed(said: &serde_json::Value) -> Vec<&str> {
    said["missed"].as_array().map(|all| all.iter().map(|m| m["id"].as_str().unwrap()).collect()).unwrap_or_default()
}

/// An origin whose pages say which edition they are of, and the edition.
fn editions() -> (Origin, Arc<AtomicUsize>) {
    let (origin, edition) = (Origin::start(), Arc::new(AtomicUsize::new(1)));
    let current = edition.clone();
    origin.on("/o/*", move |x| {
        let edition = current.load(Ordering::SeqCst);
        x.reply(200, "Cache-Control: max-age=3600\r\n", edition.to_string())
    });
    (origin, edition)
}

/// So many URLs that this node answers for, and has.
fn held(origin: &Origin, front: &Cluster, node: &str, count: usize) -> Vec<String> {
    let mut client = front.connect();
    let urls = (0..1000).map(|i| origin.url(&format!("/o/{i}")));
    let held: Vec<String> = urls.filter(|url| client.get(url).node() == node).take(count).collect();
    assert_eq!(held.len(), count, "{node} answers for something");
    held.iter().for_each(|url| assert!(client.get(url).is_hit(), "{url}"));
    held
}

fn texts(front: &Cluster, urls: &[String]) -> Vec<String> {
    let mut client = front.connect();
    urls.iter().map(|url| client.get(url).text()).collect()
}

fn all(text: &str, urls: &[String]) -> Vec<String> {
    vec![text.to_owned(); urls.len()]
}

#[test]
fn what_is_told_at_a_front_that_is_cut_off_is_made_good_when_it_is_back() {
    if !wanted("ZooKeeper: a purge at a front that is cut off") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::alone();
    let relay = Relay::to(&zookeeper.connect());
    let (origin, edition) = editions();
    let a = machine(&zookeeper.connect(), 2).start();
    let b = machine(&relay.address.to_string(), 3).start();
    until_ring(&[&a, &b], 2);
    relay.cut(true, true);
    until_true("it notices", PATIENCE, || !connected(&b));
    until_true("its node has left", PATIENCE, || is_off(&a, "127.0.0.3-n1"));
    // A machine joins of which the one that is cut off knows nothing.
    let c = machine(&zookeeper.connect(), 4).start();
    until_ring(&[&a, &c], 2);
    let urls = held(&origin, &a, "127.0.0.4-n1", 8);
    let (purged, posted) = urls.split_at(4);
    edition.store(2, Ordering::SeqCst);
    for url in purged {
        let (status, said) = purge(&b, url);
        assert_eq!(status, 202, "it cannot know who else there is: {said}");
        assert!(said["unsure"].as_str().unwrap().contains("ZooKeeper is gone"), "{said}");
    }
    posted.iter().for_each(|url| assert_eq!(b.ask("POST", url, "", b"x").status, 200));
    relay.mend();
    until_ring(&[&a, &b, &c], 3);
    for front in [&a, &b, &c] {
        assert_eq!(texts(front, &urls), all("2", &urls));
    }
}

#[test]
fn a_purge_is_not_sure_while_a_machine_has_another_secret_and_that_one_validates_when_it_has_the_right_one() {
    if !wanted("ZooKeeper: a purge while a machine has another secret") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::alone();
    let (origin, edition) = editions();
    let with_disk = |setup: Setup| setup.set("disk", "size", "64MiB").set("access", "open", vec!["127.0.0.1/32"]);
    let mut a = with_disk(machine(&zookeeper.connect(), 2)).set("disk", "path", "disk").start();
    until_ring(&[&a], 1);
    let urls = held(&origin, &a, "127.0.0.2-n1", 8);
    let (purged, posted) = urls.split_at(4);
    let b = machine(&zookeeper.connect(), 3).set("cluster", "secret", NEXT).start();
    until_true("it sees the other one", PATIENCE, || b.said().contains("fronts/127.0.0.2"));
    edition.store(2, Ordering::SeqCst);
    for url in purged {
        let (status, said) = purge(&b, url);
        let why = said["unsure"].as_str().unwrap_or_default();
        assert!(status == 202 && why.contains("nodes/127.0.0.2-n1") && why.contains("previous_secret"), "{said}");
    }
    posted.iter().for_each(|url| assert_eq!(b.ask("POST", url, "", b"x").status, 200));
    // It is given the right one, and brings back from its disk what it had.
    a.terminate(Signal::TERM);
    let text = std::fs::read_to_string(a.file()).unwrap().replace("the-secret-of-this-cluster", NEXT);
    std::fs::write(a.file(), text).unwrap();
    a = a.again();
    until_ring(&[&a, &b], 2);
    until_true("what is not in doubt is still there", PATIENCE, || a.metric("ringhold_node_disk_objects") >= 8);
    assert_eq!(texts(&b, &urls), all("2", &urls));
    assert_eq!(purge(&b, &urls[0]).0, 200);
}

#[test]
fn a_purge_reaches_a_node_that_has_lost_its_session_and_names_it_where_it_does_not() {
    if !wanted("ZooKeeper: a purge and a node that has lost its session") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::alone();
    let relay = Relay::to(&zookeeper.connect());
    let (origin, edition) = editions();
    let a = machine(&zookeeper.connect(), 2).start();
    let b = machine(&relay.address.to_string(), 3).start();
    let node = "127.0.0.3-n1";
    until_ring(&[&a, &b], 2);
    let urls = held(&origin, &b, node, 6);
    relay.cut(true, true);
    until_true("it has left", PATIENCE, || is_off(&a, node) && !connected(&b));
    edition.store(2, Ordering::SeqCst);
    // It cannot reach ZooKeeper, and everybody can reach it.
    let (status, said) = purge(&a, &urls[0]);
    assert_eq!(status, 200, "{said}");
    assert!(said["done"].as_array().unwrap().iter().any(|id| id == node), "{said}");
    assert_eq!(texts(&b, &urls[..1]), ["2"]);
    assert_eq!(a.ask("POST", &urls[1], "", b"x").status, 200);
    until_true("it hears of a POST soon", PATIENCE, || texts(&b, &urls[1..2]) == ["2"]);
    // Nobody reaches it.
    b.signal_node("127.0.0.3-n1", Signal::STOP);
    let (status, said) = purge(&a, &urls[2]);
    assert_eq!((status, missed(&said)), (202, vec![node]), "{said}");
    b.signal_node("127.0.0.3-n1", Signal::CONT);
    relay.mend();
    until_true("its front is back", 2 * PATIENCE, || connected(&b));
    assert_eq!(texts(&b, &urls[2..3]), ["2"], "at once");
    until_ring(&[&a, &b], 2);
    for front in [&a, &b] {
        assert_eq!(texts(front, &urls[..3]), all("2", &urls[..3]));
        assert_eq!(texts(front, &urls[2..]), all("2", &urls[2..]), "it validates all that it held");
    }
}

#[test]
fn who_missed_a_purge_is_known_to_every_front_also_when_the_one_that_told_is_gone() {
    if !wanted("ZooKeeper: who missed a purge") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::alone();
    let (origin, edition) = editions();
    let long = |setup: Setup| setup.set("zookeeper", "session", "10s");
    let secret = Setup::default().set("cluster", "secret", "the-secret-of-this-cluster");
    let node = Standalone::start("r1", &long(secret.set("zookeeper", "connect", zookeeper.connect())));
    let mut a = long(machine(&zookeeper.connect(), 2)).start();
    let b = long(machine(&zookeeper.connect(), 3)).nodes(0).start();
    until_ring(&[&a, &b], 2);
    let urls = held(&origin, &a, "r1", 8);
    edition.store(2, Ordering::SeqCst);
    crate::support::process::signal(node.pid(), Signal::STOP);
    until_true("it is passed over", PATIENCE, || !is_up(&a, "r1"));
    for url in &urls {
        let (status, said) = purge(&a, url);
        assert_eq!((status, missed(&said)), (202, vec!["r1"]), "{said}");
    }
    // One that has seen nothing of all that.
    let b = b.restart();
    a.terminate(Signal::KILL);
    crate::support::process::signal(node.pid(), Signal::CONT);
    until_true("the node is used again", 2 * PATIENCE, || is_up(&b, "r1"));
    assert_eq!(texts(&b, &urls), all("2", &urls));
    // The node that has died with its front may be doubted until the ring is without it.
    until_true("nobody doubts it any more", PATIENCE, || {
        with_client(&zookeeper.connect(), async |client| {
            let doubted = client.list_children("/ringhold/doubts").await.unwrap();
            println!("doubted: {doubted:?}");
            !doubted.iter().any(|id| id == "r1")
        })
    });
}

#[test]
fn who_missed_a_purge_is_known_over_a_restart_of_the_only_front() {
    let _alone = alone();
    let (origin, edition) = editions();
    let node = Standalone::start("r1", &Setup::default());
    let front = Setup::default().nodes(0).node_at("r1", &node.address.to_string()).start();
    let urls = held(&origin, &front, "r1", 4);
    edition.store(2, Ordering::SeqCst);
    crate::support::process::signal(node.pid(), Signal::STOP);
    until_true("it is passed over", PATIENCE, || front.manage("GET", "/readyz", "").status == 503);
    let (status, said) = purge(&front, &urls[0]);
    assert_eq!((status, missed(&said)), (202, vec!["r1"]), "{said}");
    let resume = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        crate::support::process::signal(node.pid(), Signal::CONT);
        node
    });
    let front = front.restart();
    let _node = resume.join().unwrap();
    until_true("it is used again", PATIENCE, || front.manage("GET", "/readyz", "").status == 200);
    assert_eq!(texts(&front, &urls), all("2", &urls));
}

#[test]
fn a_purge_whose_miss_cannot_be_written_down_says_that_a_restart_forgets_it() {
    let _alone = alone();
    let (origin, edition) = editions();
    let node = Standalone::start("r1", &Setup::default());
    let front = Setup::default().nodes(0).node_at("r1", &node.address.to_string()).start();
    let urls = held(&origin, &front, "r1", 2);
    edition.store(2, Ordering::SeqCst);
    let file = front.folder().join("state/missed.json");
    until_true("it has its room", PATIENCE, || file.exists());
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    crate::support::process::signal(node.pid(), Signal::STOP);
    until_true("it is passed over", PATIENCE, || front.manage("GET", "/readyz", "").status == 503);
    let (status, said) = purge(&front, &urls[0]);
    let detail = said["detail"].as_str().unwrap();
    assert_eq!((status, missed(&said)), (202, vec!["r1"]), "{said}");
    assert!(detail.contains("a restart of this front forgets it: purge again then"), "{detail}");
    until_true("the log says why", PATIENCE, || front.said().contains("missed.json"));
    std::fs::remove_dir_all(&file).unwrap();
    until_true("it is written when it can be", PATIENCE, || file.is_file());
    let (_, said) = purge(&front, &urls[1]);
    assert!(!said["detail"].as_str().unwrap().contains("forgets"), "{said}");
    crate::support::process::signal(node.pid(), Signal::CONT);
}

/// Asks until the front answers from its own copy.
fn until_hot(front: &Cluster, url: &str) {
    let mut client = front.connect();
    until_true("the front has a copy", PATIENCE, || {
        client.get(url);
        front.metric("ringhold_front_hot_hits_total") > 0
    });
}

#[test]
fn the_copies_of_other_fronts_are_dropped_at_once() {
    if !wanted("ZooKeeper: purges and the copies of other fronts") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::alone();
    let start = |number| machine(&zookeeper.connect(), number).set("hot", "memory", HOT).start();
    let (a, mut b) = (start(2), start(3));
    until_ring(&[&a, &b], 2);
    let (origin, edition) = editions();
    let url = origin.url("/o/page");
    let listener = format!("{}-{}", b.proxy.ip(), b.proxy.port());
    for round in 0..5 {
        let text = (2 * round + 2).to_string();
        until_hot(&b, &url);
        edition.store(2 * round + 2, Ordering::SeqCst);
        let begun = Instant::now();
        let (status, said) = purge(&a, &url);
        assert_eq!(b.get(&url).text(), text);
        assert_eq!((status, said["fronts"][0].as_str()), (200, Some(listener.as_str())), "{said}");
        assert!(begun.elapsed() < Duration::from_millis(1500), "nobody had to wait: {:?}", begun.elapsed());
        until_hot(&b, &url);
        edition.store(2 * round + 3, Ordering::SeqCst);
        assert_eq!(a.ask("POST", &url, "", b"x").status, 200);
        assert_eq!(b.get(&url).text(), (2 * round + 3).to_string(), "after a POST through the other front");
    }
    // A front that cannot be told is named, when its copies have run out.
    b.signal(Signal::STOP);
    let begun = Instant::now();
    let (status, said) = purge(&a, &url);
    assert_eq!((status, missed(&said)), (202, vec![listener.as_str()]), "{said}");
    assert!(begun.elapsed() > Duration::from_secs(2));
    b.signal(Signal::CONT);
    until_true("it is told again", PATIENCE, || purge(&a, &url).0 == 200);
    // Who is dead is not waited for.
    b.terminate(Signal::KILL);
    until_true("its session ends", PATIENCE, || is_off(&a, "127.0.0.3-n1"));
    until_true("nobody else is there", SESSION + PATIENCE, || {
        let begun = Instant::now();
        purge(&a, &url).0 == 200 && begun.elapsed() < Duration::from_secs(1)
    });
}

/// Asks for so long, and says what came.
fn texts_for(front: &Cluster, url: &str, time: Duration) -> Vec<String> {
    let (mut client, begun) = (front.connect(), Instant::now());
    let mut texts = Vec::new();
    while begun.elapsed() < time {
        texts.push(client.get(url).text());
        std::thread::sleep(Duration::from_millis(2));
    }
    texts
}

#[test]
fn a_front_that_was_away_hears_of_what_changes_when_it_is_back_before_the_client_is_answered() {
    if !wanted("ZooKeeper: a front that was away") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::alone();
    let start = |number| {
        let machine = machine(&zookeeper.connect(), number).set("hot", "memory", HOT);
        machine.set("zookeeper", "session", "30s").start()
    };
    let (a, b) = (start(2), start(3));
    until_ring(&[&a, &b], 2);
    let (origin, edition) = editions();
    let (url, other) = (origin.url("/o/page"), origin.url("/o/other"));
    until_hot(&b, &url);
    // So short that all wait for it, and so long that none does any more.
    for (round, (away, back)) in [(1300, 350), (1300, 350), (3500, 0), (3500, 2500)].into_iter().enumerate() {
        texts_for(&b, &url, Duration::from_millis(50));
        b.signal(Signal::STOP);
        let stopped = Instant::now();
        assert_eq!(a.ask("POST", &other, "", b"x").status, 200);
        std::thread::sleep(Duration::from_millis(away).saturating_sub(stopped.elapsed()));
        if away > 3000 {
            let begun = Instant::now();
            assert_eq!(a.ask("POST", &other, "", b"x").status, 200);
            assert!(begun.elapsed() < Duration::from_millis(250), "waited {:?} for nobody", begun.elapsed());
        }
        b.signal(Signal::CONT);
        texts_for(&b, &url, Duration::from_millis(back));
        let new = (round + 2).to_string();
        edition.store(round + 2, Ordering::SeqCst);
        assert_eq!(a.ask("POST", &url, "", b"x").status, 200);
        let texts = texts_for(&b, &url, Duration::from_millis(700));
        let old = texts.iter().filter(|text| **text != new).count();
        assert_eq!(old, 0, "of {} answers after {away} ms away and {back} ms back", texts.len());
    }
}

#[test]
fn a_stranger_cannot_make_a_front_forget() {
    if !wanted("ZooKeeper: strangers and copies") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::alone();
    let a = machine(&zookeeper.connect(), 2).set("hot", "memory", HOT).start();
    let id = format!("{}-{}", a.proxy.ip(), a.proxy.port());
    let told = format!(r#"{{"to":"{id}","nonce":"{}","what":["http://h/"]}}"#, "00".repeat(16));
    for mac in ["null".to_owned(), format!("\"{}\"", "00".repeat(32))] {
        let body = format!(r#"{{"text":{},"mac":{mac}}}"#, serde_json::to_string(&told).unwrap());
        let mut connection = a.connect();
        let head = format!("POST /invalidate HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", a.proxy);
        connection.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).unwrap();
        assert_eq!(connection.response("POST").unwrap().status, 403, "{mac}");
    }
}
