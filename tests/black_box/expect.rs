//! `Expect: 100-continue` (RFC 9110 section 10.1.1): the origin decides whether it wants the body.

use crate::support::*;

const EXPECT: &str = "Host: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

fn put(client: &mut Connection, url: &str) {
    client.send(format!("PUT {url} HTTP/1.1\r\n{EXPECT}")).unwrap();
}

#[test]
fn the_body_is_sent_when_the_origin_says_continue() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/yes", |x| {
        x.raw("HTTP/1.1 100 Continue\r\n\r\n")?;
        x.digest()
    });
    let mut client = cluster.connect();
    put(&mut client, &origin.url("/yes"));
    assert_eq!(client.head().unwrap().word(1), "100");
    client.send("hello").unwrap();
    let answer = client.response("PUT").unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.text().starts_with("5 2cf24dba"), "{}", answer.text());
}

#[test]
fn the_body_is_not_asked_for_when_the_origin_refuses() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/no", |x| {
        x.hang_up();
        x.reply(413, "", "too much")
    });
    let mut client = cluster.connect();
    put(&mut client, &origin.url("/no"));
    let answer = client.response("PUT").unwrap();
    assert_eq!((answer.status, answer.interim.len()), (413, 0));
    assert_eq!(origin.count("/no"), 1);
}

#[test]
fn an_origin_that_says_nothing_gets_the_body_after_a_while() {
    let setup = Setup::default().nodes(1).set("timeouts", "expect_continue", "200ms");
    let (origin, cluster) = (Origin::start(), setup.start());
    origin.on("/silent", Exchange::digest);
    let mut client = cluster.connect();
    put(&mut client, &origin.url("/silent"));
    assert_eq!(client.head().unwrap().word(1), "100");
    client.send("hello").unwrap();
    assert_eq!(client.response("PUT").unwrap().status, 200);
}

#[test]
fn a_client_that_does_not_wait_is_served_as_well() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/yes", |x| {
        x.raw("HTTP/1.1 100 Continue\r\n\r\n")?;
        x.digest()
    });
    let mut client = cluster.connect();
    put(&mut client, &origin.url("/yes"));
    client.send("hello").unwrap();
    assert_eq!(client.response("PUT").unwrap().status, 200);
}
