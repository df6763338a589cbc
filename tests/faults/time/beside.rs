//! What is asked for beside a fetch under way may show something newer: the older one is not stored after that.

use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const LENGTH: usize = 4000;
/// Asked for later is told by the clock's milliseconds.
const A_MOMENT: Duration = Duration::from_millis(20);

/// Where the first answer waits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Waits {
    BeforeHead,
    WithinBody,
}

/// The first GET of all is answered with version 1 and held back, all else with `then`.
fn origin_that(waits: Waits, then: usize, gate: &Gate) -> Origin {
    let (origin, gate, asked) = (Origin::start(), gate.clone(), AtomicUsize::new(0));
    origin.on("/page", move |x| {
        let is_first = asked.fetch_add(1, SeqCst) == 0;
        let version = if is_first { 1 } else { then };
        let body = format!("{version:04}").repeat(LENGTH / 4);
        let fields = format!("ETag: \"{version}\"\r\nCache-Control: max-age=600\r\n");
        let has = |name: &str, value: &str| x.head.get(name).is_some_and(|said| said.contains(value));
        if has("if-none-match", &format!("\"{version}\"")) {
            return x.raw(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"));
        }
        if has("range", "bytes=3000-") {
            let fields = format!("{fields}Content-Range: bytes 3000-{}/{LENGTH}\r\n", LENGTH - 1);
            return x.reply(206, &fields, &body[3000..]);
        }
        if x.method() == "HEAD" {
            return x.raw(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {LENGTH}\r\n\r\n"));
        }
        if !is_first {
            return x.reply(200, &fields, body);
        }
        if waits == Waits::BeforeHead {
            gate.wait()?;
        }
        x.begin_sized(&fields, LENGTH as u64)?;
        x.raw(&body[..LENGTH / 2])?;
        gate.wait()?;
        x.raw(&body[LENGTH / 2..])
    });
    origin
}

/// What a GET gets after the first has ended, beside which something else was asked for.
fn after(waits: Waits, then: usize, (method, fields): (&str, &str), cluster: &Cluster) -> client::Response {
    let gate = Gate::default();
    let origin = origin_that(waits, then, &gate);
    let url = origin.url("/page");
    std::thread::scope(|all| {
        let first = all.spawn(|| cluster.get(&url));
        origin.until_asked("/page", 1);
        std::thread::sleep(A_MOMENT);
        let beside = cluster.ask(method, &url, fields, b"");
        assert_eq!(beside.get("etag"), Some(format!("\"{then}\"")), "{method} {fields}: {}", beside.cache_status());
        gate.open();
        assert_eq!(first.join().unwrap().body.len(), LENGTH, "who has asked for it gets it, or what was first");
    });
    cluster.get(&url)
}

const BESIDE: [(&str, &str); 6] = [
    ("GET", "Range: bytes=3000-\r\n"),
    ("HEAD", ""),
    ("GET", "Cache-Control: no-store\r\n"),
    ("GET", "Cache-Control: no-cache\r\n"),
    ("GET", "Authorization: Basic YTpi\r\n"),
    ("GET", "If-None-Match: \"2\"\r\nCache-Control: no-cache\r\n"),
];

#[test]
fn what_is_older_than_what_was_seen_while_it_came_is_not_stored() {
    let cluster = Arc::new(Setup::default().unhurried().start());
    for waits in [Waits::BeforeHead, Waits::WithinBody] {
        for beside in BESIDE {
            let answer = after(waits, 2, beside, &cluster);
            assert!(answer.text().starts_with("0002"), "{waits:?} {beside:?}: {}", answer.cache_status());
        }
    }
}

/// Who skips about in a film that another fetches whole does not keep it from being stored.
#[test]
fn and_what_is_the_same_is() {
    let cluster = Setup::default().unhurried().start();
    for waits in [Waits::BeforeHead, Waits::WithinBody] {
        for beside in &BESIDE[..5] {
            let answer = after(waits, 1, *beside, &cluster);
            assert!(answer.is_hit(), "{waits:?} {beside:?}: {}", answer.cache_status());
        }
    }
}
