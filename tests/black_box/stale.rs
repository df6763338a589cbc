//! Stale answers (RFC 5861, RFC 9111 section 4.2.4), and how they are shown (RFC 9211). What is stored here comes with an
//! `Age` that makes it stale at once.

use crate::support::*;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const REVALIDATED: &str = "Cache-Control: max-age=60, stale-while-revalidate=600\r\nAge: 61\r\nETag: \"old\"\r\n";
const IF_ERROR: &str = "Cache-Control: max-age=60, stale-if-error=600\r\nAge: 61\r\nETag: \"old\"\r\n";

/// An origin whose page answers so the first time, and by `then` after that.
fn origin(
    first: &'static str,
    then: impl Fn(&mut Exchange, usize) -> io::Result<()> + Send + Sync + 'static,
) -> (Origin, String) {
    let (origin, asked) = (Origin::start(), AtomicUsize::new(0));
    origin.on("/page", move |x| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => {
            x.hang_up();
            x.reply(200, first, "old")
        }
        n => then(x, n),
    });
    let url = origin.url("/page");
    (origin, url)
}

/// One, so that what is asked for often has no second owner with nothing stored.
fn one_node() -> Cluster {
    Setup::default().nodes(1).start()
}

fn is_old(answer: &Response) -> bool {
    answer.text() == "old" || answer.text() == "ol" || matches!(answer.status, 304) || answer.body.is_empty()
}

/// Requests of every kind that a stale answer is good for.
const KINDS: [(&str, &str); 7] = [
    ("GET", ""),
    ("GET", "If-None-Match: \"old\"\r\n"),
    ("GET", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
    ("GET", "Range: bytes=0-1\r\n"),
    ("GET", "Authorization: Basic eDp5\r\n"),
    ("GET", "Cache-Control: max-stale=600\r\nCookie: a=b\r\n"),
    ("HEAD", ""),
];

#[test]
fn many_requests_of_all_kinds_are_answered_at_once_and_cost_one_refresh() {
    let gate = Gate::default();
    let held = gate.clone();
    let (origin, url) = origin(REVALIDATED, move |x, _| {
        held.wait()?;
        x.reply(200, "Cache-Control: max-age=600\r\nETag: \"new\"\r\n", "new")
    });
    let cluster = one_node();
    cluster.get(&url);
    for (method, fields) in KINDS.into_iter().cycle().take(3 * KINDS.len()) {
        let answer = cluster.ask(method, &url, fields, b"");
        let said = answer.cache_status();
        assert!(is_old(&answer) && answer.is_hit() && said.contains("ttl=-"), "{method} {fields}: {said}");
    }
    origin.until_asked("/page", 2);
    gate.open();
    until_true("it is renewed", PATIENCE, || cluster.get(&url).text() == "new");
    assert_eq!(origin.count("/page"), 2);
}

#[test]
fn a_refresh_is_nobodys_own_request() {
    for (method, fields) in KINDS {
        let (origin, url) = origin(REVALIDATED, |x, _| x.reply(200, "Cache-Control: max-age=600\r\n", "new"));
        let cluster = one_node();
        cluster.get(&url);
        if fields.contains("max-stale") {
            // That is a fresh enough answer for who says so: nothing is to be renewed for it.
            continue;
        }
        assert!(is_old(&cluster.ask(method, &url, fields, b"")));
        origin.until_asked("/page", 2);
        let asked = origin.heads("/page").pop().unwrap();
        assert_eq!((asked.word(0), asked.get("if-none-match").as_deref()), ("GET", Some("\"old\"")), "{fields}");
        for own in ["range", "if-modified-since", "authorization", "cache-control"] {
            assert_eq!(asked.get(own), None, "{method} {fields}");
        }
        until_true("it is renewed", PATIENCE, || cluster.get(&url).text() == "new");
    }
}

#[test]
fn each_variant_is_renewed_by_itself() {
    let (origin, asked) = (Origin::start(), Arc::new(AtomicUsize::new(0)));
    let gate = Gate::default();
    let (held, n) = (gate.clone(), asked.clone());
    origin.on("/vary", move |x| {
        let own = x.head.get("foo").unwrap_or_default();
        if n.fetch_add(1, Ordering::Relaxed) >= 2 {
            held.wait()?;
            return x.reply(200, "Cache-Control: max-age=600\r\nVary: Foo\r\n", format!("new {own}"));
        }
        x.reply(200, &format!("{REVALIDATED}Vary: Foo\r\n"), own)
    });
    let cluster = one_node();
    let ask = |own: &str| cluster.ask("GET", &origin.url("/vary"), &format!("Foo: {own}\r\n"), b"").text();
    for own in ["1", "2", "1", "2", "1", "2"] {
        assert_eq!(ask(own), own);
    }
    origin.until_asked("/vary", 4);
    gate.open();
    for own in ["1", "2"] {
        until_true("it is renewed", PATIENCE, || ask(own) == format!("new {own}"));
    }
    assert_eq!(origin.count("/vary"), 4);
}

#[test]
fn a_refresh_that_fails_leaves_what_is_stored_and_the_origin_in_peace_for_a_moment() {
    for says in ["", "Cache-Control: max-age=30\r\n", "ETag: \"page of an error\"\r\n"] {
        let (origin, url) = origin(REVALIDATED, move |x, _| x.reply(503, says, "bad"));
        let cluster = one_node();
        cluster.get(&url);
        assert_eq!(cluster.get(&url).text(), "old");
        origin.until_asked("/page", 2);
        let begun = std::time::Instant::now();
        let mut asked = 0;
        while asked < 500 && begun.elapsed().as_millis() < 900 {
            let (method, fields) = KINDS[asked % KINDS.len()];
            let answer = cluster.ask(method, &url, fields, b"");
            assert!(is_old(&answer), "{says}{method} {fields}: {}", answer.cache_status());
            asked += 1;
        }
        assert!(asked > 7);
        assert_eq!(origin.count("/page"), 2, "{says}: {asked} more within the pause");
        until_true("it is tried again", PATIENCE, || cluster.get(&url).text() == "old" && origin.count("/page") > 2);
    }
}

#[test]
fn refreshes_that_take_long_leave_connections_of_their_origin_to_who_waits() {
    let (origin, gate) = (Origin::start(), Gate::default());
    let cluster = Setup::default().nodes(1).set("limits", "origin_connections", 16).start();
    origin.on("/*", |x| x.reply(200, REVALIDATED, "old"));
    let pages: Vec<String> = (0..40).map(|n| origin.url(&format!("/{n}"))).collect();
    pages.iter().for_each(|page| assert_eq!(cluster.get(page).text(), "old"));
    let held = gate.clone();
    origin.on("/*", move |_| held.wait());
    origin.on("/other", |x| x.reply(200, "", "other"));
    pages.iter().for_each(|page| assert_eq!(cluster.get(page).text(), "old", "at once"));
    assert_eq!(cluster.get(&origin.url("/other")).text(), "other");
    gate.open();
}

#[test]
fn a_client_that_does_not_want_stale_answers_gets_none() {
    let (origin, url) = origin(REVALIDATED, |x, _| x.reply(200, "Cache-Control: max-age=600\r\n", "new"));
    let cluster = one_node();
    cluster.get(&url);
    let answer = cluster.ask("GET", &url, "Cache-Control: max-age=600\r\n", b"");
    assert_eq!((answer.text().as_str(), origin.count("/page")), ("new", 2), "{}", answer.cache_status());
}

#[test]
fn an_error_of_the_origin_is_answered_with_what_is_stored_whether_the_error_may_be_stored_or_not() {
    for status in [500, 502, 503, 504] {
        for says in
            ["", "Cache-Control: max-age=30\r\n", "Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT\r\nETag: \"x\"\r\n"]
        {
            let (origin, url) = origin(IF_ERROR, move |x, n| match n {
                1 | 2 => x.reply(status, says, "bad"),
                _ => x.reply_empty(304, "Cache-Control: max-age=600\r\n"),
            });
            let cluster = one_node();
            cluster.get(&url);
            for _ in 0..2 {
                let answer = cluster.get(&url);
                let said = answer.cache_status();
                assert_eq!((answer.status, answer.text().as_str()), (200, "old"), "{status} {says}{said}");
                assert!(said.contains(&format!("fwd=stale; fwd-status={status}; ttl=-")), "{said}");
            }
            assert_eq!(cluster.get(&url).text(), "old", "it is kept, and confirmed when the origin is well again");
            assert!(cluster.get(&url).is_hit());
            assert_eq!(origin.count("/page"), 4);
        }
    }
}

#[test]
fn an_error_is_passed_on_where_nothing_allows_more() {
    for (first, status) in
        [("Cache-Control: max-age=60\r\nAge: 61\r\nETag: \"old\"\r\n", 503), (IF_ERROR, 404), (IF_ERROR, 501)]
    {
        let (_origin, url) = origin(first, move |x, _| x.reply(status, "", "bad"));
        let cluster = one_node();
        cluster.get(&url);
        let answer = cluster.get(&url);
        assert_eq!((answer.status, answer.text().as_str()), (status, "bad"), "{}", answer.cache_status());
    }
}

/// Requests that want no stale answer, or leave it to the origin whether they are answered at all.
const RELOADS: [&str; 7] = [
    "Cache-Control: no-cache\r\n",
    "Pragma: no-cache\r\n",
    "Cache-Control: no-cache\r\nAuthorization: Basic eDp5\r\n",
    "Cache-Control: no-cache\r\nIf-None-Match: \"old\"\r\n",
    "Cache-Control: no-cache\r\nRange: bytes=0-1\r\n",
    "If-Match: \"old\"\r\n",
    "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
];

#[test]
fn an_error_that_one_client_has_asked_for_takes_the_stored_answer_from_nobody_else() {
    const FRESH: &str = "Cache-Control: max-age=60, stale-if-error=600\r\nETag: \"old\"\r\n";
    let cluster = one_node();
    for status in [500, 502, 503, 504] {
        for (first, fields) in [IF_ERROR, FRESH].into_iter().flat_map(|first| RELOADS.map(|fields| (first, fields))) {
            let (_origin, url) =
                origin(first, move |x, _| x.reply(status, "Cache-Control: public, max-age=1000\r\n", "bad"));
            cluster.get(&url);
            for _ in 0..2 {
                let answer = cluster.ask("GET", &url, fields, b"");
                assert_eq!(
                    (answer.status, answer.text().as_str()),
                    (status, "bad"),
                    "{fields}{}",
                    answer.cache_status()
                );
                let answer = cluster.get(&url);
                assert_eq!((answer.status, answer.text().as_str()), (200, "old"), "{fields}{}", answer.cache_status());
            }
        }
    }
}

#[test]
fn an_error_takes_the_place_of_what_may_not_be_answered_instead() {
    for first in
        ["Cache-Control: max-age=60\r\nAge: 61\r\n", "Cache-Control: max-age=60, stale-if-error=9\r\nAge: 70\r\n"]
    {
        let (origin, url) = origin(first, |x, _| x.reply(503, "Cache-Control: max-age=1000\r\n", "bad"));
        let cluster = one_node();
        cluster.get(&url);
        assert_eq!(cluster.ask("GET", &url, "Cache-Control: no-cache\r\n", b"").status, 503);
        let answer = cluster.get(&url);
        assert!(answer.is_hit() && answer.status == 503, "{first}{}", answer.cache_status());
        assert_eq!(origin.count("/page"), 2);
    }
}

#[test]
fn an_error_for_one_variant_takes_no_other_from_those_who_may_have_it() {
    const ENGLISH: &str = "Accept-Language: en\r\n";
    const SAYS: &str =
        "Vary: Accept-Language\r\nCache-Control: max-age=60, stale-if-error=600\r\nAge: 61\r\nETag: \"old\"\r\n";
    let (origin, url) = origin(SAYS, |x, _| x.reply(503, "Cache-Control: max-age=1000\r\n", "bad"));
    let cluster = one_node();
    cluster.ask("GET", &url, ENGLISH, b"");
    for fields in ["Accept-Language: de\r\n", ""] {
        assert_eq!(cluster.ask("GET", &url, fields, b"").status, 503, "{fields}");
        let answer = cluster.ask("GET", &url, ENGLISH, b"");
        assert_eq!((answer.status, answer.text().as_str()), (200, "old"), "{fields}{}", answer.cache_status());
    }
    // Where it says itself that it is one variant of several, it is one.
    origin.on("/page", |x| x.reply(503, "Vary: Accept-Language\r\nCache-Control: max-age=1000\r\n", "bad"));
    let german = || cluster.ask("GET", &url, "Accept-Language: de\r\n", b"");
    assert_eq!(german().status, 503);
    assert!(german().is_hit());
    assert_eq!(cluster.ask("GET", &url, ENGLISH, b"").text(), "old");
}

#[test]
fn an_error_for_the_whole_does_not_take_the_place_of_a_part() {
    const RANGE: &str = "Range: bytes=0-1\r\n";
    for age in ["", "Age: 61\r\n"] {
        let (origin, asked) = (Origin::start(), AtomicUsize::new(0));
        origin.on("/part", move |x| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => {
                let says =
                    "Content-Range: bytes 0-1/3\r\nCache-Control: max-age=60, stale-if-error=600\r\nETag: \"old\"\r\n";
                x.reply(206, &format!("{says}{age}"), "ol")
            }
            _ => x.reply(503, "Cache-Control: max-age=1000\r\n", "bad"),
        });
        let (cluster, url) = (one_node(), origin.url("/part"));
        assert_eq!(cluster.ask("GET", &url, RANGE, b"").text(), "ol");
        assert_eq!(cluster.get(&url).status, 503);
        let answer = cluster.ask("GET", &url, RANGE, b"");
        assert_eq!((answer.status, answer.text().as_str()), (206, "ol"), "{age}{}", answer.cache_status());
    }
}

#[test]
fn those_who_wait_for_an_answer_that_is_an_error_get_what_is_stored_too() {
    let gate = Gate::default();
    let held = gate.clone();
    let (origin, url) = origin(IF_ERROR, move |x, _| {
        held.wait()?;
        x.reply(503, "", "bad")
    });
    let cluster = Arc::new(one_node());
    cluster.get(&url);
    let before = cluster.node_total("requests");
    let ask = |_| {
        let (cluster, url) = (cluster.clone(), url.clone());
        std::thread::spawn(move || cluster.get(&url).text())
    };
    let clients: Vec<_> = (0..5).map(ask).collect();
    until_true("all of them wait", PATIENCE, || cluster.node_total("requests") >= before + 5);
    gate.open();
    for client in clients {
        assert_eq!(client.join().unwrap(), "old");
    }
    assert_eq!(origin.count("/page"), 2);
}

#[test]
fn a_fresh_answer_stands_in_too_and_says_why_the_origin_was_asked() {
    let (_origin, url) =
        origin("Cache-Control: max-age=60, stale-if-error=60\r\nETag: \"old\"\r\n", |x, _| x.reply(503, "", "bad"));
    let cluster = one_node();
    cluster.get(&url);
    let answer = cluster.ask("GET", &url, "Cache-Control: min-fresh=100\r\n", b"");
    assert!(answer.cache_status().contains("fwd=request; fwd-status=503; ttl="), "{}", answer.cache_status());
    assert_eq!(answer.text(), "old");
}

#[test]
fn an_origin_that_refuses_resets_or_is_silent_is_answered_for() {
    // Section 4.2.4: without a word about it in the response, too.
    for first in ["Cache-Control: max-age=60\r\nAge: 61\r\nETag: \"old\"\r\n", IF_ERROR] {
        for how in ["refused", "reset", "silent"] {
            let gate = Gate::default();
            let held = gate.clone();
            let (origin, url) = origin(first, move |x, _| if how == "reset" { x.reset() } else { held.wait() });
            let cluster = Setup::default().nodes(1).set("timeouts", "first_byte", "300ms").start();
            cluster.get(&url);
            if how == "refused" {
                drop(origin);
                let address = client::host_of(&url).to_owned();
                until_true("nobody listens", PATIENCE, || std::net::TcpStream::connect(&address).is_err());
            }
            let answer = cluster.get(&url);
            let said = answer.cache_status();
            assert!(said.contains("fwd=stale; ttl=-") && !said.contains("fwd-status"), "{how}: {said}");
            assert_eq!((answer.status, answer.text().as_str()), (200, "old"), "{how}");
            gate.open();
        }
    }
}

#[test]
fn a_hit_of_the_hot_copy_does_not_repeat_how_it_was_answered_before() {
    let (_origin, url) = origin(IF_ERROR, |x, n| match n {
        1 => x.reply(503, "", "bad"),
        _ => x.reply_empty(304, "Cache-Control: max-age=600\r\n"),
    });
    let cluster = Setup::default().nodes(1).set("hot", "memory", "8MiB").start();
    cluster.get(&url);
    assert!(cluster.get(&url).cache_status().contains("fwd=stale; fwd-status=503"));
    assert!(cluster.get(&url).cache_status().contains("fwd-status=304"));
    let hot = || cluster.metric("ringhold_front_hot_hits_total") > 0;
    until_true("the hot copy answers", PATIENCE, || {
        let answer = cluster.get(&url);
        let said = answer.cache_status();
        assert!(answer.is_hit() && !said.contains("fwd") && said.contains("ttl="), "{said}");
        assert_eq!(answer.head.members("cache-status").len(), 1, "{:?}", answer.head);
        hot()
    });
}
