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
    /// Answers for which another than the owner was asked, and those of them that it sent on to the owner.
    detours: [u64; 2],
    /// When, by whom, which version in place of which.
    examples: Vec<(Duration, String, usize, usize)>,
}

fn watch(cluster: &Cluster, url: &str) -> Seen {
    let (mut client, mut seen, mut newest) = (cluster.connect(), Seen::default(), 0);
    let begun = Instant::now();
    while begun.elapsed() < WATCHED {
        let answer = client.get(url);
        let version: usize = answer.text().parse().unwrap();
        seen.answers += 1;
        if version < newest {
            seen.older += 1;
            seen.examples.push((begun.elapsed(), answer.node(), version, newest));
        }
        newest = newest.max(version);
        *seen.nodes.entry(answer.node()).or_default() += 1;
    }
    seen
}

/// Five clients of one page that is fresh for a second; what all saw, and how often the origin was asked.
fn five_clients(setup: Setup, fields: &'static str) -> (Seen, usize) {
    five_clients_of(setup, fields, Duration::ZERO)
}

/// The same, where the origin takes so long for all but the first answer.
fn five_clients_of(setup: Setup, fields: &'static str, time: Duration) -> (Seen, usize) {
    five_clients_while(setup.unhurried().set("timeouts", "peer", "5s"), fields, time, |_| ())
}

/// The same, while something happens to the cluster.
fn five_clients_while(
    setup: Setup,
    fields: &'static str,
    time: Duration,
    happens: impl FnOnce(&Cluster),
) -> (Seen, usize) {
    let _alone = alone();
    let (origin, cluster) = (Origin::start(), setup.start());
    let version = AtomicUsize::new(1);
    origin.on("/page", move |x| {
        let version = version.fetch_add(1, SeqCst);
        std::thread::sleep(if version == 1 { Duration::ZERO } else { time });
        x.reply(200, fields, version.to_string())
    });
    let url = &origin.url("/page");
    let mut all = Seen::default();
    std::thread::scope(|clients| {
        let running: Vec<_> = (0..CLIENTS).map(|_| clients.spawn(|| watch(&cluster, url))).collect();
        happens(&cluster);
        for client in running {
            let seen = client.join().unwrap();
            all.answers += seen.answers;
            all.older += seen.older;
            all.examples.extend(seen.examples.into_iter().take(3));
            seen.nodes.into_iter().for_each(|(node, n)| *all.nodes.entry(node).or_default() += n);
        }
    });
    all.detours = ["", "_sent_on"].map(|what| cluster.metric(&format!("ringhold_front_detours{what}_total")));
    (all, origin.count("/page"))
}

fn assert_in_order(seen: &Seen, owners: usize) {
    let often = seen.nodes.values().filter(|n| **n * 20 > seen.answers).count();
    assert!(often >= owners, "{owners} owners answer: {:?}", seen.nodes);
    let Seen { answers, older, nodes, examples, detours: [detours, sent_on] } = seen;
    println!("{answers} answers by {nodes:?}; {detours} of them not asked of the owner, {sent_on} sent on to it");
    assert_eq!(*older, 0, "of {answers} answers were older than the one before; {nodes:?}: {examples:?}");
}

fn assert_in_order_and_fetched_once(seen: &Seen, fetched: usize, owners: usize) {
    assert_in_order(seen, owners);
    let [detours, sent_on] = seen.detours;
    assert!(sent_on * 20 <= detours + 20, "{sent_on} of {detours} were sent on to the owner");
    let most = WATCHED.as_secs() as usize + 3;
    assert!(
        fetched <= most,
        "the origin was asked {fetched} times in {WATCHED:?}, for a page that is fresh for a second"
    );
}

#[test]
fn a_page_with_two_owners_never_goes_back_and_one_of_them_renews_for_both() {
    let (seen, fetched) = five_clients(Setup::default(), "Cache-Control: max-age=1\r\n");
    assert_in_order_and_fetched_once(&seen, fetched, 2);
}

#[test]
fn nor_does_one_that_is_validated() {
    let (seen, fetched) =
        five_clients(Setup::default(), "Cache-Control: max-age=1\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    assert_in_order_and_fetched_once(&seen, fetched, 2);
}

#[test]
fn nor_with_the_fronts_hot_copies_in_several_workers() {
    let setup = Setup::default().set("hot", "memory", "8MiB").set("proxy", "workers", 4);
    let (seen, fetched) = five_clients(setup, "Cache-Control: max-age=1\r\n");
    assert_in_order_and_fetched_once(&seen, fetched, 1);
}

#[test]
fn nor_one_that_may_be_served_while_it_is_renewed() {
    let (seen, fetched) = five_clients(Setup::default(), "Cache-Control: max-age=1, stale-while-revalidate=30\r\n");
    assert_in_order_and_fetched_once(&seen, fetched, 1);
}

/// Renewed more slowly than who waits for that is patient, so that several ask for it at one time.
#[test]
fn nor_one_whose_origin_is_slow() {
    for fields in [
        "Cache-Control: max-age=1\r\n",
        "Cache-Control: max-age=1, stale-while-revalidate=30\r\n",
        "Cache-Control: max-age=1\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
    ] {
        let setup = Setup::default().set("timeouts", "collapse", "50ms");
        let (seen, _) = five_clients_of(setup, fields, Duration::from_millis(300));
        assert_in_order(&seen, 1);
    }
}

/// The owner is silent for longer than a node waits for it that is asked in its place, and is not passed over for that.
#[test]
fn nor_one_whose_owner_stands_still_now_and_then() {
    for fields in ["Cache-Control: max-age=1\r\n", "Cache-Control: max-age=1, stale-while-revalidate=30\r\n"] {
        let setup = Setup::default().set("timeouts", "probe", "200ms").set("timeouts", "probe_interval", "10s");
        let (seen, _) =
            five_clients_while(setup.set("timeouts", "slow_hit", "0s"), fields, Duration::ZERO, |cluster| {
                let begun = Instant::now();
                let nodes = ["n1", "n2", "n3"].iter().cycle();
                for node in nodes.take_while(|_| begun.elapsed() < WATCHED - Duration::from_secs(1)) {
                    cluster.signal_node(node, Signal::STOP);
                    std::thread::sleep(Duration::from_millis(350));
                    cluster.signal_node(node, Signal::CONT);
                }
            });
        assert_in_order(&seen, 1);
    }
}

/// The version of a page.
fn version(client: &mut Connection, url: &str, fields: &str) -> usize {
    client.ask("GET", url, fields, b"").text().parse().unwrap()
}

/// Reloads a page time and again; the first older one that comes after: round, what came, what the reload had got.
fn reload_and_look(cluster: &Cluster, url: &str) -> Option<(usize, usize, usize)> {
    let mut client = cluster.connect();
    for round in 0..50 {
        let fields = ["Cache-Control: no-cache\r\n", "Cache-Control: max-age=0\r\nConnection: keep-alive\r\n"];
        let reloaded = version(&mut client, url, fields[round % 2]);
        let mut others = [cluster.connect(), cluster.connect()];
        for turn in 0..10 {
            for got in [version(&mut client, url, ""), version(&mut others[turn % 2], url, "")] {
                if got < reloaded {
                    return Some((round, got, reloaded));
                }
            }
        }
    }
    None
}

/// A reload gets a newer page into the owner's store; what the second owner and the fronts hold is fresh for long.
#[test]
fn who_has_reloaded_a_page_and_who_comes_after_get_no_older_one() {
    let _alone = alone();
    for hot in ["0", "8MiB"] {
        let setup = Setup::default().unhurried().set("timeouts", "peer", "5s").set("hot", "memory", hot);
        let (origin, cluster) = (Origin::start(), setup.start());
        let next = AtomicUsize::new(1);
        origin.on("/page", move |x| {
            x.reply(200, "Cache-Control: max-age=600\r\n", next.fetch_add(1, SeqCst).to_string())
        });
        let url = &origin.url("/page");
        let (over, begun) = (AtomicUsize::new(0), Instant::now());
        let nodes = std::thread::scope(|all| {
            let watching: Vec<_> = (0..4)
                .map(|_| {
                    all.spawn(|| {
                        let (mut client, mut nodes) = (cluster.connect(), BTreeMap::<String, usize>::new());
                        while over.load(SeqCst) == 0 && begun.elapsed() < 3 * PATIENCE {
                            *nodes.entry(client.get(url).node()).or_default() += 1;
                        }
                        nodes
                    })
                })
                .collect();
            until_true("it has two owners, or a hot copy", PATIENCE, || match hot {
                "0" => cluster.metric("ringhold_front_detours_total") > 200,
                _ => cluster.metric("ringhold_front_hot_hits_total") > 200,
            });
            let older = reload_and_look(&cluster, url);
            over.store(1, SeqCst);
            let nodes = watching.into_iter().flat_map(|watching| watching.join().unwrap());
            let nodes: std::collections::BTreeSet<String> = nodes.map(|(node, _)| node).collect();
            assert_eq!(older, None, "an older one after a reload; hot {hot}");
            nodes
        });
        assert!(hot != "0" || nodes.len() == 2, "{nodes:?}");
    }
}

/// A page that this node answers for, and holds.
fn page_of(origin: &Origin, cluster: &Cluster, node: &str, prefix: &str) -> String {
    let mut client = cluster.connect();
    let mut urls = (0..1000).map(|i| origin.url(&format!("{prefix}{i}")));
    let url = urls.find(|url| client.get(url).node() == node).expect("every node answers for something");
    assert!(client.get(&url).is_hit());
    url
}

/// With the third stopped, from a change of which that one is to be told: how long it takes until the second is told of
/// another, and until the client is answered who made the first.
fn while_one_is_stopped() -> (Duration, Duration) {
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
        let since = Instant::now();
        let second_post = all.spawn(move || cluster.ask("POST", &posts[1], "", b"x").status);
        until_true("the second is answered by the origin", PATIENCE, || answered.load(SeqCst) == 2);
        let mut client = cluster.connect();
        until_true("the second is told of", PATIENCE, || {
            client.ask("GET", &second, "Cache-Control: only-if-cached\r\n", b"").status == 504
        });
        let told = since.elapsed();
        assert_eq!(second_post.join().unwrap(), 200);
        (told, waits.join().unwrap())
    });
    cluster.signal_node("n3", Signal::CONT);
    assert_eq!(done.0, 200);
    // Who was not told is doubted when the client has its answer: nothing that it holds is used unasked.
    origin.on("/o/*", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "new page"));
    assert_eq!(cluster.get(&third).text(), "new page");
    assert!(cluster.get(&first).status == 200);
    (told, done.1)
}

#[test]
fn one_stopped_node_holds_up_nobody_who_is_told_of_a_change() {
    let _alone = alone();
    let in_time =
        |(told, done): &(Duration, Duration)| *told < Duration::from_millis(250) && *done < Duration::from_secs(2);
    // A busy machine is late now and then; who waits for the stopped one is late each time.
    let mut times = Vec::new();
    while !times.last().is_some_and(in_time) {
        assert!(times.len() < 4, "n2 was told, and the first client answered, after {times:?}");
        times.push(while_one_is_stopped());
    }
}

/// Whose question is its own (a condition of its own, credentials, a URL that was not to be stored until now) and whose answer was
/// made before the one that was stored while it waited.
#[test]
fn an_answer_that_comes_late_takes_no_younger_ones_place() {
    const EARLIER: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nExpires: Sun, 06 Nov 2094 08:49:37 GMT\r\n";
    let rows = [
        ("If-None-Match: \"other\"\r\n", false),
        ("If-Modified-Since: Sat, 05 Nov 1994 08:49:37 GMT\r\n", false),
        ("Authorization: Basic eDp5\r\n", false),
        ("", true),
    ];
    for (fields, was_not_stored) in rows {
        let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
        let (gate, asked) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
        if was_not_stored {
            origin.on("/page", |x| x.reply(200, "Cache-Control: no-store\r\n", "none"));
            assert_eq!(cluster.get(&origin.url("/page")).text(), "none");
        }
        let (held, begun) = (gate.clone(), asked.clone());
        origin.on("/page", move |x| match begun.fetch_add(1, SeqCst) {
            0 => {
                held.wait()?;
                x.reply(200, &format!("{EARLIER}Cache-Control: public\r\n"), "early")
            }
            _ => x.reply(200, "Cache-Control: public, max-age=600\r\n", "late"),
        });
        let url = &origin.url("/page");
        std::thread::scope(|all| {
            let first = all.spawn(|| cluster.ask("GET", url, fields, b"").text());
            until_true("the first question is there", PATIENCE, || asked.load(SeqCst) == 1);
            assert_eq!(cluster.get(url).text(), "late", "{fields}");
            assert!(cluster.get(url).is_hit(), "{fields}");
            gate.open();
            let first = first.join().unwrap();
            // Whoever asked for nothing special gets what everybody gets.
            assert_eq!(first, if fields.is_empty() { "late" } else { "early" }, "{fields}");
        });
        let answer = cluster.get(url);
        assert!((answer.text().as_str(), answer.is_hit()) == ("late", true), "{fields}: {}", answer.cache_status());
    }
}
