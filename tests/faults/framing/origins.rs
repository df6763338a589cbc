//! Where the body of an origin's answer ends: by every route the same, or an error.

use super::{NO_STORE, one_node};
use crate::support::{Cluster, Origin};

/// What a client gets by each route: the first GET (hyper's client in the node), the next (bytes to bytes), one whose
/// connection ends with the answer, one with a field, a POST. `None`: the transfer broke.
fn by_each_route(cluster: &Cluster, url: &str) -> Vec<Option<(u16, String)>> {
    let ask = |method: &str, fields: &str| {
        let answer = cluster.connect().try_ask(method, url, fields, b"");
        answer.ok().map(|answer| (answer.status, answer.text()))
    };
    vec![
        ask("GET", ""),
        ask("GET", ""),
        ask("GET", "Connection: close\r\n"),
        ask("GET", "Accept: */*\r\n"),
        ask("POST", "Content-Length: 0\r\n"),
    ]
}

/// Spellings of transfer codings, with the status line's version before them.
const CODINGS: [&str; 16] = [
    "HTTP/1.1 Transfer-Encoding: chunked,",
    "HTTP/1.1 Transfer-Encoding: , chunked",
    "HTTP/1.1 Transfer-Encoding: chunked\r\nTransfer-Encoding: ",
    "HTTP/1.1 Transfer-Encoding: \r\nTransfer-Encoding: chunked",
    "HTTP/1.1 Transfer-Encoding:\tchunked \t",
    "HTTP/1.1 Transfer-Encoding: chunked, chunked",
    "HTTP/1.1 Transfer-Encoding: gzip, chunked",
    "HTTP/1.1 Transfer-Encoding: chunked, identity",
    "HTTP/1.1 Transfer-Encoding: identity",
    "HTTP/1.1 Transfer-Encoding: xchunked",
    "HTTP/1.1 Transfer-Encoding: \"chunked\"",
    "HTTP/1.1 Transfer-Encoding: chunked;q=1",
    "HTTP/1.1 Transfer-Encoding: cow",
    "HTTP/1.1 Transfer-Encoding: chunked\r\nContent-Length: 3",
    "HTTP/1.1 Transfer-Encoding : chunked",
    "HTTP/1.0 Transfer-Encoding: chunked",
];

#[test]
fn every_spelling_of_a_transfer_coding_has_one_reading_or_none() {
    let (origin, cluster) = (Origin::start(), one_node());
    for (i, says) in CODINGS.into_iter().enumerate() {
        for cache in ["max-age=60", "no-store"] {
            let path = format!("/{i}/{cache}");
            origin.on(&path, move |x| {
                x.hang_up();
                let (version, says) = says.split_once(' ').unwrap();
                x.raw(format!("{version} 200 OK\r\nCache-Control: {cache}\r\n{says}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
            });
            let got = by_each_route(&cluster, &origin.url(&path));
            let read = |got: &Option<(u16, String)>| got.as_ref().is_some_and(|g| g.0 == 200 && g.1 == "hello");
            let refused = |got: &Option<(u16, String)>| got.as_ref().is_some_and(|g| g.0 == 502);
            assert!(got.iter().all(read) || got.iter().all(refused), "{says} {cache}: {got:?}");
        }
    }
}

#[test]
fn a_body_that_was_cut_off_is_never_stored_as_whole() {
    let (origin, cluster) = (Origin::start(), one_node());
    for (i, says) in CODINGS.into_iter().enumerate() {
        let path = format!("/{i}");
        origin.on(&path, move |x| {
            x.hang_up();
            let (version, says) = says.split_once(' ').unwrap();
            x.raw(format!("{version} 200 OK\r\nCache-Control: max-age=60\r\n{says}\r\n\r\n5\r\nhel"))
        });
        let got = by_each_route(&cluster, &origin.url(&path));
        assert!(got.iter().all(|got| got.as_ref().is_none_or(|got| got.0 == 502)), "{says}: {got:?}");
        let stored = cluster.ask("GET", &origin.url(&path), "Cache-Control: only-if-cached\r\n", b"");
        assert_eq!(stored.status, 504, "{says}");
    }
}

#[test]
fn a_206_that_is_shorter_than_it_says_is_not_the_whole() {
    let (origin, cluster) = (Origin::start(), one_node());
    for (i, says) in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
        .into_iter()
        .enumerate()
    {
        let path = format!("/{i}");
        origin.on(&path, move |x| match x.head.has("range") {
            true => x.raw(format!(
                "HTTP/1.1 206 Part\r\nCache-Control: max-age=60\r\nContent-Range: bytes 0-9/10\r\n{says}"
            )),
            false => x.reply(200, "Cache-Control: max-age=60\r\n", "helloworld"),
        });
        let url = origin.url(&path);
        cluster.ask("GET", &url, "Range: bytes=0-9\r\n", b"");
        assert_eq!(cluster.get(&url).text(), "helloworld", "{says}");
    }
}

#[test]
fn an_interim_answer_has_no_length_and_no_coding() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/early", |x| {
        x.raw("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n")?;
        x.reply(200, NO_STORE, "page")
    });
    for _ in 0..2 {
        let mut client = cluster.connect();
        client.request("GET", &origin.url("/early"), "", b"").unwrap();
        let early = client.head().unwrap();
        assert_eq!((early.word(1), early.has("link")), ("103", true), "{early:?}");
        assert!(!early.has("content-length") && !early.has("transfer-encoding"), "{early:?}");
        assert_eq!(client.response("GET").unwrap().text(), "page");
    }
}

#[test]
fn a_204_has_no_length() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/none", |x| x.raw(format!("HTTP/1.1 204 No Content\r\nDate: x\r\n{NO_STORE}Content-Length: 0\r\n\r\n")));
    for _ in 0..3 {
        let answer = cluster.get(&origin.url("/none"));
        assert_eq!((answer.status, answer.get("content-length")), (204, None));
    }
}

#[test]
fn an_origin_that_says_nothing_but_that_it_is_at_work_is_given_up() {
    let (origin, cluster) = (Origin::start(), one_node());
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    origin.on("/endless", move |x| {
        loop {
            x.raw(hint.repeat(100))?;
        }
    });
    origin.on("/many", move |x| {
        x.raw(hint.repeat(200))?;
        x.reply(200, NO_STORE, "page")
    });
    for _ in 0..2 {
        let mut client = cluster.connect();
        client.request("GET", &origin.url("/endless"), "", b"").unwrap();
        let (head, _) = client.final_head().unwrap();
        assert_eq!(head.word(1), "502", "{head:?}");
        assert_eq!(cluster.get(&origin.url("/many")).text(), "page");
    }
}
