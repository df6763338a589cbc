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
