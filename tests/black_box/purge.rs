//! What was asked of the origin before a purge is not stored after it, in whatever way it was asked.

use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const URL: &str = "/page";
const KEEP: &str = "Cache-Control: max-age=60\r\n";

fn purge(cluster: &Cluster, url: &str) {
    assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status, 200);
}

/// Purges while the origin holds back its answer to this request, which is what it would have been before; later requests
/// must get what is new.
fn purged_meanwhile(origin: &Origin, cluster: &Cluster, method: &str, fields: &'static str, status: u16) {
    let (gate, url) = (Gate::default(), origin.url(URL));
    let held = gate.clone();
    origin.on(URL, move |x| {
        held.wait()?;
        match status {
            304 => x.reply_empty(304, fields),
            _ => x.reply(status, fields, "old"),
        }
    });
    let asked = origin.count(URL);
    let mut before = cluster.connect();
    before.request(method, &url, "", b"").unwrap();
    origin.until_asked(URL, asked + 1);
    purge(cluster, &url);
    gate.open();
    let answer = before.response(method).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "old"));
    origin.on(URL, |x| x.reply(200, KEEP, "new"));
    let after = cluster.get(&url);
    assert_eq!(after.text(), "new", "{}", after.cache_status());
    assert!(cluster.get(&url).is_hit(), "that is stored again");
}

#[test]
fn a_fetch_that_nobody_may_join_is_not_stored_after_a_purge() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    // Known to be uncacheable, so that nobody waits for the next fetch.
    origin.on(URL, |x| x.reply(200, "Cache-Control: no-store\r\n", "of no use"));
    cluster.get(&origin.url(URL));
    purged_meanwhile(&origin, &cluster, "GET", KEEP, 200);
}

#[test]
fn what_a_304_confirms_is_not_stored_after_a_purge() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on(URL, |x| x.reply(200, "Cache-Control: max-age=0\r\nETag: \"1\"\r\n", "old"));
    cluster.get(&origin.url(URL));
    purged_meanwhile(&origin, &cluster, "GET", "Cache-Control: max-age=60\r\nETag: \"1\"\r\n", 304);
}

#[test]
fn the_answer_to_a_post_that_later_gets_may_have_is_not_stored_after_a_purge() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    purged_meanwhile(&origin, &cluster, "POST", "Cache-Control: max-age=60\r\nContent-Location: /page\r\n", 200);
}

#[test]
fn without_a_purge_each_of_them_is_stored() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/alone", |x| x.reply(200, "Cache-Control: no-store\r\n", "of no use"));
    cluster.get(&origin.url("/alone"));
    origin.on("/alone", |x| x.reply(200, KEEP, "kept"));
    origin.on("/post", |x| x.reply(200, "Cache-Control: max-age=60\r\nContent-Location: /post\r\n", "kept"));
    for (method, path) in [("GET", "/alone"), ("POST", "/post")] {
        let url = origin.url(path);
        assert_eq!(cluster.ask(method, &url, "", b"").text(), "kept");
        let again = cluster.get(&url);
        assert!(again.is_hit() && again.text() == "kept", "{path}: {}", again.cache_status());
    }
}

#[test]
fn what_an_answer_that_breaks_off_behind_its_head_has_changed_is_forgotten_by_all() {
    let (origin, cluster, edition) = (Origin::start(), Cluster::start(), Arc::new(AtomicUsize::new(1)));
    let now = edition.clone();
    origin.on("/*", move |x| {
        let page = now.load(Ordering::SeqCst).to_string();
        x.reply(200, "Cache-Control: max-age=600\r\n", page)
    });
    // Some of these belong to another node than the page that they change.
    for n in 0..8 {
        let (page, change) = (origin.url(&format!("/page-{n}")), format!("/change-{n}"));
        let changes = edition.clone();
        origin.on(&change, move |x| {
            changes.fetch_add(1, Ordering::SeqCst);
            x.raw(format!("HTTP/1.1 200 OK\r\nLocation: /page-{n}\r\nContent-Length: 9\r\n\r\n"))?;
            x.reset()
        });
        let before = cluster.get(&page).text();
        let answer = cluster.connect().try_ask("POST", &origin.url(&change), "", b"change");
        assert!(answer.is_err(), "its body breaks off: {}", answer.unwrap().head.line);
        assert_ne!(cluster.get(&page).text(), before, "{page}");
    }
}
