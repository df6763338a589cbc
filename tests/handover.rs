//! Warm hand-over: after a change of the ring a node asks who has had the key before it asks the origin.
#![allow(clippy::disallowed_methods)]

mod support;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::across::across;
use support::objects::objects;
use support::*;

/// URLs that are cached when the ring changes.
const URLS: usize = if RELEASE { 100_000 } else { 2_000 };
const CLIENTS: usize = 4;

/// Nodes that wait longer for each other than they do by default: whatever else this machine does meanwhile, a node that
/// is well has answered by then.
fn patient() -> Setup {
    Setup::default().set("timeouts", "peer", "5s")
}

/// Asks for each URL once; the nodes that answered, in the order of the URLs.
fn pass(cluster: &Cluster, urls: &[String]) -> Vec<String> {
    let ask = |urls: &[String]| {
        let mut client = cluster.connect();
        let node = |url: &String| {
            let answer = client.get(url);
            assert_eq!(answer.status, 200, "{url}: {}", answer.text());
            answer.node()
        };
        urls.iter().map(node).collect::<Vec<_>>()
    };
    let share = urls.len().div_ceil(CLIENTS);
    thread::scope(|scope| {
        let clients: Vec<_> = urls.chunks(share).map(|urls| scope.spawn(move || ask(urls))).collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client does not panic")).collect()
    })
}

fn add(cluster: &Cluster, id: &str) {
    let added = cluster.manage("POST", "/v1/nodes", &format!(r#"{{"id":"{id}","spawn":true}}"#));
    assert_eq!(added.status, 201, "{}", added.text());
}

fn set_state(cluster: &Cluster, id: &str, state: &str) {
    let changed = cluster.manage("PATCH", &format!("/v1/nodes/{id}"), &format!(r#"{{"state":"{state}"}}"#));
    assert_eq!(changed.status, 200, "{}", changed.text());
}

fn owner(cluster: &Cluster, url: &str) -> String {
    let answer = cluster.manage("GET", &format!("/v1/ring/owner?url={url}"), "").json();
    answer["owner"].as_str().unwrap_or_else(|| panic!("no owner in {answer}")).to_owned()
}

fn purge(cluster: &Cluster, url: &str) -> u16 {
    cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status
}

/// An origin whose pages say which edition they are of.
fn editions(count: usize) -> (Origin, Vec<String>, Arc<AtomicUsize>) {
    let (origin, edition) = (Origin::start(), Arc::new(AtomicUsize::new(1)));
    let current = edition.clone();
    origin.on("/o/*", move |x| {
        let edition = current.load(Ordering::SeqCst);
        x.reply(200, "Cache-Control: max-age=3600\r\n", edition.to_string())
    });
    let urls = (0..count).map(|i| origin.url(&format!("/o/{i}"))).collect();
    (origin, urls, edition)
}

/// Those of the URLs that are `node`'s now.
fn owned<'a>(cluster: &Cluster, urls: &'a [String], node: &str) -> Vec<&'a String> {
    let owned: Vec<_> = urls.iter().filter(|url| owner(cluster, url) == node).collect();
    assert!(owned.len() > 4, "{node} has {} of {} URLs", owned.len(), urls.len());
    owned
}

#[test]
fn after_a_join_and_a_drain_the_origin_is_hardly_asked_again() {
    let _alone = alone();
    let ((origin, urls), cluster) =
        (objects(URLS), (if RELEASE { Setup::default() } else { patient() }).nodes(4).start());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    origin.on("/o/*", move |x| {
        count.fetch_add(1, Ordering::SeqCst);
        x.reply(200, "Cache-Control: max-age=3600\r\n", "x".repeat(1024))
    });
    let asked = || asked.load(Ordering::SeqCst);
    let mut before = pass(&cluster, &urls);
    assert_eq!(asked(), URLS);
    let changes: [(&str, fn(&Cluster)); 3] = [
        ("a join", |cluster| add(cluster, "n5")),
        ("a drain", |cluster| set_state(cluster, "n1", "draining")),
        ("a return", |cluster| set_state(cluster, "n1", "active")),
    ];
    for (name, change) in changes {
        let (had, handed) = (asked(), cluster.node_total("peer_hits"));
        // Under load: everything was a hit before.
        let seen = across(&[cluster.proxy], &urls, asked, || change(&cluster));
        let after = pass(&cluster, &urls);
        let moved = before.iter().zip(&after).filter(|(was, is)| was != is).count();
        let (again, handed) = (asked() - had, cluster.node_total("peer_hits") - handed);
        let (requests, lowest) = (seen.requests(), 100.0 * seen.lowest());
        eprintln!(
            "{name}: {moved} of {URLS} URLs moved, {handed} handed over, {again} asked for again; {requests:?} requests \
             before, while and after, hit ratio at least {lowest:.2} % in each of {} windows",
            seen.windows.len()
        );
        assert!((URLS / 8..URLS / 3).contains(&moved), "{name}: {moved} moved");
        assert!(again * 50 <= moved, "{name}: {again} of {moved} moved URLs were asked for again");
        assert!(lowest >= 98.0, "{name}: the hit ratio fell to {lowest:.2} %: {:#?}", seen.windows);
        // What comes back has most of it still.
        assert!(name == "a return" || handed as usize >= moved - again, "{name}: {handed} of {moved} were handed over");
        // What has been handed over is there to stay.
        pass(&cluster, &urls);
        assert_eq!(asked() - had, again, "{name}");
        before = after;
    }
}

#[test]
fn the_answer_says_which_node_it_was_handed_over_from() {
    let _alone = alone();
    let ((origin, urls), cluster) = (objects(200), patient().start());
    origin.on("/o/*", |x| {
        x.reply(200, "Cache-Control: max-age=3600\r\nETag: \"a\"\r\nAge: 100\r\nCache-Status: cdn; hit\r\n", "x")
    });
    let before = pass(&cluster, &urls);
    add(&cluster, "n4");
    let moved = urls.iter().zip(&before).find(|(url, _)| owner(&cluster, url) == "n4");
    let (url, previous) = moved.expect("n4 owns something");
    let answer = cluster.get(url);
    let detail = format!("detail=\"PEER-{previous}\"");
    assert_eq!(answer.cache_status(), format!("n4; fwd=uri-miss; stored; {detail}"));
    assert_eq!(answer.head.members("cache-status").len(), 2, "the origin's and n4's: {:?}", answer.head);
    let age = |answer: &Response| answer.get("age").unwrap().parse::<u64>().unwrap();
    assert!((100..110).contains(&age(&answer)), "{:?}", answer.head);
    assert_eq!(answer.get("etag").as_deref(), Some("\"a\""));
    let again = cluster.get(url);
    assert!(again.is_hit() && again.node() == "n4" && age(&again) >= 100, "{:?}", again.head);
    assert_eq!(again.head.members("cache-status").len(), 2, "{:?}", again.head);
    assert_eq!(origin.count("/o/*"), urls.len());
    assert_eq!(cluster.get(url).get("date"), answer.get("date"), "dated by the origin");
}

#[test]
fn switched_off_the_new_owner_asks_the_origin() {
    let _alone = alone();
    let (origin, urls) = objects(200);
    let cluster = Setup::default().set("ring", "handover", "0s").start();
    pass(&cluster, &urls);
    add(&cluster, "n4");
    let moved = owned(&cluster, &urls, "n4").len();
    pass(&cluster, &urls);
    assert_eq!((origin.count("/o/*"), cluster.node_total("peer_asks")), (urls.len() + moved, 0));
}

#[test]
fn a_hand_over_ends_with_its_time() {
    let _alone = alone();
    let (origin, urls) = objects(200);
    let cluster = Setup::default().set("ring", "handover", "300ms").start();
    pass(&cluster, &urls);
    let begun = Instant::now();
    add(&cluster, "n4");
    // Time that passes is what is tested here: there is no event for it but that nobody asks any more.
    let moved = owned(&cluster, &urls, "n4");
    until_true("the hand-over is over", PATIENCE, || begun.elapsed() > Duration::from_secs(1));
    let before = cluster.node_total("peer_asks");
    assert!(!cluster.get(moved[0]).is_hit());
    assert_eq!(cluster.node_total("peer_asks"), before);
    assert_eq!(origin.count("/o/*"), urls.len() + 1);
}

#[test]
fn requests_that_ask_for_more_than_what_is_stored_go_to_the_origin() {
    let _alone = alone();
    let ((origin, urls), cluster) = (objects(400), Cluster::start());
    pass(&cluster, &urls);
    add(&cluster, "n4");
    let moved = owned(&cluster, &urls, "n4");
    let fields =
        ["Cache-Control: no-cache\r\n", "Cache-Control: max-age=0\r\n", "Pragma: no-cache\r\n", "Range: bytes=0-9\r\n"];
    for (fields, url) in fields.iter().chain(&["Authorization: Basic eA==\r\n", "If-None-Match: \"x\"\r\n"]).zip(moved)
    {
        let before = origin.count("/o/*");
        let answer = cluster.ask("GET", url, fields, b"");
        assert_eq!((answer.node().as_str(), origin.count("/o/*")), ("n4", before + 1), "{fields}: {:?}", answer.head);
    }
    assert_eq!(cluster.node_total("peer_asks"), 0);
}

#[test]
fn the_new_owner_reads_along_with_the_fetch_of_the_owner_before() {
    let _alone = alone();
    let (origin, cluster) = (Origin::start(), patient().start());
    let gate = Gate::default();
    let held = gate.clone();
    origin.on("/slow/*", move |x| held.wait().and_then(|()| x.reply(200, "Cache-Control: max-age=600\r\n", "slow")));
    let urls: Vec<String> = (0..100).map(|i| origin.url(&format!("/slow/{i}"))).collect();
    let get = |url: &str| {
        let (proxy, url) = (cluster.proxy, url.to_owned());
        thread::spawn(move || Connection::to(proxy).get(&url))
    };
    let first: Vec<_> = urls.iter().map(|url| get(url)).collect();
    origin.until_asked("/slow/*", urls.len());
    add(&cluster, "n4");
    let moved = owned(&cluster, &urls, "n4");
    let begun = Instant::now();
    let second: Vec<_> = moved.iter().map(|url| get(url)).collect();
    // Longer than `timeouts.peer`, and than the time between two signs: the node that is asked says that it waits too.
    until_true("the questions are under way for a second", PATIENCE, || {
        cluster.node_total("peer_asks") as usize == moved.len() && begun.elapsed() > Duration::from_secs(1)
    });
    gate.open();
    for answer in first.into_iter().chain(second) {
        assert_eq!(answer.join().unwrap().text(), "slow");
    }
    assert_eq!(origin.count("/slow/*"), urls.len(), "one fetch for both nodes");
    assert_eq!(cluster.node_total("peer_hits") as usize, moved.len());
}

#[test]
fn what_was_purged_in_a_hand_over_is_never_served_again() {
    let _alone = alone();
    let ((_origin, urls, edition), cluster) = (editions(400), patient().start());
    pass(&cluster, &urls);
    add(&cluster, "n4");
    let moved = owned(&cluster, &urls, "n4");
    let (unasked, asked) = moved.split_at(moved.len() / 2);
    asked.iter().for_each(|url| assert_eq!(cluster.get(url).text(), "1"));
    assert!(cluster.node_total("peer_hits") as usize >= asked.len());
    edition.store(2, Ordering::SeqCst);
    for url in &moved {
        assert_eq!(purge(&cluster, url), 200, "{url}");
        assert_eq!(cluster.get(url).text(), "2", "{url}, which n4 had: {}", asked.contains(url));
    }
    // The owners of before have forgotten it too: they are the owners again when n4 drains.
    set_state(&cluster, "n4", "draining");
    unasked.iter().chain(asked).for_each(|url| assert_eq!(cluster.get(url).text(), "2", "{url}"));
}

#[test]
fn a_purge_races_with_questions_to_the_owner_before_and_wins() {
    let _alone = alone();
    let ((_origin, urls, edition), cluster) = (editions(400), Cluster::start());
    pass(&cluster, &urls);
    add(&cluster, "n4");
    let moved = owned(&cluster, &urls, "n4");
    for (round, url) in moved.into_iter().take(40).enumerate() {
        edition.store(round + 2, Ordering::SeqCst);
        let asked = thread::scope(|scope| {
            let ask = || {
                let mut client = cluster.connect();
                (0..10).map(|_| client.get(url).text()).collect::<BTreeSet<_>>()
            };
            let clients: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
            assert_eq!(purge(&cluster, url), 200);
            let after = cluster.get(url);
            assert_eq!(after.text(), (round + 2).to_string(), "{url} after the purge: {}", after.cache_status());
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<BTreeSet<_>>()
        });
        assert!(asked.iter().all(|text| text == "1" || *text == (round + 2).to_string()), "{asked:?}");
        assert_eq!(cluster.get(url).text(), (round + 2).to_string(), "{url} when all is quiet");
    }
}

#[test]
fn what_a_post_made_invalid_is_not_handed_over_by_a_node_that_drains() {
    let _alone = alone();
    let ((_origin, urls, edition), cluster) = (editions(60), Setup::default().nodes(2).start());
    pass(&cluster, &urls);
    let drained = owned(&cluster, &urls, "n1");
    set_state(&cluster, "n1", "draining");
    edition.store(2, Ordering::SeqCst);
    for url in &drained {
        assert_eq!(cluster.ask("POST", url, "", b"x").status, 200);
        assert_eq!(cluster.get(url).text(), "2", "{url}");
    }
    set_state(&cluster, "n1", "active");
    for url in &drained {
        assert_eq!(cluster.get(url).text(), "2", "{url}, on the node that has come back");
    }
}

#[test]
fn an_owner_before_that_is_silent_costs_moments_and_no_request() {
    let _alone = alone();
    let ((origin, urls, _), cluster) = (editions(400), Cluster::start());
    let before = pass(&cluster, &urls);
    add(&cluster, "n4");
    let stopped = |(url, was): &(&String, &String)| *was == "n2" && owner(&cluster, url) == "n4";
    let moved: Vec<_> = urls.iter().zip(&before).filter(stopped).map(|(url, _)| url).take(5).collect();
    assert_eq!(moved.len(), 5);
    cluster.signal_node("n2", Signal::STOP);
    let begun = Instant::now();
    for url in &moved {
        let answer = cluster.get(url);
        assert_eq!((answer.status, answer.text().as_str()), (200, "1"));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(origin.count("/o/*"), urls.len() + moved.len());
    cluster.signal_node("n2", Signal::CONT);
}

#[test]
fn what_was_purged_while_the_owner_before_was_stopped_is_never_served_again() {
    let _alone = alone();
    let ((_origin, urls, edition), cluster) = (editions(400), Cluster::start());
    let before = pass(&cluster, &urls);
    add(&cluster, "n4");
    let from_n2 = |(url, was): &(&String, &String)| *was == "n2" && owner(&cluster, url) == "n4";
    let moved: Vec<_> = urls.iter().zip(&before).filter(from_n2).map(|(url, _)| url).take(8).collect();
    assert!(moved.len() >= 4, "{}", moved.len());
    cluster.signal_node("n2", Signal::STOP);
    edition.store(2, Ordering::SeqCst);
    // At first it is thought to be alive and is waited for.
    for url in &moved {
        assert_eq!(purge(&cluster, url), 202, "n2 has not done it");
    }
    cluster.signal_node("n2", Signal::CONT);
    let up = || cluster.manage("GET", "/v1/nodes/n2", "").json()["up"] == true;
    let check = |url: &String| assert_eq!(cluster.get(url).text(), "2", "{url}");
    until_true("n2 is back", PATIENCE, || {
        check(moved[0]);
        up()
    });
    moved.iter().for_each(|url| check(url));
    // Also when it is asked as the owner that it was.
    set_state(&cluster, "n4", "draining");
    moved.iter().for_each(|url| check(url));
}

#[test]
fn a_node_that_was_stopped_asks_who_stood_in_for_it_before_it_validates() {
    let _alone = alone();
    let ((origin, urls, _), cluster) = (editions(120), patient().start());
    let before = pass(&cluster, &urls);
    let own: Vec<_> = urls.iter().zip(&before).filter(|(_, node)| *node == "n2").map(|(url, _)| url.clone()).collect();
    assert!(own.len() > 10);
    cluster.signal_node("n2", Signal::STOP);
    until_true("others stand in", PATIENCE, || cluster.get(&own[0]).node() != "n2");
    assert!(pass(&cluster, &own).iter().all(|node| node != "n2"));
    let had = origin.count("/o/*");
    assert_eq!(had, urls.len() + own.len());
    cluster.signal_node("n2", Signal::CONT);
    until_true("n2 is back", PATIENCE, || cluster.get(&own[0]).node() == "n2");
    assert!(pass(&cluster, &own).iter().all(|node| node == "n2"));
    assert_eq!(origin.count("/o/*"), had, "its stand-ins had it all");
    assert!(own.iter().all(|url| cluster.get(url).is_hit()), "and now it holds that for good");
}

#[test]
fn a_node_that_was_restarted_asks_who_stood_in_for_it() {
    let _alone = alone();
    let ((origin, urls, edition), cluster) = (editions(120), patient().start());
    let before = pass(&cluster, &urls);
    let lost: Vec<_> = urls.iter().zip(&before).filter(|(_, node)| *node == "n2").map(|(url, _)| url.clone()).collect();
    assert!(lost.len() > 10);
    let old = cluster.node("n2").pid;
    cluster.signal_node("n2", Signal::STOP);
    until_true("others stand in", PATIENCE, || cluster.get(&lost[0]).node() != "n2");
    assert!(pass(&cluster, &lost).iter().all(|node| node != "n2"));
    let had = origin.count("/o/*");
    cluster.signal_node("n2", Signal::KILL);
    until_true("n2 runs again", PATIENCE, || cluster.nodes().iter().any(|n| n.id == "n2" && n.pid != old));
    until_true("and answers", PATIENCE, || cluster.get(&lost[0]).node() == "n2");
    assert!(pass(&cluster, &lost).iter().all(|node| node == "n2"));
    assert_eq!(origin.count("/o/*"), had, "its stand-ins had it all");
    edition.store(2, Ordering::SeqCst);
    for url in &lost {
        assert_eq!(purge(&cluster, url), 200);
        assert_eq!(cluster.get(url).text(), "2");
    }
}

#[test]
fn what_was_purged_while_a_node_was_restarted_is_never_served_again() {
    let _alone = alone();
    let ((_origin, urls, edition), cluster) = (editions(120), patient().start());
    pass(&cluster, &urls);
    let own = owned(&cluster, &urls, "n2");
    let old = cluster.node("n2").pid;
    // Its stand-ins hold it then, and it asks them when it is back.
    cluster.signal_node("n2", Signal::STOP);
    until_true("others stand in", PATIENCE, || cluster.get(own[0]).node() != "n2");
    own.iter().for_each(|url| assert_eq!(cluster.get(url).text(), "1"));
    cluster.signal_node("n2", Signal::KILL);
    edition.store(2, Ordering::SeqCst);
    for url in &own {
        assert!([200, 202].contains(&purge(&cluster, url)), "{url}");
        assert_eq!(cluster.get(url).text(), "2", "{url}");
    }
    until_true("n2 runs again", PATIENCE, || cluster.nodes().iter().any(|n| n.id == "n2" && n.pid != old));
    until_true("and answers", PATIENCE, || cluster.get(own[0]).node() == "n2");
    own.iter().for_each(|url| assert_eq!(cluster.get(url).text(), "2", "{url}"));
}

#[test]
fn a_large_body_is_handed_over_whole_and_streamed() {
    let _alone = alone();
    let (origin, cluster) = (Origin::start(), patient().start());
    let body: Arc<Vec<u8>> = Arc::new((0..1_200_000u32).map(|i| (i % 251) as u8).collect());
    let sent = body.clone();
    origin.on("/big/*", move |x| x.reply(200, "Cache-Control: max-age=600\r\n", &*sent));
    let urls: Vec<String> = (0..60).map(|i| origin.url(&format!("/big/{i}"))).collect();
    let right = |answer: &Response| assert!(answer.body == *body, "{} bytes: {:?}", answer.body.len(), answer.head);
    urls.iter().for_each(|url| right(&cluster.get(url)));
    add(&cluster, "n4");
    let moved: Vec<_> = urls.iter().filter(|url| owner(&cluster, url) == "n4").collect();
    assert!(!moved.is_empty());
    for url in &moved {
        // Two at once: one is fed by the owner of before, the other reads along.
        thread::scope(|scope| {
            let readers = [(); 2].map(|()| scope.spawn(|| cluster.get(url)));
            readers.into_iter().for_each(|reader| right(&reader.join().unwrap()));
        });
        let again = cluster.get(url);
        right(&again);
        assert!(again.is_hit() && again.node() == "n4", "{}", again.cache_status());
    }
    assert_eq!(origin.count("/big/*"), urls.len());
}

#[test]
fn what_a_node_holds_that_is_drained_or_removed_is_handed_over_though_nobody_asks() {
    let _alone = alone();
    let setup = patient().set("cluster", "secret", "the-secret-of-this-cluster");
    let by_hand = standalone::Standalone::start("r1", &setup);
    let cluster = setup.node_at("r1", &by_hand.address.to_string()).start();
    until_true("all are up", PATIENCE, || cluster.metric("ringhold_node_up") == 4);
    let (origin, urls) = objects(200);
    pass(&cluster, &urls);
    let said = |id: &str| cluster.said().lines().any(|line| line.contains("handed over") && line.contains(id));
    set_state(&cluster, "n1", "draining");
    until_true("n1 has handed over what it holds", PATIENCE, || said("n1"));
    let drained = cluster.node("n1").pid;
    cluster.signal_node("n1", Signal::KILL);
    until_true("nothing of it is left", PATIENCE, || cluster.node("n1").pid != drained);
    pass(&cluster, &urls);
    assert_eq!(origin.count("/o/*"), urls.len(), "{}", cluster.said());
    for id in ["n2", "r1"] {
        assert_eq!(cluster.manage("DELETE", &format!("/v1/nodes/{id}"), "").status / 100, 2);
        until_true("it is gone", PATIENCE, || cluster.manage("GET", &format!("/v1/nodes/{id}"), "").status == 404);
    }
    drop(by_hand);
    pass(&cluster, &urls);
    assert_eq!(origin.count("/o/*"), urls.len(), "{}", cluster.said());
}
