//! Parts (206) are stored, reused, and completed by what is missing (RFC 9111 sections 3.3 and 3.4).

use crate::support::*;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const BODY: &str = "0123456789";

/// An origin that serves ranges of [`BODY`] as its current version says, under the entity tag of that version.
fn origin(rest: impl Fn(&mut Exchange, usize) -> io::Result<()> + Send + Sync + 'static) -> (Cluster, Origin, String) {
    let (origin, asked) = (Origin::start(), AtomicUsize::new(0));
    origin.on("/page", move |x| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => part(x, "\"v1\"", 0, &BODY[..5]),
        n => rest(x, n),
    });
    let url = origin.url("/page");
    (Cluster::start(), origin, url)
}

fn part(x: &mut Exchange, tag: &str, first: usize, body: &str) -> io::Result<()> {
    let last = first + body.len() - 1;
    let fields = format!("Cache-Control: max-age=60\r\nETag: {tag}\r\nContent-Range: bytes {first}-{last}/10\r\n");
    x.reply(206, &fields, body)
}

fn whole(x: &mut Exchange, tag: &str, body: &str) -> io::Result<()> {
    x.reply(200, &format!("Cache-Control: max-age=60\r\nETag: {tag}\r\n"), body)
}

#[test]
fn a_part_is_reused_and_completed_by_asking_for_the_rest() {
    let (cluster, origin, url) = origin(|x, _| part(x, "\"v1\"", 5, &BODY[5..]));
    let first = cluster.ask("GET", &url, "Range: bytes=0-4\r\n", b"");
    assert_eq!(
        (first.status, first.text().as_str(), first.get("content-range")),
        (206, "01234", Some("bytes 0-4/10".into()))
    );
    let again = cluster.ask("GET", &url, "Range: bytes=2-3\r\n", b"");
    assert!(again.is_hit(), "{}", again.cache_status());
    assert_eq!(
        (again.status, again.text().as_str(), again.get("content-range")),
        (206, "23", Some("bytes 2-3/10".into()))
    );
    let all = cluster.get(&url);
    assert_eq!((all.status, all.text().as_str(), all.get("content-range")), (200, BODY, None));
    assert!(all.cache_status().contains("fwd=partial"), "{}", all.cache_status());
    let asked = origin.heads("/page").pop().unwrap();
    assert_eq!((asked.get("range"), asked.get("if-range")), (Some("bytes=5-".into()), Some("\"v1\"".into())));
    let hit = cluster.get(&url);
    assert!(hit.is_hit() && hit.status == 200 && hit.text() == BODY, "{}", hit.cache_status());
    assert_eq!(origin.count("/page"), 2);
}

#[test]
fn a_second_part_makes_a_whole_of_the_first() {
    let (cluster, origin, url) = origin(|x, _| part(x, "\"v1\"", 5, &BODY[5..]));
    cluster.ask("GET", &url, "Range: bytes=0-4\r\n", b"");
    assert_eq!(cluster.ask("GET", &url, "Range: bytes=5-9\r\n", b"").text(), &BODY[5..]);
    let hit = cluster.get(&url);
    assert!(hit.is_hit() && hit.status == 200 && hit.text() == BODY, "{}", hit.cache_status());
    assert_eq!(origin.count("/page"), 2);
}

#[test]
fn what_has_changed_meanwhile_is_the_whole_new_answer() {
    let (cluster, _origin, url) = origin(|x, _| whole(x, "\"v2\"", "all is new"));
    cluster.ask("GET", &url, "Range: bytes=0-4\r\n", b"");
    assert_eq!(cluster.get(&url).text(), "all is new");
    assert_eq!(cluster.ask("GET", &url, "Range: bytes=0-2\r\n", b"").text(), "all", "of the new one");
}

#[test]
fn a_rest_of_another_version_is_not_put_behind_a_stored_part() {
    // The origin does not heed If-Range.
    let (cluster, origin, url) = origin(|x, n| match n {
        1 => part(x, "\"v2\"", 5, " is new"),
        _ => whole(x, "\"v2\"", "all is new"),
    });
    cluster.ask("GET", &url, "Range: bytes=0-4\r\n", b"");
    assert_eq!(cluster.get(&url).text(), "all is new");
    let asked = origin.heads("/page").pop().unwrap();
    assert_eq!((asked.get("range"), asked.get("if-range")), (None, None));
}

#[test]
fn a_rest_that_breaks_off_is_neither_passed_off_as_whole_nor_stored() {
    let broken = Arc::new(AtomicUsize::new(0));
    let seen = broken.clone();
    let (cluster, _origin, url) = origin(move |x, n| {
        if n > 1 {
            return whole(x, "\"v1\"", BODY);
        }
        seen.fetch_add(1, Ordering::Relaxed);
        x.raw("HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nCache-Control: max-age=60\r\n")?;
        x.raw("Content-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56")?;
        x.reset()
    });
    cluster.ask("GET", &url, "Range: bytes=0-4\r\n", b"");
    // The front may ask once more for a body this small.
    if let Ok(answer) = cluster.connect().try_ask("GET", &url, "", b"") {
        assert!(answer.status == 502 || answer.text() == BODY, "never a truncated success: {}", answer.text());
    }
    assert_eq!(broken.load(Ordering::Relaxed), 1);
    assert_eq!(cluster.get(&url).text(), BODY);
}

#[test]
fn a_part_that_cannot_be_completed_does_not_cost_two_requests_each_time() {
    // (validator of the part, requests of the first and of the second GET of the whole)
    for (validator, first, second) in [("ETag: W/\"w\"\r\n", 1, 1), ("", 2, 1)] {
        let origin = Origin::start();
        origin.on("/page", move |x| match x.head.get("range").as_deref() {
            Some("bytes=0-4") => x.reply(
                206,
                &format!("Cache-Control: max-age=60\r\n{validator}Content-Range: bytes 0-4/10\r\n"),
                &BODY[..5],
            ),
            Some(_) => x.reply(206, &format!("{validator}Content-Range: bytes 5-9/10\r\n"), &BODY[5..]),
            None => x.reply(200, "Cache-Control: no-store\r\n", BODY),
        });
        let (cluster, url) = (Cluster::start(), origin.url("/page"));
        cluster.ask("GET", &url, "Range: bytes=0-4\r\n", b"");
        for requests in [first, second] {
            let before = origin.count("/page");
            assert_eq!(cluster.get(&url).text(), BODY, "section 3.4");
            assert_eq!(origin.count("/page") - before, requests, "{validator}");
        }
    }
}

#[test]
fn a_416_from_the_cache_does_not_say_of_itself_what_the_stored_page_says() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/page", |x| {
        x.reply(200, "Cache-Control: max-age=60\r\nETag: \"v\"\r\nSet-Cookie: a=b\r\nX-A: 1\r\n", BODY)
    });
    let url = origin.url("/page");
    cluster.get(&url);
    let refused = cluster.ask("GET", &url, "Range: bytes=20-\r\n", b"");
    assert!(refused.status == 416 && refused.is_hit(), "{:?}", refused.head);
    assert_eq!(refused.get("content-range").as_deref(), Some("bytes */10"), "RFC 9110 section 15.5.17");
    for name in ["cache-control", "etag", "set-cookie", "age", "x-a"] {
        assert_eq!(refused.get(name), None, "{:?}", refused.head);
    }
    let ignored = cluster.ask("GET", &url, "Range: bytes=\r\n", b"");
    assert_eq!((ignored.status, ignored.text().as_str()), (200, BODY), "RFC 9110 section 14.2: not valid");
    assert_eq!(origin.count("/page"), 1);
}
