//! Interim responses (RFC 9110 section 15.2) pass through front and node, in order, with their fields, and are not stored.

use crate::support::*;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n";

#[test]
fn early_hints_come_before_the_answer_with_all_their_fields() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/page", |x| {
        x.raw("HTTP/1.1 102 Processing\r\n\r\n")?;
        x.raw(HINTS)?;
        x.raw(HINTS)?;
        x.reply(200, "Cache-Control: max-age=60\r\n", "page")
    });
    let mut client = cluster.connect();
    client.request("GET", &origin.url("/page"), "", b"").unwrap();
    assert_eq!(client.head().unwrap().word(1), "102");
    for _ in 0..2 {
        let hints = client.head().unwrap();
        assert_eq!(hints.word(1), "103");
        assert_eq!(hints.all("link"), ["</a.css>; rel=preload", "</b.js>; rel=preload"]);
        assert!(!hints.has("connection") && !hints.has("ringhold-reach"), "{hints:?}");
    }
    let page = client.response("GET").unwrap();
    assert_eq!((page.status, page.text().as_str(), page.interim.len()), (200, "page", 0));
    let stored = client.get(&origin.url("/page"));
    assert!(stored.is_hit(), "{:?}", stored.head);
    assert_eq!(stored.interim.len(), 0, "interim responses are never stored");
}

#[test]
fn they_come_while_the_answer_is_still_awaited() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    origin.on("/slow", move |x| {
        x.raw(HINTS)?;
        let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
        x.reply(200, "Cache-Control: no-store\r\n", "late")
    });
    let mut client = cluster.connect();
    client.request("GET", &origin.url("/slow"), "", b"").unwrap();
    assert_eq!(client.head().unwrap().word(1), "103", "the origin has not answered yet");
    go.send(()).unwrap();
    assert_eq!(client.response("GET").unwrap().text(), "late");
}

#[test]
fn a_client_of_http_1_0_gets_none() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/page", |x| {
        x.raw(HINTS)?;
        x.reply(200, "", "page")
    });
    let mut client = cluster.connect();
    client.send(format!("GET {} HTTP/1.0\r\nHost: x\r\n\r\n", origin.url("/page"))).unwrap();
    let page = client.response("GET").unwrap();
    assert_eq!((page.status, page.interim.len()), (200, 0));
}

#[test]
fn they_also_come_before_the_answer_to_an_upload() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/upload", |x| {
        x.raw(HINTS)?;
        x.digest()
    });
    let mut client = cluster.connect();
    client.request("PUT", &origin.url("/upload"), "", b"hello").unwrap();
    let answer = client.response("PUT").unwrap();
    assert_eq!((answer.status, answer.interim.as_slice()), (200, &[103][..]));
}

#[test]
fn a_100_that_nobody_waits_for_passes_too_with_and_without_the_hot_copy() {
    for memory in ["0", "8MiB"] {
        let origin = Origin::start();
        let cluster = Setup::default().set("hot", "memory", memory).start();
        origin.on("/page", |x| {
            x.raw("HTTP/1.1 100 Continue\r\nX-Step: 1\r\n\r\n")?;
            x.raw(HINTS)?;
            x.raw("HTTP/1.1 100 Continue\r\n\r\n")?;
            x.reply(200, "Cache-Control: max-age=60\r\n", "page")
        });
        let mut client = cluster.connect();
        client.request("GET", &origin.url("/page"), "", b"").unwrap();
        let first = client.head().unwrap();
        assert_eq!((first.word(1), first.get("x-step").as_deref()), ("100", Some("1")), "hot copy: {memory}");
        let page = client.response("GET").unwrap();
        assert_eq!((page.status, page.interim.as_slice()), (200, &[103, 100][..]), "hot copy: {memory}");
        for _ in 0..5 {
            let stored = client.get(&origin.url("/page"));
            assert!(stored.is_hit() && stored.interim.is_empty(), "{memory}: {:?}", stored.head);
        }
        assert_eq!(origin.count("/page"), 1);
    }
}
