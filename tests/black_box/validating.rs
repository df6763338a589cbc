//! What an origin's 304 changes, and for whom (RFC 9111 sections 3.2, 4.3.4 and 7.3).

use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A page that is stored, to be validated each time; its validations are answered by `then`, which is told how often the
/// page was asked for before.
fn page(
    then: impl Fn(&mut Exchange, usize) -> std::io::Result<()> + Send + Sync + 'static,
) -> (Cluster, Origin, String) {
    let (origin, asked) = (Origin::start(), AtomicUsize::new(0));
    origin.on("/page", move |x| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => x.reply(200, "Cache-Control: no-cache\r\nETag: \"v\"\r\n", "body"),
        n => then(x, n),
    });
    let (cluster, url) = (Cluster::start(), origin.url("/page"));
    assert_eq!(cluster.get(&url).text(), "body");
    (cluster, origin, url)
}

#[test]
fn a_304_that_may_not_be_stored_answers_only_the_request_that_it_was_for() {
    for forbids in ["Cache-Control: private\r\n", "Cache-Control: no-store\r\n"] {
        let gate = Gate::default();
        let held = gate.clone();
        let (cluster, origin, url) = page(move |x, n| {
            held.wait()?;
            let own = format!("{forbids}Set-Cookie: id=client{n}\r\n");
            if x.head.has("if-none-match") { x.reply_empty(304, &own) } else { x.reply(200, &own, "own") }
        });
        let before = cluster.node_total("requests");
        let cluster = Arc::new(cluster);
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let (cluster, url) = (cluster.clone(), url.clone());
                thread::spawn(move || cluster.get(&url))
            })
            .collect();
        until_true("all of them wait", PATIENCE, || cluster.node_total("requests") >= before + 3);
        gate.open();
        let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let mut cookies: Vec<_> = answers.iter().map(|answer| answer.get("set-cookie").unwrap()).collect();
        cookies.sort();
        assert_eq!(cookies, ["id=client1", "id=client2", "id=client3"], "{forbids}");
        assert!(answers.iter().all(|answer| !answer.cache_status().contains("collapsed")), "{answers:?}");
        let validated = answers.iter().find(|answer| answer.text() == "body").expect("the 304 answers one of them");
        let said = validated.cache_status();
        assert!(said.contains("fwd-status=304") && said.contains("detail=") && !said.contains("stored"), "{said}");
        assert_eq!(origin.count("/page"), 4, "{forbids}");
        let encoded = url.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        let told = cluster.manage("GET", &format!("/v1/explain?url={encoded}"), "").json();
        let word = forbids.trim_end().rsplit(' ').next().unwrap();
        assert!(told["not_stored"].as_str().is_some_and(|why| why.contains(word)), "{told:#}");
    }
}

#[test]
fn a_304_forbids_storing_whoever_asked() {
    for asks in ["Cache-Control: no-store\r\n", "Authorization: Basic eDp5\r\n"] {
        let (origin, asked) = (Origin::start(), AtomicUsize::new(0));
        origin.on("/page", move |x| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => x.reply(200, "Cache-Control: max-age=60\r\nAge: 60\r\nETag: \"v\"\r\n", "body"),
            1 => x.reply_empty(304, "Cache-Control: private, max-age=60\r\n"),
            _ => x.reply(200, "Cache-Control: private\r\n", "new"),
        });
        let (cluster, url) = (Cluster::start(), origin.url("/page"));
        cluster.get(&url);
        assert_eq!(cluster.ask("GET", &url, asks, b"").text(), "body");
        let after = cluster.ask("GET", &url, "Cache-Control: max-stale\r\n", b"");
        assert_eq!((after.text().as_str(), origin.count("/page")), ("new", 3), "{asks}{}", after.cache_status());
    }
}

#[test]
fn a_304_to_a_request_that_forbids_storing_is_not_said_to_be_stored() {
    let (cluster, _origin, url) = page(|x, _| x.reply_empty(304, "Cache-Control: max-age=60\r\n"));
    let own = cluster.ask("GET", &url, "Cache-Control: no-store\r\n", b"");
    let said = own.cache_status();
    assert!(own.text() == "body" && !said.split(';').any(|part| part.trim() == "stored"), "{said}");
    assert!(own.cache_status().contains("no-store"), "{}", own.cache_status());
    let other = cluster.get(&url);
    assert!(other.cache_status().contains("stored"), "it is validated again: {}", other.cache_status());
    assert!(cluster.get(&url).is_hit());
}

#[test]
fn a_cookie_that_comes_with_a_304_is_for_its_requester_unless_the_304_allows_more() {
    // (fields of the 304, Set-Cookie of a later hit, section)
    for (says, later, section) in [
        ("", None, "7.3"),
        ("Cache-Control: max-age=60, no-cache=\"set-cookie\"\r\n", None, "5.2.2.4"),
        ("Cache-Control: max-age=60\r\n", Some("sess=alice"), "7.3: explicit freshness"),
    ] {
        let origin = Origin::start();
        origin.on("/page", move |x| match x.head.has("if-none-match") {
            true => x.reply_empty(304, &format!("{says}Set-Cookie: sess=alice\r\n")),
            false => x.reply(200, "Cache-Control: max-age=60\r\nAge: 60\r\nETag: \"v\"\r\n", "body"),
        });
        let (cluster, url) = (Cluster::start(), origin.url("/page"));
        cluster.get(&url);
        let alice = cluster.get(&url);
        let said = (alice.get("set-cookie"), alice.text());
        assert_eq!(said, (Some("sess=alice".into()), "body".into()), "{says}: {}", alice.cache_status());
        let bob = cluster.get(&url);
        assert!(bob.is_hit(), "{says}: {}", bob.cache_status());
        assert_eq!(bob.get("set-cookie").as_deref(), later, "{says} (section {section})");
        assert_eq!(origin.count("/page"), 2);
    }
}

#[test]
fn a_head_that_finds_a_page_where_there_was_none_ends_the_stored_404() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let there = Arc::new(AtomicUsize::new(0));
    let is_there = there.clone();
    origin.on("/page", move |x| match is_there.load(Ordering::Relaxed) {
        0 => x.reply(404, "Cache-Control: max-age=60\r\n", "none"),
        _ => x.reply(200, "Cache-Control: max-age=60\r\n", "here"),
    });
    let url = origin.url("/page");
    assert_eq!(cluster.get(&url).status, 404);
    there.store(1, Ordering::Relaxed);
    assert_eq!(cluster.ask("HEAD", &url, "Cache-Control: no-cache\r\n", b"").status, 200);
    let page = cluster.get(&url);
    assert_eq!((page.status, page.text().as_str()), (200, "here"), "{}", page.cache_status());
}

#[test]
fn of_several_stored_ones_a_304_with_a_weak_tag_freshens_the_one_that_was_asked_about() {
    // Section 4.3.4: a weak validator and a Last-Modified select no more than the most recent.
    for (validator, condition) in
        [("ETag: W/\"v\"", "if-none-match"), ("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "if-modified-since")]
    {
        let (origin, cluster) = (Origin::start(), Cluster::start());
        origin.on("/two", move |x| match (x.head.has(condition), x.head.get("a").as_deref()) {
            (true, _) => x.reply_empty(304, &format!("{validator}\r\nCache-Control: max-age=60\r\n")),
            (false, Some("1")) => {
                x.reply(200, &format!("{validator}\r\nCache-Control: no-cache\r\nVary: A\r\n"), "first")
            }
            (false, _) => x.reply(200, &format!("{validator}\r\nCache-Control: no-cache\r\nVary: B\r\n"), "second"),
        });
        let ask = |fields| cluster.ask("GET", &origin.url("/two"), fields, b"");
        ask("A: 1\r\nB: 1\r\n");
        ask("A: 2\r\nB: 1\r\n");
        let both = ask("A: 1\r\nB: 1\r\n");
        assert!(both.cache_status().contains("fwd-status=304"), "{validator}: {}", both.cache_status());
        let hits = ["A: 1\r\nB: 2\r\n", "A: 2\r\nB: 1\r\n"].map(|only_one| ask(only_one).is_hit());
        assert_eq!(hits.iter().filter(|hit| **hit).count(), 1, "{validator}: one of them, and not the other: {hits:?}");
    }
}

#[test]
fn what_is_stored_has_every_field_and_what_is_too_long_is_the_origins_fault() {
    // (bytes of a field, limits.head, status): section 3.1
    for (length, limit, status) in
        [(60_000, "64KiB", 200), (70_000, "64KiB", 502), (200_000, "256KiB", 200), (300_000, "256KiB", 502)]
    {
        let cluster = Setup::default().set("limits", "head", limit).start();
        let origin = Origin::start();
        let value = "y".repeat(length);
        origin.on("/long", move |x| x.reply(200, &format!("Cache-Control: max-age=60\r\nX-Long: {value}\r\n"), "body"));
        let answers = [0, 1].map(|_| cluster.get(&origin.url("/long")));
        for answer in &answers {
            assert_eq!(answer.status, status, "{length} of {limit}");
            assert_eq!(answer.get("x-long").map_or(0, |v| v.len()), if status == 200 { length } else { 0 });
            assert_eq!(answer.has_error("http_response_header_section_size"), status == 502, "{:?}", answer.head);
        }
        assert_eq!((answers[1].is_hit(), origin.count("/long")), if status == 200 { (true, 1) } else { (false, 2) });
        assert!(!cluster.said().contains("suspect"), "no node is blamed");
    }
}

#[test]
fn so_many_fields_that_the_front_would_not_take_them_are_the_origins_fault_too() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let many = |n: usize| (0..n).map(|i| format!("X-{i}: 1\r\n")).collect::<String>();
    let (most, more) = (many(97), many(130));
    origin.on("/most", move |x| x.reply(200, &format!("Cache-Control: max-age=60\r\n{most}"), "body"));
    origin.on("/more", move |x| x.reply(200, &format!("Cache-Control: max-age=60\r\n{more}"), "body"));
    for _ in 0..2 {
        assert_eq!(cluster.get(&origin.url("/most")).head.all("x-96").len(), 1);
        assert_eq!(cluster.get(&origin.url("/more")).status, 502);
    }
}
