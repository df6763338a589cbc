//! What moves between machines is handed over, while everybody goes on asking.

use super::*;
use support::across::across;

/// URLs that are cached when the ring changes.
const URLS: usize = if RELEASE { 10_000 } else { 1_000 };

/// Asks a front for each URL once; the nodes that answered, in the order of the URLs.
fn answered(front: &Cluster, urls: &[String]) -> Vec<String> {
    let mut client = front.connect();
    let ask = |url: &String| {
        let answer = client.get(url);
        is_whole(url, &answer).unwrap_or_else(|e| panic!("{url}: {e}"));
        answer.node()
    };
    urls.iter().map(ask).collect()
}

fn set_state(front: &Cluster, node: &str, state: &str) {
    let changed = front.manage("PATCH", &format!("/v1/nodes/{node}"), &format!(r#"{{"state":"{state}"}}"#));
    assert_eq!(changed.status, 200, "{}", changed.text());
}

#[test]
fn what_moves_between_machines_is_handed_over_and_a_purge_reaches_both_owners() {
    if !wanted("a warm hand-over through ZooKeeper") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::alone();
    let machine = |number| {
        let setup = machine(&zookeeper.connect(), number, 1).set("cluster", "secret", "the-secret-of-this-cluster");
        // A debug build on a busy machine gets more time than the default.
        (if RELEASE { setup } else { setup.set("timeouts", "peer", "5s") }).start()
    };
    let mut fronts = vec![machine(2), machine(3), machine(4)];
    until_ring(&fronts, 3);
    let (origin, urls) = objects(URLS);
    let asked = AtomicUsize::new(0);
    let asked = Arc::new(asked);
    let count = asked.clone();
    origin.on("/o/*", move |x| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut body = x.target().to_owned().into_bytes();
        body.resize(1024, b' ');
        x.reply(200, "Cache-Control: max-age=3600\r\n", body)
    });
    let asked = || asked.load(Ordering::SeqCst);
    let mut before = answered(&fronts[0], &urls);
    let proxies: Vec<_> = fronts.iter().map(|f| f.proxy).collect();
    for change in ["a join", "a drain"] {
        let (had, nodes) = (asked(), before.clone());
        let mut joined = None;
        let seen = across(&proxies, &urls, asked, || match change {
            "a join" => {
                joined = Some(machine(5));
                until_true("all have the ring of four", PATIENCE, || fronts.iter().all(|f| ring(f).2.len() == 4));
            }
            _ => {
                set_state(&fronts[0], "127.0.0.2-n1", "draining");
                until_true("all have the ring without it", PATIENCE, || fronts.iter().all(|f| ring(f).2.len() == 3));
            }
        });
        fronts.extend(joined);
        // By the front that has just come, too: it knows the owners of before from the ring's record.
        before = answered(&fronts[3], &urls);
        let moved = before.iter().zip(&nodes).filter(|(is, was)| is != was).count();
        let (again, lowest, requests) = (asked() - had, 100.0 * seen.lowest(), seen.requests());
        figure(&format!(
            "{change}: {moved} of {URLS} URLs moved, {again} were asked for again; {requests:?} requests before, while and \
             after, hit ratio at least {lowest:.2} % in each of {} windows",
            seen.windows.len()
        ));
        assert!(moved > URLS / 8 && again * 50 <= moved, "{change}: {again} of {moved}");
        assert!(lowest >= 98.0, "{change}: the hit ratio fell to {lowest:.2} %: {:#?}", seen.windows);
    }
    assert!(!before.contains(&"127.0.0.2-n1".to_owned()));
    // The node that drains has it still, and is the owner again at the end.
    let purged = fronts[1].manage("DELETE", &format!("/v1/cache?url={}", urls[0]), "");
    assert_eq!((purged.status, purged.json()["done"].as_array().map(Vec::len)), (200, Some(4)), "{}", purged.text());
    set_state(&fronts[2], "127.0.0.2-n1", "active");
    until_ring(&fronts, 4);
    let had = asked();
    answered(&fronts[0], &urls[..1]);
    assert_eq!(asked(), had + 1, "what was purged is fetched");
}
