//! Trust: who may do what on which port.

#[path = "trust_impostor.rs"]
mod impostor;
#[path = "trust_table.rs"]
mod table;

use self::impostor::Impostor;
use super::support::head::latin1;
use super::support::netns::Elsewhere;
use super::support::standalone::Standalone;
use super::support::zookeeper::{self, Zookeeper};
use super::support::*;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

const SECRET: &str = "the-secret-of-this-cluster";

/// A cluster that listens for the other machine too; its first address is that one.
fn open_to(elsewhere: &Elsewhere, setup: Setup) -> Cluster {
    setup.set("proxy", "listen", vec![format!("{}:0", elsewhere.here)]).start()
}

fn status(answer: &[u8]) -> u16 {
    latin1(answer).split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// One request on a connection of its own, and the status of its answer.
fn asked(address: SocketAddr, request: &str) -> u16 {
    let mut connection = Connection::to(address);
    connection.send(request).unwrap();
    let (head, _) = connection.final_head().unwrap_or_else(|e| panic!("{request}: {e}"));
    client::status_of(&head)
}

/// What a node answers to fronts only, by method, path and content.
const CONTROL: [(&str, &str, &str); 9] = [
    ("GET", "/healthz", ""),
    ("GET", "/metrics", ""),
    ("GET", "/cache?url=http://a.example/", ""),
    ("GET", "/explain?url=http://a.example/", ""),
    ("DELETE", "/cache?url=http://a.example/", ""),
    ("POST", "/invalidate", "[\"http://a.example/\"]"),
    ("POST", "/revalidate", ""),
    ("GET", "/hello", ""),
    ("POST", "/prove", "{}"),
];

fn control(method: &str, target: &str, fields: &str, body: &str) -> String {
    let content = match body {
        "" => String::new(),
        body => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
    };
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}{content}\r\n{body}")
}

#[test]
fn a_hot_copy_is_not_answered_to_a_client_that_is_not_on_the_access_list() {
    let Some(elsewhere) = Elsewhere::make("a hot copy for a client that is not on the access list") else { return };
    let origin = Origin::at(elsewhere.here);
    origin.on("/hot", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "the page"));
    let setup = Setup::default().nodes(1).set("hot", "memory", "64MiB").set("access", "clients", vec!["192.0.2.0/24"]);
    let cluster = open_to(&elsewhere, setup.set("access", "open", vec![format!("{}/32", elsewhere.here)]));
    let url = origin.url("/hot");
    until_true("there is a hot copy", PATIENCE, || {
        cluster.get(&url).status == 200 && cluster.metric("ringhold_front_hot_hits_total") > 0
    });
    let plain = format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n");
    let last = format!("GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for request in [
        format!("{plain}{last}"),
        format!("{plain}{plain}{last}"),
        format!("HEAD {url} HTTP/1.1\r\nHost: x\r\n\r\n{last}"),
        format!("GET {url} HTTP/1.0\r\n\r\n"),
        format!("GET {url} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{last}"),
        format!("GET {url} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n{last}"),
        format!("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n{last}"),
        format!("TRACE {url} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n{last}"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n\r\n{last}"),
        format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n{last}", origin.address),
        format!("POST /invalidate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]{last}"),
    ] {
        let answer = elsewhere.send(cluster.proxy, &request);
        assert_eq!(status(&answer), 403, "{request}{}", latin1(&answer));
        assert!(!latin1(&answer).contains("the page") && !latin1(&answer).contains(" 200 "), "{}", latin1(&answer));
    }
    assert_eq!(origin.connections(), 1, "nothing of it got further");
}

#[test]
fn no_node_is_controlled_through_the_proxy_by_anyone() {
    let node = Standalone::start("r1", &Setup::default());
    let cluster = Setup::default().nodes(1).node_at("r1", &node.address.to_string()).start();
    let port = node.address.port();
    for (method, path, body) in CONTROL {
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0"] {
            for fields in ["", "Connection: Via\r\n", "Via: 1.1 a\r\n"] {
                let request = control(method, &format!("http://{host}:{port}{path}"), fields, body);
                assert_eq!(asked(cluster.proxy, &request), 403, "{request}");
                let old = request.replace("HTTP/1.1", "HTTP/1.0");
                assert_eq!(asked(cluster.proxy, &old), 403, "{old}");
            }
        }
    }
    // Off the ring it is a node all the same.
    for state in ["active", "draining"] {
        cluster.manage("PATCH", "/v1/nodes/r1", &format!(r#"{{"state":"{state}"}}"#));
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0"] {
            let connect = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
            assert_eq!(asked(cluster.proxy, &connect), 403, "{state}: {connect}");
        }
    }
    let health = asked(node.address, &control("GET", "/healthz", "", ""));
    assert_eq!(health, 200, "who is on this machine needs no proxy for that");
}

#[test]
fn no_tunnel_leads_into_the_proxy_itself_however_its_address_is_written() {
    let cluster = Setup::default().nodes(1).start();
    let port = cluster.proxy.port();
    for host in
        ["127.0.0.1", "127.1", "localhost", "0", "0.0.0.0", "0x0", "0.0", "[::ffff:0.0.0.0]", "[::ffff:127.0.0.1]"]
    {
        let connect = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        assert_eq!(asked(cluster.proxy, &connect), 502, "{connect}");
    }
    assert_eq!(cluster.metric("ringhold_front_tunnels_total"), 0);
}

#[test]
fn a_node_with_a_secret_on_loopback_asks_everyone_for_it() {
    let secret = Setup::default().set("cluster", "secret", SECRET);
    let node = Standalone::start("r1", &secret);
    let origin = Origin::start();
    origin.on("/", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "hello"));
    for (method, path, body) in CONTROL.iter().filter(|(_, path, _)| *path != "/hello") {
        assert_eq!(asked(node.address, &control(method, path, "", body)), 403, "{method} {path}");
    }
    let proxied = control("GET", &origin.url("/"), "Ringhold-Client: local\r\n", "");
    assert_eq!(asked(node.address, &proxied), 403);
    assert_eq!(origin.count("*"), 0);
    let cluster = secret.nodes(0).node_at("r1", &node.address.to_string()).start();
    let answer = cluster.get(&origin.url("/"));
    assert_eq!((answer.status, answer.node().as_str()), (200, "r1"), "its front is served, for its machine's clients");
}

#[test]
fn a_client_elsewhere_reaches_no_address_of_the_proxys_own_machine() {
    let Some(elsewhere) = Elsewhere::make("own addresses for a client elsewhere") else { return };
    let secret = Setup::default().set("cluster", "secret", SECRET);
    let node = Standalone::start_by(&[], elsewhere.here, "r1", &secret);
    let origin = Origin::at(elsewhere.here);
    origin.on("/", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "its own page"));
    let setup = secret.nodes(1).node_at("r1", &node.address.to_string());
    let setup = setup.set("admin", "listen", format!("{}:0", elsewhere.here)).set("admin", "token", "a-long-token");
    let ports: Vec<i64> = vec![origin.address.port().into(), node.address.port().into(), 443];
    let cluster = open_to(&elsewhere, setup.set("access", "connect_ports", ports));
    assert_eq!(cluster.get(&origin.url("/")).text(), "its own page", "a client on the machine gets it");
    let asked = origin.count("*");
    let mapped = |address: SocketAddr| format!("[::ffff:{}]:{}", address.ip(), address.port());
    for address in [node.address, origin.address, cluster.admin] {
        for authority in [address.to_string(), mapped(address)] {
            for path in ["/", "/healthz", "/metrics"] {
                let request = format!("GET http://{authority}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                let answer = elsewhere.send(cluster.proxy, &request);
                assert!([403, 421].contains(&status(&answer)), "{request}{}", latin1(&answer));
            }
            let request = format!("GET http://{authority}/healthz HTTP/1.0\r\n\r\n");
            assert!([403, 421].contains(&status(&elsewhere.send(cluster.proxy, &request))), "{request}");
            let connect = format!("CONNECT {authority} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let answer = elsewhere.send(cluster.proxy, &connect);
            assert_eq!(status(&answer), 403, "{connect}{}", latin1(&answer));
        }
    }
    assert_eq!(origin.count("*"), asked);
}

#[test]
fn nor_where_a_node_on_another_machine_would_connect_to_it() {
    let Some(elsewhere) = Elsewhere::make("own addresses by a node elsewhere") else { return };
    let secret = Setup::default().set("cluster", "secret", SECRET);
    let node = Standalone::start_by(&elsewhere.prefix(), elsewhere.there, "r1", &secret);
    let origin = Origin::at(elsewhere.here);
    origin.on("/", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "its own page"));
    let setup = secret.nodes(0).node_at("r1", &node.address.to_string()).set("hot", "memory", "64MiB");
    let cluster = open_to(&elsewhere, setup);
    let url = origin.url("/");
    let ask = |authority: &str, version: &str| {
        let request = format!("GET http://{authority}/ HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = elsewhere.send(cluster.proxy, &request);
        (status(&answer), latin1(&answer))
    };
    let (authority, mapped) =
        (origin.address.to_string(), format!("[::ffff:{}]:{}", origin.address.ip(), origin.address.port()));
    let refuses = || {
        for version in ["1.1", "1.0"] {
            for authority in [&authority, &mapped] {
                let (status, answer) = ask(authority, version);
                assert!(status == 403 && answer.contains("destination_ip_prohibited"), "{authority}: {answer}");
            }
        }
        let plain = format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = elsewhere
            .send(cluster.proxy, &format!("{plain}{}", plain.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")));
        assert_eq!(latin1(&answer).matches(" 403 ").count(), 2, "{}", latin1(&answer));
    };
    until_true("the node is up", PATIENCE, || cluster.metric("ringhold_node_up") == 1);
    refuses();
    assert_eq!(origin.count("*"), 0);
    until_true("there is a hot copy of it, for clients here", PATIENCE, || {
        cluster.get(&url).status == 200 && cluster.metric("ringhold_front_hot_hits_total") > 0
    });
    refuses();
}

#[test]
fn what_passes_a_proof_on_to_another_node_is_not_taken_for_the_node() {
    let secret = Setup::default().set("cluster", "secret", SECRET);
    let node = Standalone::start("r2", &secret);
    let origin = Origin::start();
    for says in [None, Some(("\"id\":\"r2\"", "\"id\":\"r1\""))] {
        let impostor = Impostor::before(node.address, says);
        let cluster = secret.clone().nodes(0).node_at("r1", &impostor.address.to_string());
        let cluster = cluster.set("timeouts", "node_start", "300ms").start();
        until_true("it was tried some times", PATIENCE, || impostor.connections() >= 4);
        let listed = cluster.manage("GET", "/v1/nodes/r1", "").json();
        assert_eq!(listed["up"], false, "{says:?} {listed}");
        assert_eq!(cluster.get(&origin.url("/")).status, 503, "{says:?}");
        // Inside TLS nothing that it says can be altered.
        until_true("the log says why", PATIENCE, || cluster.said().contains("has the id `r2`, not `r1`"));
    }
    assert_eq!(origin.count("*"), 0);
}

#[test]
fn a_web_page_gets_nothing_from_a_node_on_loopback() {
    let node = Standalone::start("r1", &Setup::default());
    let port = node.address.port();
    let own = format!("127.0.0.1:{port}");
    let rows: [(&str, &str, String, &str); 12] = [
        ("GET", "/healthz", format!("Host: {own}\r\n"), ""),
        ("GET", "/healthz", format!("Host: localhost:{port}\r\n"), ""),
        ("GET", "/healthz", format!("Host: {own}\r\nOrigin: http://{own}\r\n"), ""),
        ("POST", "/invalidate", format!("Host: {own}\r\nContent-Type: application/json\r\n"), "[]"),
        ("GET", "/healthz", format!("Host: evil.example:{port}\r\n"), ""),
        ("GET", "/metrics", "Host: evil.example\r\n".to_owned(), ""),
        ("POST", "/revalidate", format!("Host: {own}\r\nOrigin: http://evil.example\r\n"), ""),
        ("POST", "/revalidate", format!("Host: {own}\r\nOrigin: null\r\n"), ""),
        ("DELETE", "/cache?url=http://a/", format!("Host: {own}\r\nOrigin: http://localhost:1\r\n"), ""),
        ("POST", "/invalidate", format!("Host: {own}\r\nContent-Type: text/plain\r\n"), "[]"),
        ("POST", "/invalidate", format!("Host: {own}\r\n"), "[]"),
        ("POST", "/invalidate", format!("Host: {own}\r\nContent-Type: application/x-www-form-urlencoded\r\n"), "[]"),
    ];
    for (number, (method, path, fields, body)) in rows.into_iter().enumerate() {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!("{method} {path} HTTP/1.1\r\n{fields}{length}\r\n{body}");
        let mut connection = Connection::to(node.address);
        connection.send(&request).unwrap();
        let answer = connection.response(method).unwrap();
        match number < 4 {
            true => assert_eq!(answer.status, 200, "{request}{}", answer.text()),
            false => assert!([403, 415].contains(&answer.status), "{request}{}", answer.text()),
        }
        assert_eq!(answer.get("x-content-type-options").as_deref(), Some("nosniff"), "{request}");
        assert_eq!(answer.get("cross-origin-resource-policy").as_deref(), Some("same-origin"), "{request}");
    }
}

#[test]
fn no_script_of_a_web_page_reads_what_the_admin_port_says() {
    let cluster = Setup::default().nodes(1).start();
    for path in ["/proxy.pac", "/v1/nodes", "/healthz", "/metrics", "/", "/nothing"] {
        let answer = cluster.manage("GET", path, "");
        assert_eq!(answer.get("x-content-type-options").as_deref(), Some("nosniff"), "{path}");
        assert_eq!(answer.get("cross-origin-resource-policy").as_deref(), Some("same-origin"), "{path}");
    }
}

#[test]
fn what_a_stranger_tells_a_front_is_refused_before_it_is_read() {
    if !zookeeper::wanted("a stranger who tells a front something") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let setup = Setup::default().nodes(1).set("zookeeper", "connect", zookeeper.connect());
    let setup = setup.set("zookeeper", "advertise", "127.0.0.2").set("cluster", "secret", SECRET);
    let cluster = setup.set("proxy", "listen", vec!["127.0.0.2:0"]).start();
    let zeros = "0".repeat(64);
    for proof in ["", "Ringhold-Teller: x\r\n", &format!("Ringhold-Teller: {} {zeros}\r\n", "0".repeat(32))] {
        let mut stranger = cluster.connect();
        let head =
            "POST /invalidate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\n";
        stranger.send(format!("{head}{proof}\r\n")).unwrap();
        assert_eq!(stranger.response("POST").unwrap().status, 403, "{proof}: not a byte of it was sent");
    }
}

#[test]
fn nobody_comes_out_of_a_tunnel_to_the_proxy_as_a_client_on_its_machine() {
    let Some(elsewhere) = Elsewhere::make("a tunnel to the proxy itself") else { return };
    let origin = Origin::start();
    origin.on("/", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "for this machine"));
    // Every address of the machine is opened, and every port that a listener may get.
    let ports: Vec<i64> = (1024..=65535).collect();
    let setup = Setup::default().nodes(1).set("access", "open", vec![format!("{}/32", elsewhere.here)]);
    let cluster = open_to(&elsewhere, setup.set("access", "connect_ports", ports));
    let connect = format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n", cluster.proxy);
    let inside = format!("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", origin.url("/"));
    let answer = elsewhere.send(cluster.proxy, &format!("{connect}{inside}"));
    assert_eq!(status(&answer), 502, "{}", latin1(&answer));
    assert_eq!(asked(cluster.proxy, &connect), 502, "a loop for a client here as well");
    assert_eq!(origin.count("*"), 0);
}

/// RFC 9111 section 4: requests are collapsed where the answer may be reused for each of them.
#[test]
fn what_may_not_be_reused_is_for_nobody_who_waited_for_it() {
    let cluster = Setup::default().nodes(1).start();
    for (fields, shared, why) in [
        ("Cache-Control: max-age=600\r\n", true, "it is fresh"),
        (
            "Cache-Control: max-age=0, stale-while-revalidate=600\r\n",
            true,
            "it may be answered stale (RFC 5861 section 3)",
        ),
        ("Cache-Control: no-cache\r\nETag: \"1\"\r\n", false, "each request is to be validated (5.2.2.4)"),
        ("Cache-Control: max-age=0, must-revalidate\r\nETag: \"1\"\r\n", false, "the same (5.2.2.2)"),
        ("Cache-Control: max-age=0\r\nETag: \"1\"\r\n", false, "it is stale (4.2.4)"),
        ("Expires: 0\r\nETag: \"1\"\r\n", false, "it is stale (5.3)"),
        ("ETag: \"1\"\r\n", false, "it has no lifetime (4.2)"),
    ] {
        let origin = Origin::start();
        origin.on("/page", move |x| {
            let who = x.head.get("cookie").unwrap_or_default();
            sleep(Duration::from_millis(400));
            x.reply(200, fields, format!("the page of {who}"))
        });
        let url = origin.url("/page");
        let get = |who: &str| cluster.ask("GET", &url, &format!("Cookie: {who}\r\n"), b"").text();
        // The second time something is stored.
        for _ in 0..if shared { 1 } else { 2 } {
            let before = origin.count("/page");
            std::thread::scope(|scope| {
                let alice = scope.spawn(|| get("alice"));
                until_true("alice is first", PATIENCE, || origin.count("/page") > before);
                let bob = scope.spawn(|| get("bob"));
                assert_eq!(alice.join().unwrap(), "the page of alice", "{fields}");
                let expected = if shared { "the page of alice" } else { "the page of bob" };
                assert_eq!(bob.join().unwrap(), expected, "{fields}: {why}");
            });
        }
    }
}
