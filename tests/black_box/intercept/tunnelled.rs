//! What is tunnelled with every byte that was said: for clients that do not believe us, and for what is not ours to answer.

use super::*;

#[test]
fn a_client_that_does_not_believe_us_is_tunnelled_at_its_next_try() {
    let stage = Stage::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let pinned = Arc::new(stage.authority.client(&["http/1.1"]));
    assert!(stage.tunnel().secure(&pinned, "localhost").is_err(), "it has its own error once");
    stage.until_logged("does not trust our certificate for localhost");
    let mut client = stage.inside(&pinned);
    assert_eq!(stage.get(&mut client, "/page").text(), "page");
    assert!(stage.passed("refused"));
    drop(client);
    stage.until_logged("tls=refused");
    stage.until_logged("tls=passed:refused");
    let said = stage.explained();
    assert!(said.contains("is intercepted: ") && said.contains("(passed:refused) for client programs"), "{said}");
    assert!(said.contains("our certificate: 127.0.0.1 (for another "), "{said}");
    // Another program at the same address, by its extensions, is not meant.
    let mut other = stage.inside(&Arc::new(stage.client(&[])));
    assert_eq!(stage.get(&mut other, "/page").text(), "page");
    assert!(!stage.get(&mut other, "/page").get("via").unwrap_or_default().is_empty(), "it came through the proxy");
    assert_eq!(stage.cluster.said().matches("does not trust our certificate").count(), 1, "warned of once");
}

/// As one does that compares the certificate with its own when TLS is content with it.
#[test]
fn a_client_that_leaves_behind_each_handshake_is_tunnelled_in_the_end() {
    let stage = Stage::new();
    let config = Arc::new(stage.client(&["http/1.1"]));
    for _ in 0..3 {
        stage.inside(&config);
    }
    stage.until_logged("has left again and again when it had our certificate for localhost");
    assert!(stage.tunnel().secure(&config, "localhost").is_err(), "it sees another's certificate");
    assert!(stage.passed("refused"));
}

#[test]
fn a_client_that_says_what_is_no_request_is_not_taken_for_one_that_does_not_believe_us() {
    let stage = Stage::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let config = Arc::new(stage.client(&["http/1.1"]));
    for said in ["GET / HTTP/1.1\r\nno field\r\n\r\n", "\0\0\0\r\n\r\n", "GET /page HT"] {
        for _ in 0..4 {
            let mut client = stage.inside(&config);
            client.send(said).unwrap();
            if said.ends_with("\n") {
                assert_eq!(client.response("GET").unwrap().status, 400);
            }
        }
    }
    let mut client = stage.inside(&config);
    assert_eq!(stage.get(&mut client, "/page").text(), "page");
    assert!(!stage.passed("refused"), "{}", stage.cluster.said());
}

#[test]
fn a_client_that_can_take_no_certificate_of_ours_is_tunnelled_at_its_next_try() {
    let stage = Stage::new();
    let foreign = Arc::new(stage.authority.client_of_rsa());
    assert!(stage.tunnel().secure(&foreign, "localhost").is_err());
    stage.until_logged("speaks no TLS to localhost that we speak");
    stage.until_logged("tls=failed");
    // The origin cannot answer it either: that is between the two.
    assert!(stage.tunnel().secure(&foreign, "localhost").is_err());
    until_true("it is tunnelled", PATIENCE, || stage.passed("refused"));
}

#[test]
fn what_is_not_ours_to_answer_is_tunnelled_with_every_byte() {
    let stage = Stage::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    // The origin's own certificate is seen: a client of its authority is content.
    let protocols = Arc::new(stage.authority.client(&["h3"]));
    assert!(stage.tunnel().secure(&protocols, "localhost").is_ok());
    assert!(stage.passed("protocol"));
    let other_name = Arc::new(stage.authority.client(&[]));
    assert!(stage.tunnel().secure(&other_name, "other.example").is_err(), "the origin is none of that name");
    assert!(stage.passed("other_name"));
    stage.until_logged("tls=passed:protocol");
}

#[test]
fn what_is_no_tls_is_tunnelled() {
    let plain = Origin::start();
    plain.on("/page", |x| x.reply(200, KEEP, "in clear"));
    let port = plain.address.port();
    let stage = Stage::with(|setup, _| setup.set("https", "hosts", vec![format!("localhost:{port}")]));
    let mut tunnel = tunnel(&stage.cluster, &format!("localhost:{port}"));
    tunnel.origin_form("GET", "/page", "Host: localhost\r\n", b"").unwrap();
    assert_eq!(tunnel.response("GET").unwrap().text(), "in clear");
    assert!(stage.passed("not_tls"));
}

#[test]
fn who_waits_for_the_other_end_to_speak_is_tunnelled() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            _ = stream.write_all(b"220 speaks first\r\n");
        }
    });
    let stage = Stage::with(|setup, _| setup.set("https", "hosts", vec![format!("localhost:{port}")]));
    let mut tunnel = tunnel(&stage.cluster, &format!("localhost:{port}"));
    assert_eq!(tunnel.read_exact(18).unwrap(), b"220 speaks first\r\n");
    assert!(stage.passed("silence"));
}

#[test]
fn where_a_node_is_asked_in_clear_https_is_tunnelled() {
    let stage =
        Stage::with(|setup, _| setup.node_at("r1", "127.0.0.1:1").set("cluster", "secret", "a-long-secret-word"));
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let config = Arc::new(stage.authority.client(&[]));
    let mut client = stage.inside(&config);
    assert_eq!(stage.get(&mut client, "/page").text(), "page");
    assert!(stage.passed("nodes"));
}

#[test]
fn a_line_of_pass_wins() {
    let stage = Stage::with(|setup, listed| setup.set("https", "pass", vec![listed]));
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let mut client = stage.inside(&Arc::new(stage.authority.client(&[])));
    assert_eq!(stage.get(&mut client, "/page").text(), "page");
    assert!(stage.passed("listed"));
    drop(client);
    stage.until_logged("tls=passed:listed");
}
