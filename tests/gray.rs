//! A node that answers, but late: passed over by what it holds, never for its origin's slowness.
#![allow(clippy::disallowed_methods)]

mod support;
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::load::{Load, Running};
use support::objects::{edition, is_whole, objects, renew};
use support::relay::Relay;
use support::standalone::Standalone;
use support::*;

const NODES: [&str; 3] = ["r1", "r2", "r3"];

/// Three nodes at the other end of cables of their own, and a front here.
struct Cables {
    cluster: Cluster,
    relays: Vec<Relay>,
    _nodes: Vec<Standalone>,
}

impl Cables {
    fn lay() -> Cables {
        let nodes: Vec<Standalone> = NODES.iter().map(|id| Standalone::start(id, &Setup::default())).collect();
        let relays: Vec<Relay> = nodes.iter().map(|node| Relay::to(&node.address.to_string())).collect();
        let setup = Setup::default().nodes(0);
        let at = |setup: Setup, (id, relay): (&&str, &Relay)| setup.node_at(id, &relay.address.to_string());
        let cluster = NODES.iter().zip(&relays).fold(setup, at).start();
        until_true("all nodes are up", PATIENCE, || NODES.iter().all(|id| node(&cluster, id)["up"] == true));
        Cables { cluster, relays, _nodes: nodes }
    }
}

fn node(cluster: &Cluster, id: &str) -> serde_json::Value {
    cluster.manage("GET", &format!("/v1/nodes/{id}"), "").json()
}

fn is_slow(cluster: &Cluster, id: &str) -> bool {
    node(cluster, id)["slow"].as_bool().expect("it says whether it is slow")
}

/// The URLs that a node owns, all of them stored there.
fn stored(cluster: &Cluster, urls: &[String], id: &str) -> Vec<String> {
    let mut client = cluster.connect();
    let owned: Vec<String> = urls.iter().filter(|url| client.get(url).node() == id).cloned().collect();
    assert!(owned.len() > 20, "{id} owns {} URLs", owned.len());
    owned
}

fn load(cluster: &Cluster, urls: Vec<String>, check: support::load::Check) -> Running {
    Load { proxy: cluster.proxy, connections: 16, urls: Arc::new(urls), check }.start()
}

#[test]
fn a_node_that_is_slow_on_what_it_holds_is_passed_over_within_five_seconds_and_used_again_when_it_is_fast() {
    let _alone = alone();
    let ((origin, urls), cables) = (objects(300), Cables::lay());
    let cluster = &cables.cluster;
    let owned = stored(cluster, &urls, "r2");
    let running = load(cluster, urls.to_vec(), is_whole);
    running.until(300, Instant::now() + Duration::from_secs(1));
    assert!(!cluster.said().contains("node is slow"), "nobody is slow yet");

    let slow = Instant::now();
    cables.relays[1].delay(Duration::from_millis(300));
    until_true("it is passed over", PATIENCE, || is_slow(cluster, "r2"));
    let noticed = slow.elapsed();
    figure(&format!("a node whose answers come 300 ms late was passed over after {noticed:?}"));
    assert!(noticed < Duration::from_secs(5), "passed over after {noticed:?}");
    assert_eq!(node(cluster, "r2")["up"], true, "its probes are answered in time");

    let mut client = cluster.connect();
    let mut took: Vec<Duration> = owned.iter().map(|url| timed(|| client.get(url))).collect();
    took.sort();
    let typical = took[took.len() / 2];
    figure(&format!("requests for what it owns took {typical:?} then"));
    assert!(typical < Duration::from_millis(150), "requests for what it owns take {typical:?}");
    assert!(is_slow(cluster, "r2"), "it is tried, and found slow again");
    // Late is not missing.
    renew(&origin, &owned[0], 1);
    let purged = cluster.manage("DELETE", &format!("/v1/cache?url={}", owned[0]), "");
    assert_eq!(purged.status, 200, "{}", purged.text());
    assert_eq!(edition(&client.get(&owned[0])), 1);

    cables.relays[1].delay(Duration::ZERO);
    until_true("it is back", 3 * PATIENCE, || !is_slow(cluster, "r2"));
    until_true("it answers for what it owns", PATIENCE, || {
        let answer = client.get(&owned[0]);
        assert_eq!(edition(&answer), 1, "what was purged is never answered again: {}", answer.cache_status());
        answer.node() == "r2"
    });
    running.finish().assert_none_failed(300);
    assert_eq!(NODES.map(|id| is_slow(cluster, id)), [false; 3]);
}

/// Past the harness: these are the figures of a drill.
fn figure(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(format!("drill: {text}\n").as_bytes());
}

fn timed<T>(what: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    what();
    begun.elapsed()
}

/// A process that runs for a fifth of the time only, until this is dropped.
struct Stutter {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Stutter {
    fn of(pid: u32) -> Stutter {
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for (signal, millis) in [(Signal::STOP, 240), (Signal::CONT, 60)] {
                    process::signal(pid, signal);
                    thread::sleep(Duration::from_millis(millis));
                }
            }
        });
        Stutter { over, thread: Some(thread) }
    }
}

impl Drop for Stutter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn a_node_whose_process_stutters_is_passed_over_and_used_again_when_it_runs_smoothly() {
    let _alone = alone();
    let setup = Setup::default().set("timeouts", "slow_hit", "50ms");
    let ((_origin, urls), cluster) = (objects(300), setup.start());
    stored(&cluster, &urls, "n2");
    let (over, proxy) = (Arc::new(AtomicBool::new(false)), cluster.proxy);
    let answered = Arc::new(AtomicUsize::new(0));
    // People who read what they get: they ask at their own pace, not as soon as they have an answer.
    let readers = [0, 1, 2, 3, 4, 5, 6, 7].map(|reader| {
        let (over, answered, urls) = (over.clone(), answered.clone(), urls.clone());
        thread::spawn(move || {
            let mut client = Connection::to(proxy);
            for i in (0..).take_while(|_| !over.load(Ordering::Relaxed)) {
                let url = &urls[(reader * 37 + i * 31) % urls.len()];
                is_whole(url, &client.get(url)).unwrap();
                answered.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(15));
            }
        })
    });
    until_true("they have read for a while", PATIENCE, || answered.load(Ordering::Relaxed) >= 600);
    assert!(!is_slow(&cluster, "n2"));
    let stuttering = Instant::now();
    let stutter = Stutter::of(cluster.node("n2").pid);
    until_true("it is passed over", PATIENCE, || is_slow(&cluster, "n2"));
    let noticed = stuttering.elapsed();
    figure(&format!("a node that runs for a fifth of the time was passed over after {noticed:?}"));
    assert!(noticed < Duration::from_secs(5), "passed over after {noticed:?}");
    assert_eq!(node(&cluster, "n2")["up"], true, "its probes are answered in time");
    drop(stutter);
    until_true("it is back", 3 * PATIENCE, || !is_slow(&cluster, "n2"));
    over.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().expect("no request failed"));
}

#[test]
fn a_slow_origin_gets_no_node_passed_over() {
    let _alone = alone();
    let ((origin, urls), cluster) = (objects(150), Cluster::start());
    origin.on("/slow/*", |x| {
        std::thread::sleep(Duration::from_secs(2));
        x.reply(200, "Cache-Control: no-store\r\n", "late")
    });
    let owner = |url: &str| cluster.manage("GET", &format!("/v1/ring/owner?url={url}"), "").json()["owner"].clone();
    // One node alone waits for the slow origin, three times of four, and the others never: a comparison of all answers
    // would find it slow.
    let mut mixed = stored(&cluster, &urls, "n2");
    let others: Vec<String> = urls.iter().filter(|url| !mixed.contains(*url)).cloned().collect();
    let slow = (0..).map(|i| origin.url(&format!("/slow/{i}"))).filter(|url| owner(url) == "n2");
    mixed.extend(slow.take(3 * mixed.len()));
    let late = load(&cluster, mixed, |_, answer| (answer.status == 200).then_some(()).ok_or("status".to_owned()));
    let hits = load(&cluster, others, is_whole);
    late.until(50, Instant::now() + Duration::from_secs(6));
    assert!(["n1", "n2", "n3"].iter().all(|id| !is_slow(&cluster, id)));
    late.finish().assert_none_failed(50);
    hits.finish().assert_none_failed(300);
    assert!(origin.count("/slow/*") > 20);
    assert!(!cluster.said().contains("node is slow"), "{}", cluster.said());
}

#[test]
fn a_whole_machine_that_is_slow_gets_no_node_passed_over() {
    let _alone = alone();
    let ((_origin, urls), cables) = (objects(300), Cables::lay());
    let cluster = &cables.cluster;
    stored(cluster, &urls, "r2");
    cables.relays.iter().for_each(|relay| relay.delay(Duration::from_millis(300)));
    let running = load(cluster, urls.to_vec(), is_whole);
    running.until(100, Instant::now() + Duration::from_secs(4));
    running.finish().assert_none_failed(100);
    assert!(!cluster.said().contains("node is slow"), "{}", cluster.said());
}
