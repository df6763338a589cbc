//! Pages do not go back in time when their owner changes: it is drained and comes back, gets another weight, is slow for a while,
//! dies; while they are reloaded, and several nodes answer.

use crate::support::standalone::Standalone;
use crate::support::*;
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const WATCHING: usize = 4;
/// By less a node may take another's answer for its own (docs/link.md, One owner): messages are late.
const LATE: Duration = Duration::from_millis(150);

/// Clients that ask for pages again and again, each of which is a number that grows.
struct Watch<'a> {
    cluster: &'a Cluster,
    urls: &'a [String],
    /// Between two requests of a client.
    pause: Duration,
    /// Which versions of each page are answered, while that is looked at.
    seen: Mutex<Option<BTreeMap<usize, BTreeSet<usize>>>>,
    answers: AtomicUsize,
    over: AtomicBool,
}

/// A page that was older than one before it: which, what came after what, by whom.
type Older = (usize, usize, usize, String);

impl Watch<'_> {
    fn one(&self) -> (Vec<Older>, BTreeSet<String>) {
        let (mut client, mut newest, mut nodes) = (self.cluster.connect(), BTreeMap::new(), BTreeSet::new());
        let mut older = Vec::new();
        while !self.over.load(SeqCst) {
            for (page, url) in self.urls.iter().enumerate() {
                let answer = client.get(url);
                assert_eq!(answer.status, 200, "{}", answer.text());
                let version: usize = answer.text().trim_end().parse().unwrap();
                let seen = newest.entry(page).or_insert(version);
                if version < *seen {
                    older.push((page, version, *seen, answer.cache_status()));
                }
                *seen = version.max(*seen);
                nodes.insert(answer.node());
                if let Some(seen) = &mut *self.seen.lock().unwrap() {
                    seen.entry(page).or_default().insert(version);
                }
                self.answers.fetch_add(1, SeqCst);
                std::thread::sleep(self.pause);
            }
        }
        (older, nodes)
    }

    /// When all is quiet, whoever answers answers alike.
    fn agree(&self) {
        std::thread::sleep(LATE);
        self.more(20 * self.urls.len());
        *self.seen.lock().unwrap() = Some(BTreeMap::new());
        self.more(40 * self.urls.len());
        let seen = self.seen.lock().unwrap().take().unwrap();
        assert!(seen.len() == self.urls.len() && seen.values().all(|versions| versions.len() == 1), "{seen:?}");
    }

    /// Until so many more have been answered.
    fn more(&self, answers: usize) {
        let until = self.answers.load(SeqCst) + answers;
        until_true("clients are answered", PATIENCE, || self.answers.load(SeqCst) >= until);
    }
}

/// Nobody watches any more, also where something failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Has clients watch some pages of this size, each fetch of which is another version, while something happens; by whom they were
/// answered. None of them sees an older version after a newer one.
fn watched(setup: Setup, pages: usize, size: usize, happens: impl FnOnce(&Watch<'_>)) -> BTreeSet<String> {
    watched_at(Duration::ZERO, Ordered::Yes, setup, pages, size, happens)
}

/// Whether what each client sees is to be in order.
#[derive(PartialEq)]
enum Ordered {
    Yes,
    No,
}

/// The same at their own pace.
fn watched_at(
    pause: Duration,
    ordered: Ordered,
    setup: Setup,
    pages: usize,
    size: usize,
    happens: impl FnOnce(&Watch<'_>),
) -> BTreeSet<String> {
    let (origin, cluster) = (Origin::start(), setup.start());
    let next = AtomicUsize::new(1);
    origin.on("/page/*", move |x| {
        let text = next.fetch_add(1, SeqCst).to_string();
        x.reply(200, "Cache-Control: max-age=600, stale-while-revalidate=60\r\n", format!("{text:<size$}"))
    });
    let urls: Vec<String> = (0..pages).map(|n| origin.url(&format!("/page/{n}"))).collect();
    let watch = Watch {
        cluster: &cluster,
        urls: &urls,
        pause,
        seen: Mutex::default(),
        answers: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    };
    std::thread::scope(|all| {
        let watching: Vec<_> = (0..WATCHING).map(|_| all.spawn(|| watch.one())).collect();
        let over = Over(&watch.over);
        watch.more(50 * pages);
        happens(&watch);
        watch.more(50 * pages);
        drop(over);
        let (mut older, mut nodes) = (Vec::new(), BTreeSet::new());
        for seen in watching.into_iter().map(|one| one.join().unwrap()) {
            older.extend(seen.0);
            nodes.extend(seen.1);
        }
        let (answers, first) = (watch.answers.load(SeqCst), older.iter().take(5).collect::<Vec<_>>());
        println!("{answers} answers by {nodes:?}");
        let is_in_order = ordered == Ordered::No || older.is_empty();
        assert!(is_in_order, "of {answers} answers were older than the one before: {first:?}; by {nodes:?}");
        nodes
    })
}

fn reload(watch: &Watch<'_>) {
    for url in watch.urls {
        assert_eq!(watch.cluster.ask("GET", url, "Cache-Control: no-cache\r\n", b"").status, 200);
    }
    watch.more(20 * watch.urls.len());
}

fn change(watch: &Watch<'_>, id: &str, what: &str) {
    let changed = watch.cluster.manage("PATCH", &format!("/v1/nodes/{id}"), what);
    assert_eq!(changed.status, 200, "{}", changed.text());
    std::thread::sleep(LATE);
    watch.more(20 * watch.urls.len());
}

/// All nodes are asked for all of it.
fn spread() -> Setup {
    Setup::default().unhurried().set("timeouts", "peer", "5s").set("ring", "load_factor", 1.05)
}

#[test]
fn a_page_does_not_go_back_when_its_owner_is_drained_and_comes_back() {
    let _alone = alone();
    for (name, setup) in [("by one owner", Setup::default().unhurried()), ("by all", spread())] {
        println!("{name}");
        watched(setup, 6, 1, |watch| {
            for id in ["n1", "n2", "n3"] {
                reload(watch);
                change(watch, id, r#"{"state":"draining"}"#);
                reload(watch);
                change(watch, id, r#"{"state":"active"}"#);
            }
        });
    }
}

/// What it was asked for before counts from then, although it arrives after.
#[test]
fn nor_when_what_its_owner_asked_for_before_arrives_after_it_is_back() {
    let _alone = alone();
    let (origin, gate) = (Origin::start(), Gate::default());
    let cluster = Setup::default().unhurried().set("timeouts", "peer", "300ms").start();
    let (next, held) = (AtomicUsize::new(1), gate.clone());
    origin.on("/page", move |x| {
        let text = next.fetch_add(1, SeqCst).to_string();
        if text == "1" {
            held.wait()?;
        }
        x.reply(200, "Cache-Control: max-age=600\r\n", text)
    });
    let url = origin.url("/page");
    std::thread::scope(|all| {
        let first = all.spawn(|| cluster.get(&url));
        origin.until_asked("/page", 1);
        let owner = cluster.manage("GET", &format!("/v1/ring/owner?url={url}"), "").json()["owner"].clone();
        let owner = owner.as_str().expect("somebody owns it");
        let set = |state: &str| {
            let changed = cluster.manage("PATCH", &format!("/v1/nodes/{owner}"), &format!(r#"{{"state":"{state}"}}"#));
            assert_eq!(changed.status, 200, "{}", changed.text());
        };
        set("draining");
        assert_eq!(cluster.get(&url).text(), "2", "another has asked for it");
        set("active");
        std::thread::sleep(LATE);
        gate.open();
        assert_eq!(first.join().unwrap().text(), "1");
        until_true("the owner is asked again", PATIENCE, || {
            let answer = cluster.get(&url);
            assert_ne!(answer.text(), "1", "by {}", answer.node());
            answer.node() == owner
        });
    });
}

#[test]
fn nor_when_its_owner_gets_another_weight_and_then_its_own_again() {
    let _alone = alone();
    watched(spread(), 12, 1, |watch| {
        for id in ["n1", "n2"] {
            for weight in [1000, 100, 1, 100] {
                reload(watch);
                change(watch, id, &format!(r#"{{"weight":{weight}}}"#));
            }
        }
    });
}

/// What is on its way at the moment of its death or return may come in any order; what is answered when that is over is one version.
#[test]
fn who_answers_for_an_owner_that_dies_and_comes_back_empty_answers_alike() {
    let _alone = alone();
    let setup = spread().set("timeouts", "probe_interval", "100ms");
    watched_at(Duration::ZERO, Ordered::No, setup, 6, 1, |watch| {
        for id in ["n1", "n2", "n3", "n1"] {
            reload(watch);
            let pid = watch.cluster.node(id).pid;
            watch.cluster.signal_node(id, Signal::KILL);
            watch.more(20 * watch.urls.len());
            reload(watch);
            let is_up = || watch.cluster.manage("GET", &format!("/v1/nodes/{id}"), "").json()["up"] == true;
            let is_back = || watch.cluster.nodes().iter().any(|node| node.id == id && node.pid != pid) && is_up();
            until_true("it is back", PATIENCE, is_back);
            watch.agree();
        }
    });
}

/// Passed over by what it holds, tried, and put back; now and then.
#[test]
fn nor_when_its_owner_is_slow_for_a_while() {
    let _alone = alone();
    let setup = Setup::default().set("timeouts", "peer", "5s").set("timeouts", "probe", "10s");
    watched_at(Duration::from_millis(5), Ordered::Yes, setup, 30, 1, |watch| {
        let cluster = watch.cluster;
        let is_slow = || cluster.manage("GET", "/v1/nodes/n2", "").json()["slow"].as_bool().unwrap();
        let passed_over = AtomicBool::new(false);
        std::thread::scope(|all| {
            let over = Over(&passed_over);
            all.spawn(|| {
                let by_fits = |pause: u64, run: u64| {
                    cluster.signal_node("n2", Signal::STOP);
                    std::thread::sleep(Duration::from_millis(pause));
                    cluster.signal_node("n2", Signal::CONT);
                    std::thread::sleep(Duration::from_millis(run));
                };
                while !passed_over.load(SeqCst) {
                    by_fits(200, 20);
                }
            });
            until_true("it is passed over", PATIENCE, is_slow);
            drop(over);
        });
        reload(watch);
        until_true("it is back", 3 * PATIENCE, || !is_slow());
        reload(watch);
    });
}

/// Also who only stands by, and of pages that are still coming when their heads go out.
/// The node that lends knows of whom another front asks.
#[test]
fn nor_for_who_comes_by_another_front_that_asks_two_nodes() {
    let _alone = alone();
    const PAGES: usize = 8;
    let (origin, next) = (Origin::start(), AtomicUsize::new(1));
    origin
        .on("/page/*", move |x| x.reply(200, "Cache-Control: max-age=600\r\n", next.fetch_add(1, SeqCst).to_string()));
    let setup = spread().nodes(0).set("cluster", "secret", "the-secret-of-this-cluster").set("hot", "memory", "0");
    let nodes: Vec<_> = ["r1", "r2", "r3"].map(|id| (id, Standalone::start(id, &setup))).into();
    let at = |setup: Setup, (id, node): &(&str, Standalone)| setup.node_at(id, &node.address.to_string());
    let setup = nodes.iter().fold(setup, at);
    let (one, other) = (setup.clone().set("ring", "load_factor", 0.0).start(), setup.start());
    for front in [&one, &other] {
        until_true("all are up", PATIENCE, || front.metric("ringhold_node_up") == 3);
    }
    let urls: Vec<String> = (0..PAGES).map(|n| origin.url(&format!("/page/{n}"))).collect();
    let newest = |url: &str| one.ask("GET", url, "Cache-Control: no-cache\r\n", b"").text().parse::<usize>().unwrap();
    let crowd = |expected: &[usize]| {
        let seen = Mutex::new(vec![BTreeSet::new(); PAGES]);
        std::thread::scope(|all| {
            (0..8).for_each(|_| drop(all.spawn(|| by_the_other(&other, &urls, expected, &seen))));
        });
        seen.into_inner().unwrap()
    };
    let mut by_two = 0;
    for _ in 0..5 {
        let versions: Vec<usize> = urls.iter().map(|url| newest(url)).collect();
        let seen = crowd(&versions);
        by_two += seen.iter().filter(|nodes| nodes.len() > 1).count();
    }
    assert!(by_two >= PAGES, "the other front asked two nodes for {by_two} pages only");
}

/// Each page is at least so new.
fn by_the_other(front: &Cluster, urls: &[String], expected: &[usize], seen: &Mutex<Vec<BTreeSet<String>>>) {
    for _ in 0..10 {
        for (n, url) in urls.iter().enumerate() {
            let answer = front.get(url);
            let version: usize = answer.text().parse().unwrap();
            assert!(version >= expected[n], "{version} by {} after {}", answer.node(), expected[n]);
            seen.lock().unwrap()[n].insert(answer.node());
        }
    }
}

#[test]
fn nor_for_anybody_while_it_is_reloaded() {
    let _alone = alone();
    for size in [1, 60_000] {
        let setup = Setup::default().unhurried().set("timeouts", "peer", "5s").set("proxy", "workers", 2);
        let nodes = watched(setup, 1, size, |watch| {
            let detours = || watch.cluster.metric("ringhold_front_detours_total");
            until_true("it has two owners", PATIENCE, || detours() > 200);
            (0..200).for_each(|_| reload(watch));
        });
        assert_eq!(nodes.len(), 2, "{nodes:?}");
    }
}
