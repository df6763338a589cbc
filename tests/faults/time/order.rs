//! Pages do not go back in time, and who is told of a change does not wait for who does not answer.

use crate::support::*;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const CLIENTS: usize = 5;
const WATCHED: Duration = Duration::from_secs(5);

/// What one client saw: how often a page was older than the one before, and who answered how often.
#[derive(Default)]
struct Seen {
    answers: usize,
    older: usize,
    nodes: BTreeMap<String, usize>,
}

fn watch(cluster: &Cluster, url: &str) -> Seen {
    let (mut client, mut seen, mut newest) = (cluster.connect(), Seen::default(), 0);
    let end = Instant::now() + WATCHED;
    while Instant::now() < end {
        let answer = client.get(url);
        let version: usize = answer.text().parse().unwrap();
        seen.answers += 1;
        seen.older += usize::from(version < newest);
        newest = newest.max(version);
        *seen.nodes.entry(answer.node()).or_default() += 1;
    }
    seen
}

/// Five clients of one page that is fresh for a second; what all saw, and how often the origin was asked.
fn five_clients(setup: Setup, fields: &'static str) -> (Seen, usize) {
    let _alone = alone();
    let setup = if RELEASE { setup } else { setup.set("timeouts", "peer", "2s") };
    let (origin, cluster) = (Origin::start(), setup.start());
    let version = AtomicUsize::new(1);
    origin.on("/page", move |x| x.reply(200, fields, version.fetch_add(1, SeqCst).to_string()));
    let url = &origin.url("/page");
    let mut all = Seen::default();
    std::thread::scope(|clients| {
        let running: Vec<_> = (0..CLIENTS).map(|_| clients.spawn(|| watch(&cluster, url))).collect();
        for client in running {
            let seen = client.join().unwrap();
            all.answers += seen.answers;
            all.older += seen.older;
            seen.nodes.into_iter().for_each(|(node, n)| *all.nodes.entry(node).or_default() += n);
        }
    });
    (all, origin.count("/page"))
}

fn assert_in_order(seen: &Seen, fetched: usize, owners: usize) {
    let often = seen.nodes.values().filter(|n| **n * 20 > seen.answers).count();
    assert!(often >= owners, "{owners} owners answer: {:?}", seen.nodes);
    assert_eq!(seen.older, 0, "of {} answers were older than the one before; {:?}", seen.answers, seen.nodes);
    let most = WATCHED.as_secs() as usize + 3;
    assert!(
        fetched <= most,
        "the origin was asked {fetched} times in {WATCHED:?}, for a page that is fresh for a second"
    );
}

#[test]
fn a_page_with_two_owners_never_goes_back_and_one_of_them_renews_for_both() {
    let (seen, fetched) = five_clients(Setup::default(), "Cache-Control: max-age=1\r\n");
    assert_in_order(&seen, fetched, 2);
}

#[test]
fn nor_does_one_that_is_validated() {
    let (seen, fetched) =
        five_clients(Setup::default(), "Cache-Control: max-age=1\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    assert_in_order(&seen, fetched, 2);
}

#[test]
fn nor_with_the_fronts_hot_copies_in_several_workers() {
    let setup = Setup::default().set("hot", "memory", "8MiB").set("proxy", "workers", 4);
    let (seen, fetched) = five_clients(setup, "Cache-Control: max-age=1\r\n");
    assert_in_order(&seen, fetched, 1);
}

#[test]
fn nor_one_that_may_be_served_while_it_is_renewed() {
    let (seen, fetched) = five_clients(Setup::default(), "Cache-Control: max-age=1, stale-while-revalidate=30\r\n");
    assert_in_order(&seen, fetched, 1);
}

/// A page that this node answers for, and holds.
fn page_of(origin: &Origin, cluster: &Cluster, node: &str, prefix: &str) -> String {
    let mut client = cluster.connect();
    let mut urls = (0..1000).map(|i| origin.url(&format!("{prefix}{i}")));
    let url = urls.find(|url| client.get(url).node() == node).expect("every node answers for something");
    assert!(client.get(&url).is_hit());
    url
}

#[test]
fn one_stopped_node_holds_up_nobody_who_is_told_of_a_change() {
    let _alone = alone();
    let setup = Setup::default().set("timeouts", "probe_interval", "2s").set("timeouts", "probe", "5s");
    let (origin, cluster) = (Origin::start(), setup.start());
    origin.on("/o/*", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "page"));
    let [first, second, third] = ["n1", "n2", "n3"].map(|node| page_of(&origin, &cluster, node, "/o/"));
    let answered = Arc::new(AtomicUsize::new(0));
    for (n, about) in [(0, &third), (1, &second)] {
        let (location, answered) = (format!("Location: {about}\r\n"), answered.clone());
        origin.on(&format!("/p{n}/*"), move |x| {
            x.whole_body()?;
            answered.fetch_add(usize::from(x.method() == "POST"), SeqCst);
            x.reply(200, &format!("Cache-Control: max-age=600\r\n{location}"), "done")
        });
    }
    let posts = [0, 1].map(|n| page_of(&origin, &cluster, "n1", &format!("/p{n}/")));
    cluster.signal_node("n3", Signal::STOP);
    let (cluster, posts) = (&cluster, &posts);
    let (told, done) = std::thread::scope(|all| {
        let begun = Instant::now();
        // The first waits for the stopped one; the second comes meanwhile.
        let waits = all.spawn(move || (cluster.ask("POST", &posts[0], "", b"x").status, begun.elapsed()));
        until_true("the first is answered by the origin", PATIENCE, || answered.load(SeqCst) == 1);
        std::thread::sleep(Duration::from_millis(50));
        let second_post = all.spawn(move || cluster.ask("POST", &posts[1], "", b"x").status);
        until_true("the second is answered by the origin", PATIENCE, || answered.load(SeqCst) == 2);
        let since = Instant::now();
        let mut client = cluster.connect();
        until_true("the second is told of", PATIENCE, || {
            client.ask("GET", &second, "Cache-Control: only-if-cached\r\n", b"").status == 504
        });
        let told = since.elapsed();
        assert_eq!(second_post.join().unwrap(), 200);
        (told, waits.join().unwrap())
    });
    cluster.signal_node("n3", Signal::CONT);
    assert!(told < Duration::from_millis(250), "n2 was told after {told:?}");
    assert!(done.0 == 200 && done.1 < Duration::from_secs(2), "{done:?}");
    // Who was not told is doubted when the client has its answer: nothing that it holds is used unasked.
    origin.on("/o/*", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "new page"));
    assert_eq!(cluster.get(&third).text(), "new page");
    assert!(cluster.get(&first).status == 200);
}
