//! What the proxy says for itself: to a person who opens it in a browser, and to a request that went in circles.

use crate::support::*;

#[test]
fn a_request_to_the_proxy_itself_is_told_what_this_is() {
    let cluster = Setup::default().nodes(1).start();
    let mut client = cluster.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", cluster.proxy)).unwrap();
    let page = client.response("GET").unwrap();
    let text = page.text();
    assert!(page.get("content-type").unwrap().starts_with("text/"), "{:?}", page.head);
    assert!(text.contains("ringhold") && text.contains("http_proxy"), "{text}");
    assert!(text.contains(&cluster.proxy.to_string()), "with the address to copy: {text}");
}

#[test]
fn the_admin_address_through_the_proxy_says_to_go_around_it() {
    let cluster = Setup::default().nodes(1).start();
    let answer = cluster.get(&format!("http://{}/v1/nodes", cluster.admin));
    assert!((400..500).contains(&answer.status), "{}", answer.head.line);
    assert!(answer.text().contains("--noproxy"), "{}", answer.text());
    assert!(answer.head.has("proxy-status"), "{:?}", answer.head);
}

#[test]
fn a_request_that_has_passed_here_before_is_a_loop() {
    let cluster = Setup::default().nodes(1).set("proxy", "pseudonym", "ringhold-me").start();
    let origin = Origin::start();
    let answer = cluster.ask("GET", &origin.url("/"), "Via: 1.1 other\r\nVia: 1.0 ringhold-me, 1.1 x\r\n", b"");
    assert_eq!(answer.status, 502);
    assert!(answer.has_error("proxy_loop_detected"), "{:?}", answer.head);
    assert_eq!(origin.count("*"), 0);
}

#[test]
fn the_proxy_asked_for_itself_through_itself_does_not_go_in_circles() {
    let cluster = Setup::default().nodes(1).start();
    let port = cluster.proxy.port();
    for host in ["127.0.0.1", "localhost", "127.0.0.2", "[::ffff:127.0.0.1]"] {
        // Its own address may be recognised at once; by any other name it comes back here and is a loop.
        let answer = cluster.get(&format!("http://{host}:{port}/"));
        let own_page = answer.status == 200 && answer.text().contains("http_proxy");
        let refused = answer.has_error("connection_refused");
        assert!(own_page || answer.has_error("proxy_loop_detected") || refused, "{host}: {:?}", answer.head);
    }
}
