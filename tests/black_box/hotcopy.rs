//! The front's hot copy says nothing that the node would not say: of age, of freshness, after a HEAD.

use crate::support::*;
use std::time::Instant;

fn hot_hits(cluster: &Cluster) -> u64 {
    cluster.metric("ringhold_front_hot_hits_total")
}

fn cluster(memory: &str) -> Cluster {
    Setup::default().nodes(1).set("hot", "memory", memory).start()
}

#[test]
fn with_it_no_answer_is_younger_than_the_time_for_which_it_is_stored_nor_served_when_that_is_over() {
    ages("8MiB");
}

#[test]
fn without_it_no_answer_is_younger_than_the_time_for_which_it_is_stored_nor_served_when_that_is_over() {
    ages("0");
}

fn ages(memory: &str) {
    let (origin, cluster) = (Origin::start(), cluster(memory));
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=3\r\n", "page"));
    let url = origin.url("/page");
    let begun = Instant::now();
    cluster.get(&url);
    // From here on what the origin sent is surely stored.
    let stored = Instant::now();
    let mut client = cluster.connect();
    while origin.count("/page") == 1 {
        let (before, answer) = (stored.elapsed(), client.get(&url));
        if !answer.is_hit() {
            break;
        }
        let age: u64 = answer.get("age").unwrap().parse().unwrap();
        assert!(age >= before.as_secs(), "{age} after {before:?} (RFC 9111 section 4.2.3)");
        assert!(before.as_millis() < 3000, "{before:?}: {}", answer.cache_status());
        let ttl = answer.cache_status().rsplit("ttl=").next().and_then(|ttl| ttl.parse::<u64>().ok());
        assert!(ttl.is_some_and(|ttl| ttl <= 3 - before.as_secs().min(3)), "{before:?}: {}", answer.cache_status());
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!(hot_hits(&cluster) > 0, memory != "0", "whether the hot copy was in it");
}

#[test]
fn a_head_that_shows_another_page_ends_it() {
    let (origin, cluster) = (Origin::start(), cluster("8MiB"));
    let changed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_changed = changed.clone();
    origin.on("/page", move |x| match is_changed.load(std::sync::atomic::Ordering::Relaxed) {
        false => x.reply(200, "Cache-Control: max-age=60\r\nETag: \"1\"\r\n", "old"),
        true => x.reply(200, "Cache-Control: max-age=60\r\nETag: \"2\"\r\n", "new"),
    });
    let url = origin.url("/page");
    until_true("the hot copy answers", PATIENCE, || cluster.get(&url).text() == "old" && hot_hits(&cluster) > 0);
    changed.store(true, std::sync::atomic::Ordering::Relaxed);
    let head = cluster.ask("HEAD", &url, "Cache-Control: no-cache\r\n", b"");
    assert_eq!(head.get("etag").as_deref(), Some("\"2\""));
    assert_eq!(cluster.get(&url).text(), "new", "RFC 9111 section 4.3.5");
}
