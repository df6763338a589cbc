//! What is stored and is not so any more, where the answer that shows it may not be stored itself (RFC 9111 section 4.3.3).

use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const NEW: &str = "ETag: \"new\"\r\n";

/// Answers that say of the page that it is not as it was.
const WITHDRAWN: [(u16, &str); 9] = [
    (200, "Cache-Control: no-store\r\n"),
    (200, "Cache-Control: private, max-age=60\r\n"),
    (200, "Cache-Control: max-age=60\r\nVary: *\r\n"),
    (200, ""),
    (302, "Location: /other\r\n"),
    (303, "Location: /other\r\nCache-Control: no-store\r\n"),
    (307, "Location: /other\r\n"),
    (404, "Cache-Control: no-store\r\n"),
    (410, "Cache-Control: private\r\n"),
];

/// And those that say nothing of it.
const OTHERS: [(u16, &str); 5] = [
    (401, "WWW-Authenticate: Basic realm=\"r\"\r\n"),
    (403, "Cache-Control: no-store\r\n"),
    (429, "Retry-After: 1\r\n"),
    (500, "Cache-Control: no-store\r\n"),
    (503, "Retry-After: 1\r\n"),
];

/// An origin with a page that is old at first, answers so then, and with nothing from the third question on.
fn origin(first: &'static str, (status, fields): (u16, &'static str)) -> (Origin, String, Arc<AtomicUsize>) {
    let (origin, asked) = (Origin::start(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    origin.on("/page", move |x| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => x.reply(200, first, "old"),
        1 => x.reply(status, &format!("{fields}{NEW}"), "new"),
        _ => x.reset(),
    });
    let url = origin.url("/page");
    (origin, url, count)
}

#[test]
fn a_reload_that_may_not_be_stored_ends_what_was_stored() {
    for hot in ["0", "8MiB"] {
        let cluster = Setup::default().set("hot", "memory", hot).start();
        for (answer, ends) in
            WITHDRAWN.map(|answer| (answer, true)).into_iter().chain(OTHERS.map(|other| (other, false)))
        {
            let (_origin, url, asked) = origin("Cache-Control: max-age=3600\r\nETag: \"old\"\r\n", answer);
            let mut client = cluster.connect();
            client.get(&url);
            assert!((0..40).all(|_| client.get(&url).is_hit()), "{answer:?}");
            let reloaded = client.ask("GET", &url, "Cache-Control: no-cache\r\n", b"");
            assert_eq!((reloaded.status, reloaded.text()), (answer.0, "new".to_owned()), "{answer:?}");
            let next = client.get(&url);
            assert_eq!(next.text() == "old", !ends, "{answer:?}, hot {hot}: {}", next.cache_status());
            assert_eq!(asked.load(Ordering::SeqCst) > 2, ends, "{answer:?}");
        }
    }
}

#[test]
fn nor_does_it_come_back_when_the_origin_fails_after_that() {
    let cluster = Setup::default().nodes(1).start();
    for answer in WITHDRAWN {
        let (_origin, url, _) = origin("Cache-Control: max-age=60\r\nAge: 61\r\nETag: \"old\"\r\n", answer);
        let mut client = cluster.connect();
        assert_eq!(client.get(&url).text(), "old");
        assert_eq!(client.get(&url).text(), "new", "{answer:?}");
        let after = client.get(&url);
        // One of them is stored, to be validated.
        assert!(after.status == 502 || after.text() == "new", "{answer:?}: {}", after.cache_status());
    }
}

#[test]
fn what_is_renewed_in_the_background_is_not_served_stale_any_more() {
    let cluster = Setup::default().nodes(1).start();
    for answer in WITHDRAWN {
        let stale = "Cache-Control: max-age=60, stale-while-revalidate=600\r\nAge: 61\r\nETag: \"old\"\r\n";
        let (_origin, url, asked) = origin(stale, answer);
        let mut client = cluster.connect();
        assert_eq!(client.get(&url).text(), "old");
        assert_eq!(client.get(&url).text(), "old", "while it is renewed");
        until_true(&format!("it is gone: {answer:?}"), PATIENCE, || client.get(&url).text() != "old");
        assert!(asked.load(Ordering::SeqCst) > 1);
    }
}

#[test]
fn nor_is_a_stored_part_of_what_is_gone() {
    let cluster = Setup::default().nodes(1).start();
    let (origin, asked) = (Origin::start(), AtomicUsize::new(0));
    origin.on("/page", move |x| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => x.reply(206, "Cache-Control: max-age=3600\r\nETag: \"old\"\r\nContent-Range: bytes 0-2/9\r\n", "old"),
        _ => x.reply(404, "Cache-Control: no-store\r\n", "gone"),
    });
    let (url, mut client) = (origin.url("/page"), cluster.connect());
    let range = "Range: bytes=0-2\r\n";
    assert_eq!(client.ask("GET", &url, range, b"").status, 206);
    let again = client.ask("GET", &url, range, b"");
    assert!(again.status == 206 && again.is_hit(), "{}", again.cache_status());
    assert_eq!(client.get(&url).status, 404);
    assert_eq!(client.ask("GET", &url, range, b"").status, 404);
}

#[test]
fn a_request_that_may_not_be_answered_from_a_store_takes_nothing_from_others() {
    let cluster = Setup::default().nodes(1).start();
    for fields in ["Cache-Control: no-store, no-cache\r\n", "Authorization: Basic YTpi\r\nCache-Control: no-cache\r\n"]
    {
        let (_origin, url, asked) =
            origin("Cache-Control: max-age=3600\r\nETag: \"old\"\r\n", (200, "Cache-Control: max-age=60\r\n"));
        let mut client = cluster.connect();
        client.get(&url);
        assert_eq!(client.ask("GET", &url, fields, b"").text(), "new", "{fields}");
        assert_eq!((client.get(&url).text(), asked.load(Ordering::SeqCst)), ("old".to_owned(), 2), "{fields}");
    }
}

#[test]
fn nor_what_has_become_too_large_to_store() {
    let cluster = Setup::default().nodes(1).set("cache", "max_object", "64KiB").start();
    for is_sized in [true, false] {
        let (origin, asked) = (Origin::start(), AtomicUsize::new(0));
        origin.on("/page", move |x| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => x.reply(200, "Cache-Control: max-age=3600\r\nETag: \"old\"\r\n", "old"),
            1 if is_sized => x.reply(200, "Cache-Control: max-age=3600\r\n", vec![b'n'; 200_000]),
            1 => {
                x.begin_chunked("Cache-Control: max-age=3600\r\n")?;
                (0..20).try_for_each(|_| x.chunk(vec![b'n'; 10_000]))?;
                x.end_chunked("")
            }
            _ => x.reply(404, "Cache-Control: no-store\r\n", "gone"),
        });
        let (url, mut client) = (origin.url("/page"), cluster.connect());
        client.get(&url);
        assert_eq!(client.ask("GET", &url, "Cache-Control: no-cache\r\n", b"").body.len(), 200_000);
        assert_eq!(client.get(&url).text(), "gone", "sized: {is_sized}");
    }
}

/// A page that is stored first and then answered so, and the URL.
fn page(then: impl Fn(&mut Exchange, usize) -> std::io::Result<()> + Send + Sync + 'static) -> (Origin, String) {
    let (origin, asked) = (Origin::start(), AtomicUsize::new(0));
    origin.on("/page", move |x| then(x, asked.fetch_add(1, Ordering::SeqCst)));
    let url = origin.url("/page");
    (origin, url)
}

const GONE: &str = "Cache-Control: no-store\r\n";
const KEPT: &str = "Cache-Control: max-age=3600\r\nETag: \"old\"\r\n";
const RELOAD: &str = "Cache-Control: no-cache\r\n";

#[test]
fn an_answer_that_breaks_off_at_once_ends_nothing() {
    let cluster = Setup::default().nodes(1).set("timeouts", "small_body", "2s").start();
    for (first, fields, status) in [
        ("Cache-Control: max-age=60, stale-if-error=600\r\nAge: 61\r\nETag: \"old\"\r\n", "", 200),
        ("Cache-Control: max-age=60, stale-if-error=600\r\nAge: 61\r\nETag: \"old\"\r\n", RELOAD, 502),
        ("Cache-Control: max-age=60, stale-while-revalidate=600\r\nAge: 61\r\nETag: \"old\"\r\n", "", 200),
    ] {
        let (origin, url) = page(move |x, n| match n {
            0 => x.reply(200, first, "old"),
            1 => {
                x.raw("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 500\r\n\r\n")?;
                x.cut();
                Ok(())
            }
            _ => x.reply(503, "", "later"),
        });
        let mut client = cluster.connect();
        client.get(&url);
        assert_eq!(client.ask("GET", &url, fields, b"").status, status, "{first} {fields}");
        origin.until_asked("/page", 2);
        let next = client.get(&url);
        assert_eq!(next.text(), "old", "{first} {fields}: {}", next.cache_status());
    }
}

#[test]
fn what_is_said_to_who_has_logged_in_is_that_ones_own() {
    let cluster = Setup::default().nodes(1).start();
    for (credentials, status, said, ends) in [
        ("Cookie: a=b\r\n", 200, "Cache-Control: private\r\n", false),
        ("Cookie: a=b\r\n", 302, "Location: /login\r\nCache-Control: no-store\r\n", false),
        ("Authorization: Basic YTpi\r\n", 200, GONE, false),
        ("Authorization: Basic YTpi\r\n", 404, "Cache-Control: private\r\n", false),
        ("Cookie: a=b\r\n", 404, "", true),
        ("Cookie: a=b\r\n", 301, "Location: /other\r\nCache-Control: max-age=0\r\n", true),
    ] {
        let (_origin, url) = page(move |x, n| match n {
            0 => x.reply(200, KEPT, "old"),
            _ => x.reply(status, said, "its own"),
        });
        let mut client = cluster.connect();
        client.get(&url);
        assert_eq!(client.ask("GET", &url, &format!("{RELOAD}{credentials}"), b"").text(), "its own");
        assert_eq!(client.get(&url).text() != "old", ends, "{credentials}{status} {said}");
    }
}

#[test]
fn what_was_asked_for_before_is_not_stored_after_it() {
    let cluster = Setup::default().nodes(1).start();
    for (first, said) in [(true, ""), (true, "Vary: Accept-Encoding\r\n"), (false, "")] {
        let gate = Gate::default();
        let held = gate.clone();
        let (_origin, url) = page(move |x, n| match n + usize::from(!first) {
            0 => x.reply(200, KEPT, "old"),
            1 => {
                x.begin_sized(KEPT, 20)?;
                x.raw("0123456789")?;
                held.wait()?;
                x.raw("0123456789")
            }
            _ => x.reply(404, &format!("{GONE}{said}"), "gone"),
        });
        let (mut client, mut before) = (cluster.connect(), cluster.connect());
        if first {
            client.get(&url);
        }
        before.request("GET", &url, RELOAD, b"").unwrap();
        let head = before.head().unwrap();
        assert_eq!(client.ask("GET", &url, RELOAD, b"").status, 404);
        gate.open();
        let mut body = Vec::new();
        before.body("GET", &head, |piece| body.extend_from_slice(piece)).unwrap();
        assert_eq!(body.len(), 20);
        assert_eq!(client.get(&url).status, 404, "{said}");
    }
}

#[test]
fn stored_parts_end_by_whatever_was_asked_of_the_page() {
    let cluster = Setup::default().nodes(1).start();
    let part = "Cache-Control: max-age=3600\r\nETag: \"old\"\r\nContent-Range: bytes 0-2/9\r\n";
    for fields in [RELOAD, "Range: bytes=3-5\r\n", "If-Match: \"old\"\r\n"] {
        let (_origin, url) = page(move |x, n| match n {
            0 => x.reply(206, part, "old"),
            _ => x.reply(404, GONE, "gone"),
        });
        let mut client = cluster.connect();
        client.ask("GET", &url, "Range: bytes=0-2\r\n", b"");
        assert!(client.ask("GET", &url, "Range: bytes=0-2\r\n", b"").is_hit());
        assert_eq!(client.ask("GET", &url, fields, b"").status, 404, "{fields}");
        assert_eq!(client.ask("GET", &url, "Range: bytes=0-2\r\n", b"").status, 404, "{fields}");
    }
}

#[test]
fn of_several_variants_all_end_unless_the_answer_says_which_it_is() {
    let cluster = Setup::default().nodes(1).start();
    for (says, kept) in [("", false), ("Vary: X\r\n", true)] {
        let (_origin, url) = page(move |x, n| match n {
            0 | 1 => x.reply(200, &format!("{KEPT}Vary: X\r\n"), "old"),
            _ => x.reply(404, &format!("{GONE}{says}"), "gone"),
        });
        let mut client = cluster.connect();
        for variant in ["X: 1\r\n", "X: 2\r\n"] {
            client.ask("GET", &url, variant, b"");
            assert!(client.ask("GET", &url, variant, b"").is_hit());
        }
        assert_eq!(client.ask("GET", &url, &format!("X: 1\r\n{RELOAD}"), b"").status, 404);
        assert_eq!(client.ask("GET", &url, "X: 2\r\n", b"").text() == "old", kept, "{says}");
        assert_eq!(client.ask("GET", &url, "X: 1\r\n", b"").status, 404, "{says}");
    }
}
