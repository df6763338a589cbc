//! What changes of a stored answer, or completes it, is on the disk too: also where memory keeps nothing.

use super::*;

const BODY: &str = "0123456789";

/// Memory has room for nothing.
fn with_disk_alone() -> Setup {
    with_disk(1).set("cache", "memory", "64").set("timeouts", "disk", "10s")
}

#[test]
fn a_stored_part_outlives_a_kill_answers_what_it_has_and_is_completed() {
    for setup in [with_disk(1).set("timeouts", "disk", "10s"), with_disk_alone()] {
        let (origin, cluster) = (Origin::start(), setup.start());
        until_on(&cluster);
        origin.on("/page", |x| {
            let (first, part) = match x.head.get("range").as_deref() {
                Some("bytes=5-") => (5, &BODY[5..]),
                _ => (0, &BODY[..5]),
            };
            let last = first + part.len() - 1;
            x.reply(206, &format!("{KEEP}ETag: \"v1\"\r\nContent-Range: bytes {first}-{last}/10\r\n"), part)
        });
        let url = origin.url("/page");
        assert_eq!(cluster.ask("GET", &url, "Range: bytes=0-4\r\n", b"").text(), "01234");
        until_written(&cluster, &url);
        kill(&cluster, "n1");
        let part = cluster.ask("GET", &url, "Range: bytes=2-3\r\n", b"");
        assert!(part.status == 206 && is_from_disk(&part), "{}", part.cache_status());
        assert_eq!((part.text().as_str(), part.get("content-range")), ("23", Some("bytes 2-3/10".into())));
        let all = cluster.get(&url);
        assert_eq!((all.status, all.text().as_str()), (200, BODY), "{}", all.cache_status());
        let rest = origin.heads("/page").pop().unwrap();
        assert_eq!((rest.get("range"), rest.get("if-range")), (Some("bytes=5-".into()), Some("\"v1\"".into())));
        until_written(&cluster, &url);
        kill(&cluster, "n1");
        let hit = cluster.get(&url);
        assert!(hit.status == 200 && is_from_disk(&hit) && hit.text() == BODY, "{}", hit.cache_status());
        assert_eq!(origin.count("/page"), 2);
    }
}

#[test]
fn what_a_304_or_a_head_renews_is_written_where_memory_has_no_room_for_it() {
    let (origin, cluster) = (Origin::start(), with_disk_alone().start());
    until_on(&cluster);
    origin.on("/page", |x| match (x.method(), x.head.has("if-none-match")) {
        ("HEAD", _) => x.begin_sized("Cache-Control: max-age=60\r\nETag: \"1\"\r\nX-Is: head\r\n", BODY.len() as u64),
        (_, true) => x.reply_empty(304, "Cache-Control: max-age=60\r\nETag: \"1\"\r\nX-Is: confirmed\r\n"),
        _ => x.reply(200, "Cache-Control: max-age=0\r\nETag: \"1\"\r\nX-Is: new\r\n", BODY),
    });
    let url = origin.url("/page");
    assert_eq!(cluster.get(&url).get("x-is"), Some("new".into()));
    assert!(cluster.get(&url).cache_status().contains("fwd-status=304"));
    let is_there = |says: &str| {
        let hit = cluster.get(&url);
        assert!(is_from_disk(&hit) && hit.text() == BODY, "{}", hit.cache_status());
        assert_eq!(hit.get("x-is").as_deref(), Some(says));
    };
    is_there("confirmed");
    until_written(&cluster, &url);
    kill(&cluster, "n1");
    is_there("confirmed");
    assert_eq!(cluster.ask("HEAD", &url, "Cache-Control: no-cache\r\n", b"").get("x-is"), Some("head".into()));
    is_there("head");
    until_written(&cluster, &url);
    kill(&cluster, "n1");
    is_there("head");
    assert_eq!(origin.count("/page"), 3);
}

#[test]
fn what_is_brief_is_written_where_memory_has_no_room_for_it_and_only_there() {
    for (setup, from_disk) in [(with_disk(1), false), (with_disk_alone(), true)] {
        let (origin, cluster) = (counting("Cache-Control: max-age=30\r\n"), setup.start());
        until_on(&cluster);
        let url = origin.url("/page");
        let first = cluster.get(&url).text();
        let hit = cluster.get(&url);
        assert_eq!((hit.text(), hit.is_hit(), is_from_disk(&hit)), (first, true, from_disk), "{}", hit.cache_status());
    }
}

#[test]
fn what_memory_alone_had_when_its_group_became_invalid_is_asked_for_anew_after_a_restart() {
    let (origin, cluster) = (Origin::start(), with_disk(1).set("disk", "admit", "second").start());
    until_on(&cluster);
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=600\r\nCache-Groups: \"news\"\r\n", "page"));
    origin.on("/other", |x| x.reply(200, KEEP, "other"));
    origin.on("/edit", |x| x.reply(200, "Cache-Group-Invalidation: \"news\"\r\n", "done"));
    let [page, other, edit] = ["/page", "/other", "/edit"].map(|path| origin.url(path));
    for url in [&page, &other] {
        assert_eq!(cluster.get(url).status, 200);
    }
    assert_eq!(cluster.metric("ringhold_node_disk_objects"), 0, "they came once");
    assert_eq!(cluster.ask("POST", &edit, "Content-Length: 0\r\n", b"").status, 200);
    let cluster = cluster.restart();
    until_on(&cluster);
    assert!(is_from_disk(&cluster.get(&other)), "what memory has is written at the end");
    assert!(!cluster.get(&page).is_hit());
    assert_eq!((origin.count("/page"), origin.count("/other")), (2, 1));
}
