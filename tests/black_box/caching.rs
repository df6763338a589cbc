//! What is stored and reused (RFC 9111), and that `Cache-Status` (RFC 9211) says why.

use crate::support::*;

/// A cluster and an origin with one page: `fields` on the answer, the body counts how often it was asked for.
fn page(fields: &'static str) -> (Cluster, Origin, String) {
    let origin = Origin::start();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    origin.on("/page*", move |x| {
        let n = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        x.reply(200, fields, format!("answer {n}"))
    });
    let url = origin.url("/page");
    (Cluster::start(), origin, url)
}

#[test]
fn a_page_is_missed_once_and_then_hit_on_the_same_node() {
    let (cluster, origin, url) = page("Cache-Control: max-age=60\r\nX-A: 1\r\nX-A: 2\r\nContent-Encoding: gzip\r\n");
    let miss = cluster.get(&url);
    let said = miss.cache_status();
    assert!(said.contains("fwd=uri-miss") && said.contains("stored") && !miss.is_hit(), "{said}");
    assert!(["n1", "n2", "n3"].contains(&miss.node().as_str()), "{said}");
    for _ in 0..5 {
        let hit = cluster.get(&url);
        assert!(hit.is_hit() && hit.cache_status().contains("ttl="), "{}", hit.cache_status());
        assert_eq!((hit.node(), hit.text()), (miss.node(), miss.text()));
        assert_eq!(hit.head.all("x-a"), ["1", "2"]);
        assert_eq!(hit.head.all("content-encoding"), ["gzip"]);
        assert!(hit.get("age").is_some_and(|age| age.parse::<u64>().is_ok()), "{:?}", hit.head);
        assert!(hit.head.all("via").join("").contains("ringhold-"));
        assert_eq!(hit.head.all("date"), miss.head.all("date"), "the date of a stored answer is kept");
    }
    assert_eq!(origin.count("/page"), 1);
}

#[test]
fn keys_are_spread_over_all_nodes() {
    let (cluster, _origin, url) = page("Cache-Control: max-age=60\r\n");
    let mut client = cluster.connect();
    let nodes: std::collections::BTreeSet<_> = (0..60).map(|i| client.get(&format!("{url}?{i}")).node()).collect();
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), ["n1", "n2", "n3"]);
}

#[test]
fn the_answer_decides_whether_it_is_reused() {
    let soon = "Expires: Thu, 01 Jan 2099 00:00:00 GMT\r\n";
    let cases: &[(&str, &str, &str, bool)] = &[
        ("max-age", "", "Cache-Control: max-age=60\r\n", true),
        ("s-maxage over max-age (5.2.2.10)", "", "Cache-Control: max-age=0, s-maxage=60\r\n", true),
        ("max-age=0", "", "Cache-Control: max-age=0\r\n", false),
        ("no-store (5.2.2.5)", "", "Cache-Control: no-store, max-age=60\r\n", false),
        ("no-store on a second line", "", "Cache-Control: max-age=60\r\nCache-Control: No-Store\r\n", false),
        ("private (5.2.2.7)", "", "Cache-Control: private, max-age=60\r\n", false),
        ("no-cache (5.2.2.4)", "", "Cache-Control: no-cache\r\n", false),
        ("Expires (5.3)", "", soon, true),
        ("an Expires that is no date (5.3)", "", "Expires: 0\r\n", false),
        ("max-age over Expires (5.3)", "", "Cache-Control: max-age=60\r\nExpires: 0\r\n", true),
        ("a heuristic (4.2.2)", "", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", true),
        ("nothing said", "", "", false),
        ("old by its Age (4.2.3)", "", "Cache-Control: max-age=60\r\nAge: 60\r\n", false),
        ("Vary: * (4.1)", "", "Cache-Control: max-age=60\r\nVary: *\r\n", false),
        ("Authorization (3.5)", "Authorization: Basic eDp5\r\n", "Cache-Control: max-age=60\r\n", false),
        ("Authorization, public (3.5)", "Authorization: Basic eDp5\r\n", "Cache-Control: public, max-age=60\r\n", true),
        ("the client's no-store (5.2.1.5)", "Cache-Control: no-store\r\n", "Cache-Control: max-age=60\r\n", false),
        ("the client's no-cache (5.2.1.4)", "Cache-Control: no-cache\r\n", "Cache-Control: max-age=60\r\n", false),
    ];
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let mut client = cluster.connect();
    for (i, (name, asks, says, reused)) in cases.iter().enumerate() {
        let path = format!("/case/{i}");
        let says = says.to_string();
        origin.on(&path, move |x| x.reply(200, &says, "body"));
        let answers = [0, 1].map(|_| client.ask("GET", &origin.url(&path), asks, b""));
        assert_eq!(origin.count(&path), if *reused { 1 } else { 2 }, "{name}: {:?}", answers[1].cache_status());
        assert_eq!(answers[1].is_hit(), *reused, "{name}: {}", answers[1].cache_status());
        assert_eq!(answers[1].text(), "body", "{name}");
    }
}

#[test]
fn a_stale_page_is_revalidated_and_a_304_saves_its_body() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/etag", |x| match x.head.get("if-none-match").as_deref() {
        Some("\"v1\"") => x.reply_empty(304, "ETag: \"v1\"\r\nCache-Control: max-age=60\r\nX-New: 1\r\n"),
        _ => x.reply(200, "ETag: \"v1\"\r\nCache-Control: max-age=0\r\n", "the body"),
    });
    let url = origin.url("/etag");
    cluster.get(&url);
    let validated = cluster.get(&url);
    assert_eq!((validated.status, validated.text().as_str()), (200, "the body"));
    assert!(validated.cache_status().contains("fwd=stale"), "{}", validated.cache_status());
    let fresh = cluster.get(&url);
    assert!(fresh.is_hit(), "the 304 made it fresh again: {}", fresh.cache_status());
    assert_eq!((fresh.text().as_str(), fresh.get("x-new").as_deref()), ("the body", Some("1")));
    assert_eq!(origin.count("/etag"), 2);
}

#[test]
fn last_modified_validates_where_there_is_no_etag() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    const WHEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    origin.on("/lm", |x| match x.head.get("if-modified-since").as_deref() {
        Some(WHEN) => x.reply_empty(304, ""),
        _ => x.reply(200, &format!("Last-Modified: {WHEN}\r\nCache-Control: no-cache\r\n"), "old"),
    });
    let texts = [0, 1, 2].map(|_| cluster.get(&origin.url("/lm")).text());
    assert_eq!(texts, ["old", "old", "old"]);
    let conditions = origin.heads("/lm").iter().filter(|head| head.has("if-modified-since")).count();
    assert_eq!(conditions, 2);
}

#[test]
fn a_304_freshens_every_stored_answer_that_it_confirms() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/two", |x| match (x.head.has("if-none-match"), x.head.get("a").as_deref()) {
        (true, _) => x.reply_empty(304, "ETag: \"v1\"\r\nCache-Control: max-age=60\r\n"),
        (false, Some("1")) => x.reply(200, "ETag: \"v1\"\r\nCache-Control: no-cache\r\nVary: A\r\n", "body"),
        (false, _) => x.reply(200, "ETag: \"v1\"\r\nCache-Control: no-cache\r\nVary: B\r\n", "body"),
    });
    let ask = |fields| cluster.ask("GET", &origin.url("/two"), fields, b"");
    ask("A: 1\r\nB: 1\r\n");
    ask("A: 2\r\nB: 1\r\n");
    let both = ask("A: 1\r\nB: 1\r\n");
    assert!(both.cache_status().contains("fwd-status=304"), "both match: {}", both.cache_status());
    for only_one in ["A: 1\r\nB: 2\r\n", "A: 2\r\nB: 1\r\n"] {
        let answer = ask(only_one);
        assert!(answer.is_hit(), "{only_one}: {}", answer.cache_status());
    }
    assert_eq!(origin.count("/two"), 3);
}

#[test]
fn a_clients_own_condition_is_answered_from_the_store() {
    let (cluster, origin, url) = page("Cache-Control: max-age=60\r\nETag: \"v1\"\r\n");
    cluster.get(&url);
    let answer = cluster.ask("GET", &url, "If-None-Match: \"x\", W/\"v1\"\r\n", b"");
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    assert_eq!(answer.get("etag").as_deref(), Some("\"v1\""));
    assert_eq!(cluster.ask("GET", &url, "If-None-Match: \"v2\"\r\n", b"").status, 200);
    assert_eq!(origin.count("/page"), 1);
}

#[test]
fn cache_directives_pass_through_both_ways() {
    const OURS: &str = "max-age=60, own=\"a, b\", public";
    let (cluster, origin, url) = page("Cache-Control: max-age=60, own=\"a, b\", public\r\n");
    let asked = cluster.ask("GET", &url, "Cache-Control: max-age=0, x-other=1\r\nPragma: x\r\n", b"");
    let seen = origin.heads("/page").pop().unwrap();
    assert_eq!(
        (seen.get("cache-control"), seen.get("pragma")),
        (Some("max-age=0, x-other=1".into()), Some("x".into()))
    );
    for answer in [asked, cluster.get(&url), cluster.get(&url)] {
        assert_eq!(answer.get("cache-control").as_deref(), Some(OURS), "section 5.2: {}", answer.cache_status());
    }
}

#[test]
fn variants_live_side_by_side() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/vary", |x| {
        let language = x.head.get("accept-language").unwrap_or_default();
        x.reply(200, "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n", language)
    });
    for round in 0..3 {
        for language in ["en", "fr", "de"] {
            let fields = format!("Accept-Language: {language}\r\n");
            let answer = cluster.ask("GET", &origin.url("/vary"), &fields, b"");
            assert_eq!((answer.text().as_str(), answer.is_hit()), (language, round > 0), "{}", answer.cache_status());
        }
    }
    assert_eq!(origin.count("/vary"), 3);
}

#[test]
fn head_is_answered_from_a_stored_get() {
    let (cluster, origin, url) = page("Cache-Control: max-age=60\r\n");
    cluster.get(&url);
    let head = cluster.ask("HEAD", &url, "", b"");
    assert!(head.is_hit(), "{}", head.cache_status());
    assert_eq!(head.get("content-length").as_deref(), Some("8"));
    assert_eq!(origin.count("/page"), 1);
}

#[test]
fn an_answer_to_head_is_no_answer_to_get() {
    let (cluster, origin, url) = page("Cache-Control: max-age=60\r\n");
    cluster.ask("HEAD", &url, "", b"");
    assert_eq!(cluster.get(&url).text(), "answer 2");
    assert_eq!(origin.count("/page"), 2);
}

#[test]
fn an_unsafe_method_makes_the_stored_page_invalid() {
    // RFC 9111 section 4.4; of a method that nobody knows the worst is assumed.
    for method in ["POST", "PUT", "DELETE", "PATCH", "FROB"] {
        let (cluster, origin, url) = page("Cache-Control: max-age=60\r\n");
        cluster.get(&url);
        cluster.ask(method, &url, "", b"x");
        let after = cluster.get(&url);
        assert!(!after.is_hit(), "{method}: {}", after.cache_status());
        assert_eq!(origin.count("/page"), 3, "{method}");
    }
}

#[test]
fn an_unsafe_method_that_failed_leaves_it() {
    let (cluster, origin, url) = page("Cache-Control: max-age=60\r\n");
    cluster.get(&url);
    origin.on("/page", |x| x.reply(500, "", "no"));
    assert_eq!(cluster.ask("POST", &url, "", b"x").status, 500);
    assert!(cluster.get(&url).is_hit());
}

#[test]
fn a_created_location_of_the_same_origin_is_invalid_too_on_whichever_node_it_lives() {
    let (cluster, origin, url) = page("Cache-Control: max-age=60\r\n");
    let pages: Vec<String> = (0..12).map(|i| format!("{url}?{i}")).collect();
    pages.iter().for_each(|page| drop(cluster.get(page)));
    for (i, page) in pages.iter().enumerate() {
        origin.on("/make", move |x| x.reply(201, &format!("Location: /page?{i}\r\n"), ""));
        cluster.ask("POST", &origin.url("/make"), "", b"x");
        until_true("the page is not reused", PATIENCE, || !cluster.get(page).is_hit());
    }
}

#[test]
fn only_if_cached_is_504_when_nothing_is_stored() {
    let (cluster, origin, url) = page("Cache-Control: max-age=60\r\n");
    let only = "Cache-Control: only-if-cached\r\n";
    assert_eq!(cluster.ask("GET", &url, only, b"").status, 504);
    assert_eq!(origin.count("/page"), 0);
    cluster.get(&url);
    assert!(cluster.ask("GET", &url, only, b"").is_hit());
}

#[test]
fn spellings_of_one_url_share_one_answer() {
    let origin = Origin::at(std::net::Ipv4Addr::LOCALHOST.into());
    origin.on("/spell", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "x"));
    let cluster = Cluster::start();
    let port = origin.address.port();
    for url in [format!("http://localhost:{port}/spell"), format!("HTTP://LocalHost:{port}/spell")] {
        assert_eq!(cluster.get(&url).status, 200);
    }
    assert_eq!(origin.count("/spell"), 1);
}

#[test]
fn what_is_too_large_to_store_arrives_whole_each_time() {
    let cluster = Setup::default().set("cache", "max_object", "64KiB").start();
    let origin = Origin::start();
    let body = noise::Noise::bytes(3, 100_000);
    let sent = body.clone();
    origin.on("/sized", move |x| x.reply(200, "Cache-Control: max-age=60\r\n", &sent));
    let sent = body.clone();
    origin.on("/chunked", move |x| {
        x.begin_chunked("Cache-Control: max-age=60\r\n")?;
        sent.chunks(10_000).try_for_each(|chunk| x.chunk(chunk))?;
        x.end_chunked("")
    });
    for path in ["/sized", "/chunked"] {
        for n in 1..=2 {
            let answer = cluster.get(&origin.url(path));
            assert!(answer.body == body, "{path}");
            assert_eq!(origin.count(path), n, "{path}");
        }
    }
}

#[test]
fn a_chunked_answer_is_stored_whole() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/chunked", |x| {
        x.begin_chunked("Cache-Control: max-age=60\r\n")?;
        x.chunk("one ")?;
        x.chunk("two")?;
        x.end_chunked("")
    });
    let url = origin.url("/chunked");
    assert_eq!(cluster.get(&url).text(), "one two");
    let hit = cluster.get(&url);
    assert!(hit.is_hit() && hit.text() == "one two", "{}", hit.cache_status());
}

#[test]
fn what_ends_with_its_connection_is_stored_where_it_ended_in_order_and_says_how_long_it_is_fresh() {
    // (fields, how it ends, stored, section)
    for (i, (says, resets, stored, section)) in [
        ("Cache-Control: max-age=60\r\n", false, true, "RFC 9112 8"),
        ("Expires: Thu, 01 Jan 2099 00:00:00 GMT\r\n", false, true, "RFC 9112 8"),
        ("Cache-Control: max-age=60\r\n", true, false, "RFC 9112 8: reset, so it may lack something"),
        ("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", false, false, "a guess is not enough"),
        ("ETag: \"v\"\r\nCache-Control: no-cache\r\n", false, false, "nor is a validator"),
    ]
    .into_iter()
    .enumerate()
    {
        let (origin, cluster) = (Origin::start(), Cluster::start());
        let path = format!("/{i}");
        origin.on(&path, move |x| {
            x.raw(format!("HTTP/1.1 200 OK\r\n{says}\r\nbody"))?;
            x.hang_up();
            if resets { x.reset() } else { Ok(()) }
        });
        let url = origin.url(&path);
        let answers = [0, 1].map(|_| cluster.connect().try_ask("GET", &url, "", b""));
        for answer in answers.iter().flatten().filter(|_| !resets) {
            assert_eq!((answer.status, answer.text().as_str()), (200, "body"), "{says}");
        }
        let hit = answers[1].as_ref().is_ok_and(Response::is_hit);
        assert_eq!(
            (hit, resets || origin.count(&path) == if stored { 1 } else { 2 }),
            (stored, true),
            "{says} ({section})"
        );
    }
}

#[test]
fn a_transfer_coding_that_does_not_exist_is_noise_and_one_that_does_is_an_error() {
    // (fields, status, section of RFC 9112)
    for (i, (says, status, section)) in [
        ("Transfer-Encoding: x-noise\r\n", 200, "6.3: until the close"),
        ("Transfer-Encoding: a, b;c=d\r\n", 200, "6.3: until the close"),
        ("Transfer-Encoding: gzip\r\n", 502, "7: nobody asked for it, and it can't be undone here"),
        ("Transfer-Encoding: X-Compress\r\n", 502, "7"),
        ("Transfer-Encoding: identity\r\n", 502, "7"),
        ("Transfer-Encoding: noise, deflate\r\n", 502, "7"),
        ("Transfer-Encoding: x-noise\r\nContent-Length: 2\r\n", 502, "6.3: two ends"),
    ]
    .into_iter()
    .enumerate()
    {
        let (origin, cluster) = (Origin::start(), Cluster::start());
        let path = format!("/{i}");
        origin.on(&path, move |x| {
            x.hang_up();
            x.raw(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{says}\r\nbody"))
        });
        let answers = [0, 1].map(|_| cluster.get(&origin.url(&path)));
        for answer in &answers {
            assert_eq!(answer.status, status, "{says} (section {section})");
            assert!(status == 502 || answer.text() == "body", "{}", answer.text());
            let coding = answer.get("transfer-encoding");
            assert!(coding.is_none_or(|coding| coding == "chunked"), "{says}");
        }
        assert_eq!(answers[1].is_hit(), status == 200, "{says}: {}", answers[1].cache_status());
    }
}

#[test]
fn a_length_beside_chunks_is_not_passed_on() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/both", |x| {
        x.begin_chunked("Cache-Control: max-age=60\r\nContent-Length: 2\r\n")?;
        x.chunk("body")?;
        x.end_chunked("")
    });
    for n in 0..2 {
        // RFC 9112 section 6.3: the chunks count. An error is allowed as well.
        let answer = cluster.get(&origin.url("/both"));
        assert_eq!((answer.text().as_str(), answer.is_hit()), ("body", n > 0), "{:?}", answer.head);
    }
}

#[test]
fn a_range_of_a_cold_page_is_the_origins_to_answer() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/range", |x| {
        assert_eq!(x.head.get("range").as_deref(), Some("bytes=2-3"));
        x.raw("HTTP/1.1 206 Part\r\nCache-Control: max-age=60\r\nContent-Range: bytes 2-3/6\r\nContent-Length: 2\r\n\r\ncd")
    });
    let answer = cluster.ask("GET", &origin.url("/range"), "Range: bytes=2-3\r\n", b"");
    assert_eq!((answer.status, answer.text().as_str()), (206, "cd"));
    origin.on("/range", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "abcdef"));
    assert_eq!(cluster.get(&origin.url("/range")).text(), "abcdef", "a part is never passed off as the whole");
}
